//! What moves runs that are not running: due times, and gates that have become free.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::DbResult;

/// Moves runs whose wait is over, a bounded number at a time: first to `blocked`, which cannot conflict with anything; then the
/// first of each connection whose gate is free to `queued`. Answers how many waits ended and how many runs are queued.
pub async fn move_due(db: &mut PgConnection, limit: i64) -> DbResult<(usize, u64)> {
    // Schedulers pass over each other's rows.
    let connections: Vec<Uuid> = sqlx::query_scalar!(
        "update syncline.run r set state = 'blocked', wait_reason = null, wait_detail = null
         where r.ctid = any (array(
             select w.ctid from syncline.run w
             where w.state = 'waiting' and w.due_at <= syncline.now()
             order by w.due_at limit $1
             for update skip locked))
         returning r.connection_id",
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    if connections.is_empty() {
        return Ok((0, 0));
    }
    let promoted = sqlx::query!(
        "update syncline.run r set state = 'queued'
         where r.state = 'blocked' and r.id = any (array(
             select (select b.id from syncline.run b
                     where b.connection_id = c.id and b.state = 'blocked'
                     order by b.priority, b.fair_turn limit 1)
             from (select distinct unnest($1::uuid[])) as c (id)
             where not exists (select from syncline.run a
                               where a.connection_id = c.id and a.state in ('queued', 'running'))))",
        &connections
    )
    .execute(db)
    .await?;
    Ok((connections.len(), promoted.rows_affected()))
}

/// Finds connections with blocked runs and a free gate, and queues the first run of each. That state lasts only when a run was
/// enqueued just as its predecessor finished. One sweep runs at a time in the fleet.
pub async fn promote_stranded(db: &mut PgConnection) -> DbResult<u64> {
    // The number is this sweep's own among Syncline's advisory locks; the lock ends with the transaction.
    let promoted = sqlx::query!(
        "with sweep as materialized (select pg_try_advisory_xact_lock(7291001) as mine)
         update syncline.run r set state = 'queued'
         where r.state = 'blocked' and (select mine from sweep) and r.id = any (array(
             select distinct on (b.connection_id) b.id from syncline.run b
             where b.state = 'blocked'
               and not exists (select from syncline.run a
                               where a.connection_id = b.connection_id and a.state in ('queued', 'running'))
             order by b.connection_id, b.priority, b.fair_turn))"
    )
    .execute(db)
    .await?;
    Ok(promoted.rows_affected())
}
