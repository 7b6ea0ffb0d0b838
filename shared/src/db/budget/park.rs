//! Runs that would only find a budget empty.

use std::time::Duration;

use uuid::Uuid;

use crate::db::run::promote;
use crate::db::{DbConnection, DbResult};
use crate::ids::ConnectionId;

/// Notes that requests for a stream of a connection draw on these budgets.
pub async fn note_draws(
    db: &mut DbConnection,
    connection: ConnectionId,
    stream: &str,
    keys: &[String],
) -> DbResult<()> {
    // It draws on another account's budget of the same name now.
    sqlx::query!(
        "delete from syncline.connection_budget o
         using syncline.budget b, syncline.budget n
         where o.connection_id = $1 and o.streams <@ array[$2] and b.key = o.key and n.key = any ($3::text[])
           and n.platform = b.platform and n.name = b.name and n.key <> b.key and b.key <> all ($3::text[])",
        connection.0,
        stream,
        keys
    )
    .execute(&mut *db)
    .await?;
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

/// Has queued runs wait that will draw on a budget which gives nobody anything for so long: they would only be claimed to find that out.
/// Runs for streams that were not seen to draw on it stay where they are; with `spares_manual` those, too, that a person started. Answers
/// how many wait.
pub async fn park_runs(
    db: &mut DbConnection,
    key: &str,
    wait: Duration,
    detail: &str,
    spares_manual: bool,
) -> DbResult<usize> {
    // One run of each connection stands in its gate; those that are being claimed are passed over. Written so that runs are found by
    // their ids, not in the index of all that are queued.
    let connections: Vec<Uuid> = sqlx::query_scalar!(
        "with gate as materialized (
             select c.streams, (select r.id from syncline.run r
                                where r.connection_id = c.connection_id and r.state in ('queued', 'running')) as run_id
             from syncline.connection_budget c where c.key = $1
         ),
         parked as (
             select r.id from gate g join syncline.run r on r.id = g.run_id
             where r.state is not distinct from 'queued' and (r.streams is null or r.streams && g.streams)
               and not ($4 and r.schedule_id is null and r.kind <> 'backfill')
             for update of r skip locked
         )
         update syncline.run r set state = 'waiting', wait_reason = 'limit', wait_detail = $3, wait_key = $1,
             due_at = syncline.now() + make_interval(secs => $2)
         where r.id = any (array(select p.id from parked p))
         returning r.connection_id",
        key,
        wait.as_secs_f64(),
        detail,
        spares_manual
    )
    .fetch_all(&mut *db)
    .await?;
    // What was blocked behind them draws on the same budget and will be parked, too, or be claimed and find out.
    promote(db, &connections).await?;
    Ok(connections.len())
}
