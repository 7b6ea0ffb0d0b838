//! What follows from reading a run's checkpoint back, when it is not known whether a write took place. Pure; the worker's writer asks,
//! and the model of the leases holds it against every order of events.

/// What is known of a write after its checkpoint was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// It took place.
    Written,
    /// It did not, and the lease still stands: it may be tried again.
    NotWritten,
    /// The lease is gone.
    Lost,
}

/// Judges a write that was to be number `sequence`. `found` is the number of the last checkpoint under the lease, `None` if the
/// lease is gone; `refused`: the database answered that the write missed its row, so it cannot succeed later either.
pub const fn read_back(found: Option<i64>, sequence: i64, refused: bool) -> ReadBack {
    match found {
        Some(number) if number == sequence => ReadBack::Written,
        Some(_) if !refused => ReadBack::NotWritten,
        _ => ReadBack::Lost,
    }
}
