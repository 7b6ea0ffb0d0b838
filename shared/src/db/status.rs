//! What the fleet is doing right now. Reads the hot tables only.

use super::{DbConnection, DbResult};

/// How many unfinished runs and paused budgets there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct QueueCounts {
    /// Runs that can be claimed now.
    pub queued: i64,
    /// Runs under a lease.
    pub running: i64,
    /// Runs with a due time in the future.
    pub waiting: i64,
    /// Runs behind another run of their connection.
    pub blocked: i64,
    /// Budgets that a platform has paused.
    pub budgets_paused: i64,
}

/// Counts unfinished runs by state, and paused budgets.
pub async fn count_queue(db: &mut DbConnection) -> DbResult<QueueCounts> {
    Ok(sqlx::query_as!(
        QueueCounts,
        r#"select count(*) filter (where state = 'queued') as "queued!",
                  count(*) filter (where state = 'running') as "running!",
                  count(*) filter (where state = 'waiting') as "waiting!",
                  count(*) filter (where state = 'blocked') as "blocked!",
                  (select count(*) from syncline.budget where paused_until > syncline.now()) as "budgets_paused!"
           from syncline.run"#
    )
    .fetch_one(db)
    .await?)
}

/// Makes the callers of this function wait for one another until their transactions end, so that two documents that are
/// applied at once are applied one after the other.
pub async fn lock_apply(db: &mut DbConnection) -> DbResult<()> {
    // The number is this purpose's own among Syncline's advisory locks.
    sqlx::query!("select pg_advisory_xact_lock(7291002)")
        .execute(db)
        .await?;
    Ok(())
}
