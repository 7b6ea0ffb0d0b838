//! Permits of platforms' call budgets, shared by all processes.

use std::time::Duration;

use super::{DbConnection, DbResult};

/// A budget to take permits from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetKey {
    /// `platform/name/scope`.
    pub key: String,
    /// The platform.
    pub platform: String,
    /// The budget's name in the manifest.
    pub name: String,
    /// Calls allowed in any window.
    pub call_limit: i32,
    /// Length of the window in milliseconds.
    pub window_ms: i64,
}

/// The answer to a request for permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// So many requests may be sent now; at least one.
    Granted(u32),
    /// None now.
    Wait {
        /// Until there may be one.
        wait: Duration,
        /// What the platform said, if it asked for the pause.
        because: Option<String>,
    },
}

/// Takes up to `want` permits. Waits for other takers of the same budget, never for the budget itself.
pub async fn take_permits(db: &mut DbConnection, budget: &BudgetKey, want: u32) -> DbResult<Grant> {
    let answer = sqlx::query!(
        r#"select granted as "granted!", wait_ms as "wait_ms!", because
           from syncline.take_permits($1, $2, $3, $4, $5, $6)"#,
        budget.key,
        budget.platform,
        budget.name,
        budget.call_limit,
        budget.window_ms,
        i32::try_from(want).unwrap_or(i32::MAX),
    )
    .fetch_one(db)
    .await?;
    Ok(match u32::try_from(answer.granted) {
        Ok(granted) if granted > 0 => Grant::Granted(granted),
        _ => Grant::Wait {
            wait: Duration::from_millis(u64::try_from(answer.wait_ms).unwrap_or(0).max(1)),
            because: answer.because,
        },
    })
}

/// Gives no permits of a budget to anybody for a while. A pause is only ever made longer.
pub async fn pause_budget(
    db: &mut DbConnection,
    key: &str,
    wait: Duration,
    because: &str,
) -> DbResult<()> {
    sqlx::query!(
        "update syncline.budget set
             paused_until = greatest(paused_until, clock_timestamp() + make_interval(secs => $2)),
             paused_because = $3
         where key = $1",
        key,
        wait.as_secs_f64(),
        because
    )
    .execute(db)
    .await?;
    Ok(())
}
