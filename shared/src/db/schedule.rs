//! Schedules, and the scheduler's question: what is due?

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{DbConnection, DbResult};
use crate::ids::{BusinessId, ConnectionId, ScheduleId};
use crate::run::RunKind;
use crate::schedule::{TargetKind, Trigger, TriggerError};

/// A trigger on a target, as stored.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Identity.
    pub id: ScheduleId,
    /// The user's own name for it.
    pub key: String,
    /// Shown to people.
    pub name: String,
    /// Cron fields, if it is a cron schedule.
    pub cron: Option<String>,
    /// IANA time zone of the cron fields.
    pub zone: String,
    /// Seconds between moments, if it is an interval.
    pub every_seconds: Option<i64>,
    /// The moment an interval is counted from.
    pub anchor: Option<DateTime<Utc>>,
    /// What it syncs.
    pub target: TargetKind,
    /// The connection, if that is the target.
    pub connection_id: Option<ConnectionId>,
    /// The business, if that is the target.
    pub business_id: Option<BusinessId>,
    /// The key of that connection or business.
    pub target_key: Option<String>,
    /// The platform, if that is the target.
    pub platform: Option<String>,
    /// Only these streams; `None`: those the connection has chosen.
    pub streams: Option<Vec<String>>,
    /// How much its runs read.
    pub kind: RunKind,
    /// Priority of its runs; the smaller, the sooner.
    pub priority: i16,
    /// False: it has no next tick.
    pub enabled: bool,
    /// Nominal instant of its next tick.
    pub next_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Schedule {
    /// Its trigger. Fails if a stored expression is no longer understood.
    pub fn trigger(&self) -> Result<Trigger, TriggerError> {
        match (&self.cron, self.every_seconds, self.anchor) {
            (Some(cron), _, _) => Trigger::cron(cron, &self.zone),
            (None, Some(every), Some(anchor)) => Trigger::interval(every, anchor),
            _ => Err(TriggerError {
                field: "trigger",
                value: self.key.clone(),
                problem: "it has neither cron fields nor an interval".to_owned(),
            }),
        }
    }
}

/// What a schedule is saved from. Checked by whoever makes it.
#[derive(Debug, Clone)]
pub struct ScheduleDraft<'a> {
    /// The user's own name for it.
    pub key: &'a str,
    /// Shown to people.
    pub name: &'a str,
    /// Cron fields, if it is a cron schedule.
    pub cron: Option<&'a str>,
    /// IANA time zone of the cron fields.
    pub zone: &'a str,
    /// Seconds between moments, if it is an interval.
    pub every_seconds: Option<i64>,
    /// The moment an interval is counted from.
    pub anchor: Option<DateTime<Utc>>,
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
    /// Priority of its runs.
    pub priority: i16,
    /// False: it has no next tick.
    pub enabled: bool,
    /// Nominal instant of its first tick; `None` if it is not enabled.
    pub next_at: Option<DateTime<Utc>>,
}

