//! Ticks: what became of each due moment.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{DbConnection, DbResult};
use crate::ids::{BatchId, ScheduleId};
use crate::schedule::TickOutcome;

/// A due moment of a schedule, or a gap of them.
#[derive(Debug, Clone, Serialize)]
pub struct Tick {
    /// The due moment; of a gap, the first.
    pub nominal_at: DateTime<Utc>,
    /// Of a gap, its last due moment; else `nominal_at`.
    pub last_nominal_at: DateTime<Utc>,
    /// How many due moments it stands for.
    pub moments: i64,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why it did not fire.
    pub reason: Option<String>,
    /// The batch of runs it made.
    pub batch_id: Option<BatchId>,
    /// When that was decided.
    pub decided_at: DateTime<Utc>,
}

/// What a scheduler decided about a due moment.
#[derive(Debug, Clone)]
pub struct TickDecision<'a> {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The due moment; of a gap, the first.
    pub nominal_at: DateTime<Utc>,
    /// Of a gap, its last due moment; else `nominal_at`.
    pub last_nominal_at: DateTime<Utc>,
    /// How many due moments it stands for.
    pub moments: i64,
    /// What becomes of it.
    pub outcome: TickOutcome,
    /// Why it does not fire.
    pub reason: Option<&'a str>,
    /// The batch of runs it makes.
    pub batch_id: Option<BatchId>,
}

/// Records a tick. Fails on the constraint `tick_once` if it was decided before.
pub async fn record(db: &mut DbConnection, tick: &TickDecision<'_>) -> DbResult<()> {
    sqlx::query!(
        "insert into syncline.tick
             (schedule_id, nominal_at, last_nominal_at, moments, outcome, reason, batch_id)
         values ($1, $2, $3, $4, $5, $6, $7)",
        tick.schedule_id.0,
        tick.nominal_at,
        tick.last_nominal_at,
        tick.moments,
        tick.outcome.as_str(),
        tick.reason,
        tick.batch_id.map(|id| id.0)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// True if a due moment was decided before: on its own, or as the first of a gap.
pub async fn is_decided(
    db: &mut DbConnection,
    schedule: ScheduleId,
    nominal_at: DateTime<Utc>,
) -> DbResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from syncline.tick
                          where schedule_id = $1 and nominal_at = $2) as "exists!""#,
        schedule.0,
        nominal_at
    )
    .fetch_one(db)
    .await?)
}

/// The latest ticks of a schedule, newest first.
pub async fn list_latest(
    db: &mut DbConnection,
    schedule: ScheduleId,
    limit: i64,
) -> DbResult<Vec<Tick>> {
    Ok(sqlx::query_as!(
        Tick,
        r#"select nominal_at, last_nominal_at, moments, outcome as "outcome: TickOutcome", reason,
                  batch_id as "batch_id: BatchId", decided_at
           from syncline.tick where schedule_id = $1 order by nominal_at desc limit $2"#,
        schedule.0,
        limit
    )
    .fetch_all(db)
    .await?)
}
