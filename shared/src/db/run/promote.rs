//! What moves runs that are not running: due times, and gates that have become free.

use uuid::Uuid;

use crate::db::{DbConnection, DbResult};

/// Moves runs whose wait is over, a bounded number at a time: first to `blocked`, which cannot conflict with anything; then the
/// first of each connection whose gate is free to `queued`. What is paused goes on waiting, for the pause. Answers how many waits
/// ended and how many runs are queued.
pub async fn move_due(db: &mut DbConnection, limit: i64) -> DbResult<(usize, u64)> {
    // Schedulers pass over each other's rows.
    let connections: Vec<Uuid> = sqlx::query_scalar!(
        "update syncline.run r set
             state = case when p.note is null then 'blocked' else 'waiting' end,
             wait_reason = case when p.note is not null then 'pause' end,
             wait_detail = p.note
         from (
             select w.ctid as row_id,
                    case when exists (select from syncline.pause)
                         then syncline.pause_note(w.platform, w.business_id, w.connection_id) end as note
             from syncline.run w
             where w.state = 'waiting' and w.wait_reason in ('delay', 'limit', 'backoff')
               and w.due_at <= syncline.now()
             order by w.due_at limit $1
             for update skip locked) p
         where r.ctid = p.row_id
         returning r.connection_id",
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    let promoted = promote(db, &connections).await?;
    Ok((connections.len(), promoted))
}

/// Moves runs that no pause holds back any more, a bounded number at a time, as [`move_due`] does.
///
/// What rests is passed over by its scope, so a look that finds nothing costs one hop for each pause, however many runs it holds.
pub async fn free_paused(db: &mut DbConnection, limit: i64) -> DbResult<(usize, u64)> {
    // Hops along run_paused: past a platform or a business that rests as a whole, else from connection to connection. `offset 0`
    // keeps runs that still rest from being locked before they are looked at.
    let connections: Vec<Uuid> = sqlx::query_scalar!(
        "with recursive hop as (
             (select w.platform, w.business_id, w.connection_id from syncline.run w
              where w.wait_reason = 'pause'
                and not exists (select from syncline.pause p where p.scope = 'everything')
              order by w.platform, w.business_id, w.connection_id limit 1)
             union all
             select n.platform, n.business_id, n.connection_id
             from (
                 select h.platform, h.business_id, h.connection_id,
                        exists (select from syncline.pause p
                                where p.scope = 'platform' and p.target = h.platform) as platform_rests,
                        exists (select from syncline.pause p
                                where p.scope = 'business' and p.target = h.business_id::text) as business_rests
                 from hop h) h
             cross join lateral (
                 (select w.platform, w.business_id, w.connection_id from syncline.run w
                  where w.wait_reason = 'pause' and h.platform_rests and w.platform > h.platform
                  order by w.platform, w.business_id, w.connection_id limit 1)
                 union all
                 (select w.platform, w.business_id, w.connection_id from syncline.run w
                  where w.wait_reason = 'pause' and not h.platform_rests and h.business_rests
                    and (w.platform, w.business_id) > (h.platform, h.business_id)
                  order by w.platform, w.business_id, w.connection_id limit 1)
                 union all
                 (select w.platform, w.business_id, w.connection_id from syncline.run w
                  where w.wait_reason = 'pause' and not h.platform_rests and not h.business_rests
                    and (w.platform, w.business_id, w.connection_id) > (h.platform, h.business_id, h.connection_id)
                  order by w.platform, w.business_id, w.connection_id limit 1)) n
         )
         update syncline.run r set state = 'blocked', wait_reason = null, wait_detail = null
         where r.ctid = any (array(
             select w.row_id
             from (
                 select h.platform, h.business_id, h.connection_id from hop h
                 where not exists (
                     select from syncline.pause p
                     where p.scope = 'platform' and p.target = h.platform
                        or p.scope = 'business' and p.target = h.business_id::text
                        or p.scope = 'connection' and p.target = h.connection_id::text)
                 offset 0) f
             cross join lateral (
                 select w.ctid as row_id from syncline.run w
                 where w.wait_reason = 'pause' and w.platform = f.platform and w.business_id = f.business_id
                   and w.connection_id = f.connection_id
                 limit $1
                 for update skip locked) w
             limit $1))
         returning r.connection_id",
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    let promoted = promote(db, &connections).await?;
    Ok((connections.len(), promoted))
}

/// Makes runs that are queued or blocked wait for the pauses that concern them, a bounded number at a time. Answers how many.
pub async fn hold_paused(db: &mut DbConnection, limit: i64) -> DbResult<u64> {
    let held = sqlx::query!(
        "update syncline.run r set
             state = 'waiting', wait_reason = 'pause',
             wait_detail = syncline.pause_note(r.platform, r.business_id, r.connection_id)
         where r.ctid = any (array(
             select q.ctid from syncline.run q
             where q.state in ('queued', 'blocked')
               and exists (
                   select from syncline.pause p
                   where p.scope = 'everything'
                      or p.scope = 'platform' and p.target = q.platform
                      or p.scope = 'business' and p.target = q.business_id::text
                      or p.scope = 'connection' and p.target = q.connection_id::text)
             limit $1
             for update skip locked))",
        limit
    )
    .execute(db)
    .await?;
    Ok(held.rows_affected())
}

/// Queues the first blocked run of each of these connections whose gate is free. Answers how many.
pub(in crate::db) async fn promote(db: &mut DbConnection, connections: &[Uuid]) -> DbResult<u64> {
    if connections.is_empty() {
        return Ok(0);
    }
    let promoted = sqlx::query!(
        "update syncline.run r set
             state = 'queued',
             fair_turn = greatest(r.fair_turn, (select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0)) + r.priority + 1)
         where r.state is not distinct from 'blocked' and r.id = any (array(
             select (select b.id from syncline.run b
                     where b.connection_id = c.id and b.state = 'blocked'
                     order by b.fair_turn limit 1)
             from (select distinct unnest($1::uuid[])) as c (id)
             where not exists (select from syncline.run a
                               where a.connection_id = c.id and a.state in ('queued', 'running') offset 0)))",
        connections
    )
    .execute(db)
    .await?;
    Ok(promoted.rows_affected())
}

/// Finds connections with blocked runs and a free gate, and queues the first run of each. That state lasts only when a run was
/// enqueued just as its predecessor finished. One sweep runs at a time in the fleet.
pub async fn promote_stranded(db: &mut DbConnection) -> DbResult<u64> {
    // Hops along run_next_of_connection from connection to connection, however many runs each has. The number is this sweep's
    // own among Syncline's advisory locks; the lock ends with the transaction.
    let stranded: Vec<Uuid> = sqlx::query_scalar!(
        r#"with recursive sweep as materialized (select pg_try_advisory_xact_lock(7291001) as mine),
           crowded as (
               (select connection_id from syncline.run
                where state = 'blocked' and (select mine from sweep) order by connection_id limit 1)
               union all
               select (select b.connection_id from syncline.run b
                       where b.state = 'blocked' and b.connection_id > c.connection_id
                       order by b.connection_id limit 1)
               from crowded c where c.connection_id is not null
           )
           select c.connection_id as "connection_id!" from crowded c
           where c.connection_id is not null
             and not exists (select from syncline.run a
                             where a.connection_id = c.connection_id and a.state in ('queued', 'running') offset 0)"#
    )
    .fetch_all(&mut *db)
    .await?;
    promote(db, &stranded).await
}
