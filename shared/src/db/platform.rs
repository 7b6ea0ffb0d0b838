//! Settings of platforms, and what follows from them for a connection.

use serde_json::Value;

use super::{DbConnection, DbResult};
use crate::ids::ConnectionId;
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

/// The retry policy of a connection's runs: the defaults, the platform's settings, the connection's. That of a connection that
/// was deleted is its platform's.
pub async fn find_retry_policy(
    db: &mut DbConnection,
    platform: &str,
    connection: ConnectionId,
) -> DbResult<RetryPolicy> {
    let of_platform = find_retry(&mut *db, platform).await?;
    let stored: Option<Value> = sqlx::query_scalar!(
        "select retry from syncline.connection where id = $1",
        connection.0
    )
    .fetch_optional(db)
    .await?;
    let of_connection =
        stored.map_or_else(RetryPolicy::default, |stored| RetryPolicy::read(&stored));
    Ok(of_platform.with(of_connection))
}
