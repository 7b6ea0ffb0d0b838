//! Looking schedules up.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Schedule, ScheduleState, query_schedules};
use crate::db::{DbConnection, DbResult};
use crate::ids::{BusinessId, ScheduleId};

/// Which schedules a page of the list shows. Filters are combined by AND.
#[derive(Debug, Clone, Default)]
pub struct ScheduleFilter {
    /// Only those whose target is this business, or a connection of it.
    pub business: Option<BusinessId>,
    /// Only those whose target is this platform, or a connection of it.
    pub platform: Option<String>,
    /// Only those in one of these states.
    pub states: Option<Vec<ScheduleState>>,
    /// Only those with this text in their key or name, whatever its case.
    pub text: Option<String>,
    /// Only the keys that follow this one.
    pub after_key: Option<String>,
}

/// A schedule by id or key.
pub async fn find(db: &mut DbConnection, id_or_key: &str) -> DbResult<Option<Schedule>> {
    Ok(query_schedules!(
        "where s.key = $1 or s.id = $2",
        id_or_key,
        Uuid::parse_str(id_or_key).ok()
    )
    .fetch_optional(db)
    .await?)
}

/// The key of a schedule, unless it was deleted.
pub async fn find_key(db: &mut DbConnection, id: ScheduleId) -> DbResult<Option<String>> {
    Ok(
        sqlx::query_scalar!("select key from syncline.schedule where id = $1", id.0)
            .fetch_optional(db)
            .await?,
    )
}

/// Locks a schedule, by id or key, until the transaction ends, so that no scheduler moves it meanwhile. Others may begin to follow it: that
/// takes no more than its key, and two that begin to follow each other must not wait for each other's rows.
pub async fn lock(db: &mut DbConnection, id_or_key: &str) -> DbResult<Option<Schedule>> {
    Ok(query_schedules!(
        "where s.key = $1 or s.id = $2 for no key update of s",
        id_or_key,
        Uuid::parse_str(id_or_key).ok()
    )
    .fetch_optional(db)
    .await?)
}

/// Schedules in the order of their keys.
pub async fn list(
    db: &mut DbConnection,
    filter: &ScheduleFilter,
    limit: i64,
) -> DbResult<Vec<Schedule>> {
    let states: Option<Vec<String>> = filter.states.as_ref().map(|states| {
        let words = states.iter().map(|state| state.as_str().to_owned());
        words.collect()
    });
    // The states are those of `Schedule::state`.
    Ok(query_schedules!(
        "left join syncline.connection c on c.id = s.connection_id
         where s.key > coalesce($1, '')
           and ($2::uuid is null or s.business_id = $2 or c.business_id = $2)
           and ($3::text is null or s.platform = $3 or c.platform = $3)
           and ($4::text is null or position(lower($4) in lower(s.key || ' ' || s.name)) > 0)
           and ($5::text[] is null or case
                   when exists (select from syncline.run r where r.schedule_id = s.id offset 0) then 'running'
                   when not s.enabled or s.pause_cause = 'person' then 'paused'
                   when s.paused_at is not null or s.problem is not null then 'error'
                   else 'active' end = any ($5))
         order by s.key limit $6",
        filter.after_key,
        filter.business.map(|id| id.0),
        filter.platform,
        filter.text,
        states.as_deref(),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Where a page of [`list_by_urgency`] goes on: behind this schedule.
#[derive(Debug, Clone)]
pub struct Urgency {
    /// True if it asks for a person.
    pub needs_person: bool,
    /// When it is due.
    pub due_at: Option<DateTime<Utc>>,
    /// Its key.
    pub key: String,
}

/// Schedules as people should look at them: those that paused themselves after failures or have a problem, then the others by when they
/// are due, and last those that never are. One that is due meanwhile moves back, so a list that is turned over may show it twice; it
/// leaves none out.
pub async fn list_by_urgency(
    db: &mut DbConnection,
    text: Option<&str>,
    after: Option<&Urgency>,
    limit: i64,
) -> DbResult<Vec<Schedule>> {
    Ok(query_schedules!(
        "where ($1::text is null or position(lower($1) in lower(s.key || ' ' || s.name)) > 0)
           and ($2::text is null
                or (not (s.problem is not null or s.pause_cause is not distinct from 'failures'),
                    coalesce(s.due_at, 'infinity'), s.key)
                   > (not $3::bool, coalesce($4::timestamptz, 'infinity'), $2))
         order by not (s.problem is not null or s.pause_cause is not distinct from 'failures'),
                  coalesce(s.due_at, 'infinity'), s.key
         limit $5",
        text,
        after.map(|after| after.key.as_str()),
        after.map(|after| after.needs_person),
        after.and_then(|after| after.due_at),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The schedules that have a next moment, soonest first.
pub async fn list_upcoming(db: &mut DbConnection, limit: i64) -> DbResult<Vec<Schedule>> {
    Ok(query_schedules!(
        "where s.due_at is not null order by s.due_at, s.key limit $1",
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The schedules that follow another's batches.
pub async fn list_after(db: &mut DbConnection, schedule: ScheduleId) -> DbResult<Vec<Schedule>> {
    Ok(query_schedules!(
        "where s.after_schedule_id = $1 order by s.key for update of s",
        schedule.0
    )
    .fetch_all(db)
    .await?)
}

/// The chain of schedules that begins with this one, each followed by the one before it: ids and keys. A circle is walked through
/// once.
pub async fn list_followed(
    db: &mut DbConnection,
    first: ScheduleId,
) -> DbResult<Vec<(ScheduleId, String)>> {
    let rows = sqlx::query!(
        r#"with recursive followed as (
               select s.id, s.key, s.after_schedule_id, array[s.id] as path
               from syncline.schedule s where s.id = $1
               union all
               select s.id, s.key, s.after_schedule_id, f.path || s.id
               from followed f join syncline.schedule s on s.id = f.after_schedule_id
               where s.id <> all (f.path)
           )
           select id as "id!: ScheduleId", key as "key!" from followed order by cardinality(path)"#,
        first.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.key)).collect())
}

/// Makes those who let schedules follow others wait for one another until their transactions end: two that did so at once could close
/// a circle of which neither sees more than its half.
pub async fn lock_following(db: &mut DbConnection) -> DbResult<()> {
    // The number is this purpose's own among Syncline's advisory locks.
    sqlx::query!("select pg_advisory_xact_lock(7291005)")
        .execute(db)
        .await?;
    Ok(())
}
