//! Looking schedules up.

use uuid::Uuid;

use super::{Schedule, query_schedules};
use crate::db::{DbConnection, DbResult};
use crate::ids::{BusinessId, ScheduleId};

/// Which schedules a page of the list shows. Filters are combined by AND.
#[derive(Debug, Clone, Default)]
pub struct ScheduleFilter {
    /// Only those whose target is this business, or a connection of it.
    pub business: Option<BusinessId>,
    /// Only those whose target is this platform, or a connection of it.
    pub platform: Option<String>,
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

/// Locks a schedule, by id or key, until the transaction ends, so that no scheduler moves it meanwhile.
pub async fn lock(db: &mut DbConnection, id_or_key: &str) -> DbResult<Option<Schedule>> {
    Ok(query_schedules!(
        "where s.key = $1 or s.id = $2 for update of s",
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
    Ok(query_schedules!(
        "where ($1::text is null or s.key > $1)
           and ($2::uuid is null or s.business_id = $2 or c.business_id = $2)
           and ($3::text is null or s.platform = $3 or c.platform = $3)
         order by s.key limit $4",
        filter.after_key,
        filter.business.map(|id| id.0),
        filter.platform,
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

/// True if a schedule that follows another would, over some steps, follow itself.
pub async fn would_be_circular(
    db: &mut DbConnection,
    schedule: ScheduleId,
    after: ScheduleId,
) -> DbResult<bool> {
    // `union` ends also where rows that were there before form a circle.
    Ok(sqlx::query_scalar!(
        r#"with recursive followed as (
               select $2::uuid as id
               union
               select s.after_schedule_id from followed f join syncline.schedule s on s.id = f.id
               where s.after_schedule_id is not null
           )
           select exists (select from followed where id = $1) as "circular!""#,
        schedule.0,
        after.0
    )
    .fetch_one(db)
    .await?)
}
