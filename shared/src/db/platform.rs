//! Settings of platforms, and what follows from them for a connection.

use serde_json::Value;

use super::{DbConnection, DbResult};
use crate::budget::Limits;
use crate::db::budget::end_waits;
use crate::ids::{BusinessId, ConnectionId, ScheduleId};
use crate::run::RetryPolicy;

/// The retry policy of a platform, as far as it differs from the default.
pub async fn find_retry(db: &mut DbConnection, platform: &str) -> DbResult<RetryPolicy> {
    let stored = sqlx::query_scalar!(
        "select retry from syncline.platform where name = $1",
        platform
    )
    .fetch_optional(db)
    .await?;
    Ok(stored.map_or_else(RetryPolicy::default, |stored| RetryPolicy::read(&stored)))
}

/// The retry policies of all platforms that have one of their own, as far as they differ from the default.
pub async fn list_retry(db: &mut DbConnection) -> DbResult<Vec<(String, RetryPolicy)>> {
    let stored = sqlx::query!("select name, retry from syncline.platform order by name")
        .fetch_all(db)
        .await?;
    Ok(stored
        .into_iter()
        .map(|row| (row.name, RetryPolicy::read(&row.retry)))
        .collect())
}

/// Sets the retry policy of a platform, whole.
pub async fn set_retry(
    db: &mut DbConnection,
    platform: &str,
    policy: &RetryPolicy,
) -> DbResult<()> {
    sqlx::query!(
        "insert into syncline.platform (name, retry) values ($1, $2)
         on conflict (name) do update set retry = excluded.retry, updated_at = syncline.now()",
        platform,
        sqlx::types::Json(policy) as _
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What decides over the budgets of a run beside its connection: the limits that its platform has in place of the manifest's, as
/// stored, and how much of a contended budget its business gets, in relation to others.
pub async fn find_budget_settings(
    db: &mut DbConnection,
    platform: &str,
    business: BusinessId,
) -> DbResult<(Value, i16)> {
    let stored = sqlx::query!(
        "select (select limits from syncline.platform where name = $1) as limits,
                (select weight from syncline.business where id = $2) as weight",
        platform,
        business.0
    )
    .fetch_one(db)
    .await?;
    Ok((
        stored.limits.unwrap_or(Value::Null),
        stored.weight.unwrap_or(1),
    ))
}

/// The limits of all platforms that have some in place of their manifest's, as stored.
pub async fn list_limits(db: &mut DbConnection) -> DbResult<Vec<(String, Value)>> {
    let stored = sqlx::query!(
        "select name, limits from syncline.platform where limits <> '{}' order by name"
    )
    .fetch_all(db)
    .await?;
    Ok(stored
        .into_iter()
        .map(|row| (row.name, row.limits))
        .collect())
}

/// Sets the limits of a platform, whole. If they change, runs that wait for one look again.
pub async fn set_limits(db: &mut DbConnection, platform: &str, limits: &Limits) -> DbResult<()> {
    let changed = sqlx::query!(
        "insert into syncline.platform as p (name, limits) values ($1, $2)
         on conflict (name) do update set limits = excluded.limits, updated_at = syncline.now()
         where p.limits is distinct from excluded.limits",
        platform,
        sqlx::types::Json(limits) as _
    )
    .execute(&mut *db)
    .await?;
    if changed.rows_affected() > 0 {
        end_waits(db, platform, None).await?;
    }
    Ok(())
}

/// The retry policy of a run: the defaults, its platform's settings, its connection's, its schedule's. What was deleted has no say.
pub async fn find_retry_policy(
    db: &mut DbConnection,
    platform: &str,
    connection: ConnectionId,
    schedule: Option<ScheduleId>,
) -> DbResult<RetryPolicy> {
    let stored = sqlx::query!(
        "select (select retry from syncline.platform where name = $1) as of_platform,
                (select retry from syncline.connection where id = $2) as of_connection,
                (select retry from syncline.schedule where id = $3) as of_schedule",
        platform,
        connection.0,
        schedule.map(|id| id.0)
    )
    .fetch_one(db)
    .await?;
    Ok(
        [stored.of_platform, stored.of_connection, stored.of_schedule]
            .into_iter()
            .flatten()
            .fold(RetryPolicy::default(), |policy, stored| {
                policy.with(RetryPolicy::read(&stored))
            }),
    )
}
