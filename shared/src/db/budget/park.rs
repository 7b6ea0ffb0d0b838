//! Runs that would only find a budget empty.

use std::time::Duration;

use crate::db::{DbConnection, DbResult};
use crate::ids::ConnectionId;

/// Notes that requests for a stream of a connection draw on these budgets.
pub async fn note_draws(
    db: &mut DbConnection,
    connection: ConnectionId,
    stream: &str,
    keys: &[String],
) -> DbResult<()> {
    sqlx::query!(
        "insert into syncline.connection_budget as b (connection_id, key, streams, seen_at)
         select $1, k.key, array[$2], syncline.now() from unnest($3::text[]) as k (key) order by k.key
         on conflict (connection_id, key) do update set
             streams = case when $2 = any (b.streams) then b.streams else b.streams || excluded.streams end,
             seen_at = excluded.seen_at",
        connection.0,
        stream,
        keys
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Has queued runs wait that will draw on a budget which gives nothing for so long. Answers how many.
pub async fn park_runs(
    db: &mut DbConnection,
    key: &str,
    wait: Duration,
    detail: &str,
) -> DbResult<u64> {
    let parked = sqlx::query_scalar!(
        r#"select syncline.park_runs($1, make_interval(secs => $2), $3) as "parked!""#,
        key,
        wait.as_secs_f64(),
        detail
    )
    .fetch_one(db)
    .await?;
    Ok(u64::try_from(parked).unwrap_or(0))
}
