//! Creating, changing, pausing and deleting schedules. The caller has locked the row.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::SchedulePauseCause;
use crate::db::{DbConnection, DbResult};
use crate::ids::{BusinessId, ConnectionId, ScheduleId};
use crate::run::{RetryPolicy, RunKind};
use crate::schedule::{AfterOutcome, Policy, TargetKind, TriggerKind};

/// What a schedule is saved from. Checked by whoever makes it.
#[derive(Debug, Clone)]
pub struct ScheduleDraft<'a> {
    /// The user's own name for it.
    pub key: &'a str,
    /// Shown to people.
    pub name: &'a str,
    /// What drives it.
    pub trigger: TriggerKind,
    /// Cron fields, if it is a cron schedule.
    pub cron: Option<&'a str>,
    /// IANA time zone of the cron fields.
    pub zone: &'a str,
    /// Seconds between moments, if it is an interval.
    pub every_seconds: Option<i64>,
    /// The moment an interval is counted from.
    pub anchor: Option<DateTime<Utc>>,
    /// Its one moment, if it has one.
    pub run_at: Option<DateTime<Utc>>,
    /// The schedule whose batches it follows, and which of them.
    pub after: Option<(ScheduleId, AfterOutcome)>,
    /// What it syncs.
    pub target: TargetKind,
    /// The connection, if that is the target.
    pub connection_id: Option<ConnectionId>,
    /// The business, if that is the target.
    pub business_id: Option<BusinessId>,
    /// The platform, if that is the target.
    pub platform: Option<&'a str>,
    /// Only these streams; `None`: those the connection has chosen.
    pub streams: Option<&'a [String]>,
    /// How much its runs read.
    pub kind: RunKind,
    /// The page, if the kind is `page`.
    pub page: Option<i64>,
    /// Priority of its runs.
    pub priority: i16,
    /// Its policy.
    pub policy: &'a Policy,
    /// What its runs do differently after a failure.
    pub retry: &'a RetryPolicy,
    /// Its runs end as failed so many seconds after their first start.
    pub time_limit_seconds: Option<i32>,
    /// Calls of the inbound trigger within so many seconds make one tick.
    pub debounce_seconds: i32,
    /// SHA-256 of the secret of its inbound trigger; `None`: it has no such trigger, or keeps the one it has.
    pub trigger_secret: Option<&'a [u8]>,
    /// True: it has no inbound trigger.
    pub without_trigger: bool,
    /// False: it has no next tick.
    pub enabled: bool,
}

/// Creates a schedule that has no moment yet. Fails on `schedule_key_unique` if the key is taken.
pub async fn create(db: &mut DbConnection, draft: &ScheduleDraft<'_>) -> DbResult<ScheduleId> {
    Ok(sqlx::query_scalar!(
        r#"insert into syncline.schedule
               (key, name, trigger, cron, zone, every_seconds, anchor, run_at, after_schedule_id, after_outcome,
                target, connection_id, business_id, platform, streams, kind, page, priority, policy, retry,
                time_limit_seconds, debounce_seconds, trigger_secret, enabled)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
           returning id as "id: ScheduleId""#,
        draft.key,
        draft.name,
        draft.trigger.as_str(),
        draft.cron,
        draft.zone,
        draft.every_seconds,
        draft.anchor,
        draft.run_at,
        draft.after.map(|(id, _)| id.0),
        draft.after.map(|(_, outcome)| outcome.as_str()),
        draft.target.as_str(),
        draft.connection_id.map(|id| id.0),
        draft.business_id.map(|id| id.0),
        draft.platform,
        draft.streams,
        draft.kind.as_str(),
        draft.page,
        draft.priority,
        Json(draft.policy) as _,
        Json(draft.retry) as _,
        draft.time_limit_seconds,
        draft.debounce_seconds,
        draft.trigger_secret,
        draft.enabled
    )
    .fetch_one(db)
    .await?)
}

