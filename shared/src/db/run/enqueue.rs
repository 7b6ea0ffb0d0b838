//! Enqueueing: any number of runs in one round trip, in the caller's transaction.

use std::time::Duration;

use sqlx::PgConnection;

use crate::db::DbResult;
use crate::ids::{BatchId, BusinessId, ConnectionId, RunId, ScheduleId};
use crate::run::{RunKind, RunOrigin, RunState};

/// What the runs of one enqueue have in common.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The batch they belong to.
    pub batch_id: BatchId,
    /// The schedule that asks for them.
    pub schedule_id: Option<ScheduleId>,
    /// What asks for them.
    pub origin: RunOrigin,
    /// Who asks for them, if a person does.
    pub requested_by: Option<&'a str>,
    /// How much they read.
    pub kind: RunKind,
    /// Only these streams; `None`: those the connection has chosen.
    pub streams: Option<&'a [String]>,
    /// The page, if the kind is `page`.
    pub page: Option<i64>,
    /// The smaller, the sooner.
    pub priority: i16,
    /// How long until they are due.
    pub delay: Duration,
}

/// A run that was enqueued.
#[derive(Debug, Clone)]
pub struct EnqueuedRun {
    /// Its id.
    pub id: RunId,
    /// The connection it syncs.
    pub connection_id: ConnectionId,
    /// `queued`; `blocked` behind another run of its connection; or `waiting` until it is due.
    pub state: RunState,
}

/// Enqueues one run for each connection.
pub async fn enqueue(
    db: &mut PgConnection,
    new: &NewRun<'_>,
    connections: &[(ConnectionId, BusinessId, String)],
) -> DbResult<Vec<EnqueuedRun>> {
    let connection_ids: Vec<_> = connections.iter().map(|(id, _, _)| id.0).collect();
    let business_ids: Vec<_> = connections.iter().map(|(_, id, _)| id.0).collect();
    let platforms: Vec<_> = connections
        .iter()
        .map(|(_, _, platform)| platform.clone())
        .collect();
    // `turns` locks the rows of the businesses concerned, in the order of their ids, until the transaction ends.
    // Of several runs of one connection the first that finds its gate free is queued; the rest are blocked. The
    // conflict with a run that is being finished waits for that transaction.
    Ok(sqlx::query_as!(
        EnqueuedRun,
        r#"with input as materialized (
               select syncline.new_run_id() as id, i.*
               from unnest($1::uuid[], $2::uuid[], $3::text[])
                    with ordinality as i (connection_id, business_id, platform, ordinal)
           ),
           horizon as materialized (
               select coalesce(
                   (select fair_turn from syncline.run
                    where queue = $4 and state = 'queued' and priority = $5
                    order by fair_turn limit 1) - 1,
                   (select max(last_turn) from syncline.fair_turn),
                   0) as turn
           ),
           turns as (
               insert into syncline.fair_turn as f (business_id, last_turn)
               select i.business_id, h.turn + count(*)
               from input i cross join horizon h group by i.business_id, h.turn order by i.business_id
               on conflict (business_id) do update set last_turn =
                   greatest(f.last_turn, (select turn from horizon))
                   + excluded.last_turn - (select turn from horizon)
               returning f.business_id, f.last_turn
           ),
           numbered as materialized (
               select i.*,
                      t.last_turn
                      - count(*) over (partition by i.business_id)
                      + row_number() over (partition by i.business_id order by i.ordinal) as turn
               from input i join turns t using (business_id)
           ),
           ready as (
               insert into syncline.run
                   (id, queue, state, batch_id, schedule_id, connection_id, business_id, platform, origin,
                    requested_by, kind, streams, page, priority, fair_turn, due_at)
               select n.id, $4, 'queued', $6, $7, n.connection_id, n.business_id, n.platform, $8,
                      $9, $10, $11, $12, $5, n.turn, syncline.now()
               from numbered n
               where $13::float8 <= 0
                 and not exists (select from syncline.run b
                                 where b.connection_id = n.connection_id and b.state = 'blocked')
               order by n.ordinal
               on conflict (connection_id) where state in ('queued', 'running') do nothing
               returning id, connection_id, state
           ),
           later as (
               insert into syncline.run
                   (id, queue, state, batch_id, schedule_id, connection_id, business_id, platform, origin,
                    requested_by, kind, streams, page, priority, fair_turn, due_at, wait_reason)
               select n.id, $4, case when $13 <= 0 then 'blocked' else 'waiting' end,
                      $6, $7, n.connection_id, n.business_id, n.platform, $8,
                      $9, $10, $11, $12, $5, n.turn, syncline.now() + make_interval(secs => $13),
                      case when $13 > 0 then 'delay' end
               from numbered n
               where n.id not in (select id from ready)
               returning id, connection_id, state
           )
           select id as "id!: RunId", connection_id as "connection_id!: ConnectionId",
                  state as "state!: RunState"
           from (select * from ready union all select * from later) enqueued"#,
        &connection_ids,
        &business_ids,
        &platforms,
        new.queue,
        new.priority,
        new.batch_id.0,
        new.schedule_id.map(|id| id.0),
        new.origin.as_str(),
        new.requested_by,
        new.kind.as_str(),
        new.streams,
        new.page,
        new.delay.as_secs_f64()
    )
    .fetch_all(db)
    .await?)
}
