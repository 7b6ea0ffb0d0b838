//! What an attempt cost.

/// What an attempt cost the platform's budgets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests that it sent.
    pub calls: i64,
    /// Points of budgets: of each request what the dearest of its budgets charged.
    pub points: i64,
    /// Milliseconds for which it waited for permits.
    pub waited_ms: i64,
}