/// Creates a schedule. Fails on `schedule_key_unique` if the key is taken.
pub async fn create(db: &mut DbConnection, draft: &ScheduleDraft<'_>) -> DbResult<ScheduleId> {
    Ok(sqlx::query_scalar!(
        r#"insert into syncline.schedule
               (key, name, trigger, cron, zone, every_seconds, anchor, target, connection_id,
                business_id, platform, streams, kind, priority, enabled, next_at)
           values ($1, $2, case when $3::text is not null then 'cron' else 'interval' end,
                   $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
           returning id as "id: ScheduleId""#,
        draft.key,
        draft.name,
        draft.cron,
        draft.zone,
        draft.every_seconds,
        draft.anchor,
        draft.target.as_str(),
        draft.connection_id.map(|id| id.0),
        draft.business_id.map(|id| id.0),
        draft.platform,
        draft.streams,
        draft.kind.as_str(),
        draft.priority,
        draft.enabled,
        draft.next_at
    )
    .fetch_one(db)
    .await?)
}

/// Replaces what a schedule was saved from, but for its key.
pub async fn update(
    db: &mut DbConnection,
    id: ScheduleId,
    draft: &ScheduleDraft<'_>,
) -> DbResult<()> {
    sqlx::query!(
        "update syncline.schedule set
             name = $2, trigger = case when $3::text is not null then 'cron' else 'interval' end,
             cron = $3, zone = $4, every_seconds = $5, anchor = $6, target = $7, connection_id = $8,
             business_id = $9, platform = $10, streams = $11, kind = $12, priority = $13, enabled = $14,
             next_at = $15, updated_at = syncline.now()
         where id = $1",
        id.0,
        draft.name,
        draft.cron,
        draft.zone,
        draft.every_seconds,
        draft.anchor,
        draft.target.as_str(),
        draft.connection_id.map(|id| id.0),
        draft.business_id.map(|id| id.0),
        draft.platform,
        draft.streams,
        draft.kind.as_str(),
        draft.priority,
        draft.enabled,
        draft.next_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A schedule by id or key.
pub async fn find(db: &mut DbConnection, id_or_key: &str) -> DbResult<Option<Schedule>> {
    Ok(sqlx::query_as!(
        Schedule,
        r#"select s.id as "id: ScheduleId", s.key, s.name, s.cron, s.zone, s.every_seconds, s.anchor,
                  s.target as "target: TargetKind", s.connection_id as "connection_id: ConnectionId",
                  s.business_id as "business_id: BusinessId",
                  coalesce(c.key, b.key) as "target_key?", s.platform,
                  s.streams, s.kind as "kind: RunKind", s.priority, s.enabled, s.next_at,
                  s.created_at, s.updated_at
           from syncline.schedule s
           left join syncline.connection c on c.id = s.connection_id
           left join syncline.business b on b.id = s.business_id
           where s.key = $1 or s.id = $2"#,
        id_or_key,
        Uuid::parse_str(id_or_key).ok()
    )
    .fetch_optional(db)
    .await?)
}

/// Schedules in the order of their keys, after the given one.
pub async fn list(
    db: &mut DbConnection,
    after_key: Option<&str>,
    limit: i64,
) -> DbResult<Vec<Schedule>> {
    Ok(sqlx::query_as!(
        Schedule,
        r#"select s.id as "id: ScheduleId", s.key, s.name, s.cron, s.zone, s.every_seconds, s.anchor,
                  s.target as "target: TargetKind", s.connection_id as "connection_id: ConnectionId",
                  s.business_id as "business_id: BusinessId",
                  coalesce(c.key, b.key) as "target_key?", s.platform,
                  s.streams, s.kind as "kind: RunKind", s.priority, s.enabled, s.next_at,
                  s.created_at, s.updated_at
           from syncline.schedule s
           left join syncline.connection c on c.id = s.connection_id
           left join syncline.business b on b.id = s.business_id
           where $1::text is null or s.key > $1
           order by s.key limit $2"#,
        after_key,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The schedules that have a next tick, soonest first.
pub async fn list_upcoming(db: &mut DbConnection, limit: i64) -> DbResult<Vec<Schedule>> {
    Ok(sqlx::query_as!(
        Schedule,
        r#"select s.id as "id: ScheduleId", s.key, s.name, s.cron, s.zone, s.every_seconds, s.anchor,
                  s.target as "target: TargetKind", s.connection_id as "connection_id: ConnectionId",
                  s.business_id as "business_id: BusinessId",
                  coalesce(c.key, b.key) as "target_key?", s.platform,
                  s.streams, s.kind as "kind: RunKind", s.priority, s.enabled, s.next_at,
                  s.created_at, s.updated_at
           from syncline.schedule s
           left join syncline.connection c on c.id = s.connection_id
           left join syncline.business b on b.id = s.business_id
           where s.next_at is not null
           order by s.next_at, s.key limit $1"#,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Locks a schedule until the transaction ends, so that no scheduler moves it meanwhile. False: there is none of that key.
pub async fn lock(db: &mut DbConnection, key: &str) -> DbResult<bool> {
    let locked = sqlx::query_scalar!(
        "select id from syncline.schedule where key = $1 for update",
        key
    )
    .fetch_optional(db)
    .await?;
    Ok(locked.is_some())
}

/// Locks the schedule that has been due for longest, if one is due. Schedulers pass over each other's, so any number of
/// them can run; whoever holds the lock decides the tick in the same transaction.
pub async fn lock_due(db: &mut DbConnection) -> DbResult<Option<Schedule>> {
    Ok(sqlx::query_as!(
        Schedule,
        r#"select s.id as "id: ScheduleId", s.key, s.name, s.cron, s.zone, s.every_seconds, s.anchor,
                  s.target as "target: TargetKind", s.connection_id as "connection_id: ConnectionId",
                  s.business_id as "business_id: BusinessId", null as "target_key?: String", s.platform,
                  s.streams, s.kind as "kind: RunKind", s.priority, s.enabled, s.next_at,
                  s.created_at, s.updated_at
           from syncline.schedule s
           where s.next_at <= syncline.now()
           order by s.next_at
           limit 1
           for update skip locked"#
    )
    .fetch_optional(db)
    .await?)
}

/// Moves a schedule to its next tick.
pub async fn set_next(
    db: &mut DbConnection,
    id: ScheduleId,
    next_at: Option<DateTime<Utc>>,
) -> DbResult<()> {
    sqlx::query!(
        "update syncline.schedule set next_at = $2 where id = $1",
        id.0,
        next_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How long until the next schedule is due, in seconds; negative if one is overdue; `None` if none has a next tick.
pub async fn seconds_until_next(db: &mut DbConnection) -> DbResult<Option<f64>> {
    Ok(sqlx::query_scalar!(
        r#"select extract(epoch from min(next_at) - syncline.now())::float8 as "seconds"
           from syncline.schedule where next_at is not null"#
    )
    .fetch_one(db)
    .await?)
}
