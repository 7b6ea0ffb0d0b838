//! What the fleet is doing right now. Reads the hot tables only.

use chrono::{DateTime, Utc};

use super::{DbConnection, DbResult};
use crate::run::Outcome;

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

/// How the runs of a platform are doing.
#[derive(Debug, Clone)]
pub struct PlatformHealth {
    /// The platform.
    pub platform: String,
    /// Runs being executed.
    pub running: i64,
    /// Other unfinished runs, 1,000 at most.
    pub waiting: i64,
    /// How its last run ended.
    pub last_outcome: Option<Outcome>,
    /// When that was.
    pub last_at: Option<DateTime<Utc>>,
    /// The error of that run.
    pub last_error: Option<String>,
    /// When the last run that succeeded ended, if it is among the last 1,000.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Runs that failed, or succeeded only in part, within 24 hours; 1,000 at most.
    pub errors_24h: i64,
}

/// How each of these platforms is doing, in the order of the input. Reads a bounded number of rows of each.
pub async fn list_platform_health(
    db: &mut DbConnection,
    platforms: &[String],
) -> DbResult<Vec<PlatformHealth>> {
    Ok(sqlx::query_as!(
        PlatformHealth,
        r#"select p.name as "platform!", u.running as "running!", least(u.waiting, 1000) as "waiting!",
                  l.outcome as "last_outcome?: Outcome", l.finished_at as "last_at?",
                  l.last_error ->> 'message' as last_error, s.finished_at as "last_success_at?", e.errors as "errors_24h!"
           from unnest($1::text[]) with ordinality as p (name, ordinal)
           cross join lateral (
               select count(*) filter (where state = 'running') as running,
                      count(*) filter (where state <> 'running') as waiting
               from syncline.run where platform = p.name) u
           left join lateral (
               select outcome, finished_at, last_error from syncline.run_history
               where platform = p.name order by id desc limit 1) l on true
           left join lateral (
               select finished_at
               from (select outcome, finished_at from syncline.run_history
                     where platform = p.name order by id desc limit 1000) r
               where outcome = 'succeeded' limit 1) s on true
           cross join lateral (
               select count(*) as errors
               from (select from syncline.run_history
                     where platform = p.name and outcome <> 'succeeded' and outcome <> 'cancelled'
                       and id >= syncline.run_id_floor(syncline.now() - interval '24 hours')
                     limit 1000) r) e
           order by p.ordinal"#,
        platforms
    )
    .fetch_all(db)
    .await?)
}
