//! What schedulers ask and write while they decide ticks: many schedules in one statement.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Schedule, query_schedules};
use crate::db::{DbConnection, DbResult};
use crate::ids::ScheduleId;

/// What a decision leaves behind on its schedule.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The schedule.
    pub id: ScheduleId,
    /// Its next moment: nominal instant and due time.
    pub next: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Ticks driven by time that fired just now.
    pub fired: i64,
    /// True: the call of its inbound trigger was answered by a tick.
    pub trigger_answered: bool,
    /// Why it cannot be scheduled any more.
    pub problem: Option<String>,
}

/// Locks schedules that are due, those due for longest first. Schedulers pass over each other's, so any number of them can run;
/// whoever holds a lock decides that schedule in the same transaction. The keys of what they concern are left out.
pub async fn lock_due(db: &mut DbConnection, limit: i64) -> DbResult<Vec<Schedule>> {
    Ok(query_schedules!(
        without names
        "where s.due_at <= syncline.now() order by s.due_at limit $1 for update of s skip locked",
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Writes what was decided.
pub async fn save_decided(db: &mut DbConnection, decided: &[Decided]) -> DbResult<()> {
    let ids: Vec<_> = decided.iter().map(|one| one.id.0).collect();
    let next: Vec<_> = decided
        .iter()
        .map(|one| one.next.map(|(nominal, _)| nominal))
        .collect();
    let due: Vec<_> = decided
        .iter()
        .map(|one| one.next.map(|(_, due)| due))
        .collect();
    let fired: Vec<_> = decided.iter().map(|one| one.fired).collect();
    let answered: Vec<_> = decided.iter().map(|one| one.trigger_answered).collect();
    let problems: Vec<_> = decided.iter().map(|one| one.problem.clone()).collect();
    sqlx::query!(
        "update syncline.schedule s set
             next_at = d.next_at, due_at = least(d.due_at, case when d.answered then null else s.trigger_at end),
             trigger_at = case when d.answered then null else s.trigger_at end,
             fired = s.fired + d.fired, problem = coalesce(d.problem, s.problem)
         from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::bool[], $6::text[])
              as d (id, next_at, due_at, fired, answered, problem)
         where s.id = d.id",
        &ids,
        &next as &[Option<DateTime<Utc>>],
        &due as &[Option<DateTime<Utc>>],
        &fired,
        &answered,
        &problems as &[Option<String>]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes a call of an inbound trigger, by the SHA-256 of its secret: a tick is due at the end of the debounce time of the first
/// call. Answers the schedule's key, and when; no time: it is paused or disabled. `None`: there is no such trigger.
pub async fn call_trigger(
    db: &mut DbConnection,
    secret: &[u8],
) -> DbResult<Option<(String, Option<DateTime<Utc>>)>> {
    let called = sqlx::query!(
        "update syncline.schedule set
             triggered_at = syncline.now(),
             trigger_at = case when enabled and paused_at is null
                               then coalesce(trigger_at, syncline.now() + make_interval(secs => debounce_seconds)) end,
             due_at = case when enabled and paused_at is null
                           then least(due_at, coalesce(trigger_at, syncline.now() + make_interval(secs => debounce_seconds)))
                      end
         where trigger_secret = $1
         returning key, trigger_at",
        secret
    )
    .fetch_optional(db)
    .await?;
    Ok(called.map(|row| (row.key, row.trigger_at)))
}

/// Counts a batch that ended: failures in a row, or none any more. Answers how many there are now; `None`: the schedule was deleted.
pub async fn count_batch(
    db: &mut DbConnection,
    id: ScheduleId,
    has_failed: bool,
) -> DbResult<Option<i32>> {
    Ok(sqlx::query_scalar!(
        "update syncline.schedule set
             failures_in_a_row = case when $2 then failures_in_a_row + 1 else 0 end
         where id = $1 returning failures_in_a_row",
        id.0,
        has_failed
    )
    .fetch_optional(db)
    .await?)
}

/// Has a schedule looked at again later: it could not be decided.
pub async fn postpone(db: &mut DbConnection, id: ScheduleId, by: Duration) -> DbResult<()> {
    sqlx::query!(
        "update syncline.schedule set due_at = syncline.now() + make_interval(secs => $2)
         where id = $1 and due_at is not null",
        id.0,
        by.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}