/// Replaces what a schedule was saved from, but for its key. What it has done stays: ticks that fired, a pause, a call of its inbound
/// trigger. A problem that it had is taken for mended. It has no moment until [`super::set_next`] gives it one.
pub async fn update(
    db: &mut DbConnection,
    id: ScheduleId,
    draft: &ScheduleDraft<'_>,
) -> DbResult<()> {
    // Between set and where, a column is what it was.
    sqlx::query!(
        "update syncline.schedule set
             timed_at = case
                 when (trigger, cron, zone, every_seconds, target, connection_id, business_id, platform, streams, kind,
                       policy -> 'spread_seconds')
                     is distinct from ($3, $4, $5, $6, $11, $12, $13, $14, $15, $16, $19::jsonb -> 'spread_seconds')
                 then syncline.now() else timed_at end,
             name = $2, trigger = $3, cron = $4, zone = $5, every_seconds = $6, anchor = $7, run_at = $8,
             after_schedule_id = $9, after_outcome = $10, target = $11, connection_id = $12,
             business_id = $13, platform = $14, streams = $15, kind = $16, page = $17, priority = $18,
             policy = $19, retry = $20, time_limit_seconds = $21, debounce_seconds = $22,
             trigger_secret = case when $25 then null else coalesce($23, trigger_secret) end, enabled = $24,
             next_at = null,
             trigger_at = case when $24 and paused_at is null then trigger_at end,
             due_at = case when $24 and paused_at is null then trigger_at end,
             problem = null, updated_at = syncline.now()
         where id = $1",
        id.0,
        draft.name,
        draft.trigger.as_str(),
        draft.cron,
        draft.zone,
        draft.every_seconds,
        draft.anchor,
        draft.run_at,
        draft.after.map(|(id, _)| id.0),
        draft.after.map(|(_, outcome)| outcome.as_str()),
        draft.target.as_str(),
        draft.connection_id.map(|id| id.0),
        draft.business_id.map(|id| id.0),
        draft.platform,
        draft.streams,
        draft.kind.as_str(),
        draft.page,
        draft.priority,
        Json(draft.policy) as _,
        Json(draft.retry) as _,
        draft.time_limit_seconds,
        draft.debounce_seconds,
        draft.trigger_secret,
        draft.enabled,
        draft.without_trigger
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives a schedule its next moment: nominal instant and due time. `None`: it has none.
pub async fn set_next(
    db: &mut DbConnection,
    id: ScheduleId,
    moment: Option<(DateTime<Utc>, DateTime<Utc>)>,
) -> DbResult<()> {
    sqlx::query!(
        "update syncline.schedule set next_at = $2, due_at = least($3, trigger_at) where id = $1",
        id.0,
        moment.map(|(nominal, _)| nominal),
        moment.map(|(_, due)| due)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Pauses a schedule: it has no ticks until it is resumed. Who paused it first stays on record, with a new note. False: it was
/// paused already.
pub async fn pause(
    db: &mut DbConnection,
    id: ScheduleId,
    cause: SchedulePauseCause,
    by: &str,
    note: Option<&str>,
) -> DbResult<bool> {
    let before = sqlx::query_scalar!(
        r#"with before as (select id, paused_at from syncline.schedule where id = $1 for update)
           update syncline.schedule s set
               paused_at = coalesce(s.paused_at, syncline.now()), paused_by = coalesce(s.paused_by, $2),
               pause_cause = coalesce(s.pause_cause, $3), pause_note = coalesce($4, s.pause_note),
               next_at = null, due_at = null, trigger_at = null
           from before where s.id = before.id
           returning before.paused_at is not null as "was_paused!""#,
        id.0,
        by,
        cause.as_str(),
        note
    )
    .fetch_optional(db)
    .await?;
    Ok(before == Some(false))
}

/// Ends a pause; failures are counted anew. The schedule has no moment until [`set_next`] gives it one. False: it was not paused.
pub async fn resume(db: &mut DbConnection, id: ScheduleId) -> DbResult<bool> {
    let resumed = sqlx::query!(
        "update syncline.schedule set
             paused_at = null, paused_by = null, pause_cause = null, pause_note = null, failures_in_a_row = 0
         where id = $1 and paused_at is not null",
        id.0
    )
    .execute(db)
    .await?;
    Ok(resumed.rows_affected() == 1)
}

/// Deletes a schedule with its ticks. Its runs and batches stay. Fails on `schedule_after_schedule_id_fkey` if others follow it.
pub async fn delete(db: &mut DbConnection, id: ScheduleId) -> DbResult<bool> {
    let deleted = sqlx::query!("delete from syncline.schedule where id = $1", id.0)
        .execute(db)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Deletes schedules that no other follows, a bounded number at a time. Answers how many.
pub async fn delete_unfollowed(db: &mut DbConnection, limit: i64) -> DbResult<u64> {
    let deleted = sqlx::query!(
        "delete from syncline.schedule where id in (
             select s.id from syncline.schedule s
             where not exists (select from syncline.schedule f where f.after_schedule_id = s.id)
             order by s.id limit $1)",
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// Sets the SHA-256 of the secret of a schedule's inbound trigger; `None`: it has no such trigger. A call that was made before still
/// makes its tick. False: it had none before.
pub async fn set_trigger_secret(
    db: &mut DbConnection,
    id: ScheduleId,
    secret: Option<&[u8]>,
) -> DbResult<bool> {
    let before = sqlx::query_scalar!(
        r#"with before as (select id, trigger_secret from syncline.schedule where id = $1 for update)
           update syncline.schedule s set trigger_secret = $2
           from before where s.id = before.id
           returning before.trigger_secret is not null as "had_one!""#,
        id.0,
        secret
    )
    .fetch_optional(db)
    .await?;
    Ok(before == Some(true))
}
