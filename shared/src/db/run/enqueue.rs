//! Enqueueing: any number of runs in one round trip, in the caller's transaction.

use std::time::Duration;

use crate::db::{DbConnection, DbResult};
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

/// A connection to sync, as an enqueue wants to know it.
#[derive(Debug, Clone)]
pub struct RunTarget {
    /// The connection.
    pub connection_id: ConnectionId,
    /// Its business.
    pub business_id: BusinessId,
    /// Its platform.
    pub platform: String,
    /// The finished run that is repeated, if one is.
    pub retry_of: Option<RunId>,
}

/// A run that was enqueued.
#[derive(Debug, Clone)]
pub struct EnqueuedRun {
    /// Its id.
    pub id: RunId,
    /// The connection it syncs.
    pub connection_id: ConnectionId,
    /// `queued`; `blocked` behind another run of its connection; or `waiting` until it is due, or for a pause to end.
    pub state: RunState,
    /// The finished run that it repeats.
    pub retry_of: Option<RunId>,
}

/// Enqueues one run for each target.
pub async fn enqueue(
    db: &mut DbConnection,
    new: &NewRun<'_>,
    targets: &[RunTarget],
) -> DbResult<Vec<EnqueuedRun>> {
    let connection_ids: Vec<_> = targets
        .iter()
        .map(|target| target.connection_id.0)
        .collect();
    let business_ids: Vec<_> = targets.iter().map(|target| target.business_id.0).collect();
    let platforms: Vec<_> = targets
        .iter()
        .map(|target| target.platform.clone())
        .collect();
    let retried: Vec<_> = targets
        .iter()
        .map(|target| target.retry_of.map(|id| id.0))
        .collect();
    // `turns` locks the rows of the businesses concerned, in the order of their ids, until the transaction ends.
    // Of several runs of one connection the first that finds its gate free is queued; the rest are blocked. The
    // conflict with a run that is being finished waits for that transaction.
    Ok(sqlx::query_as!(
        EnqueuedRun,
        r#"with input as materialized (
               select syncline.new_run_id() as id, i.*,
                      case when exists (select from syncline.pause)
                           then syncline.pause_note(i.platform, i.business_id, i.connection_id) end as held
               from unnest($1::uuid[], $2::uuid[], $3::text[], $14::uuid[])
                    with ordinality as i (connection_id, business_id, platform, retry_of, ordinal)
           ),
           virtual as materialized (
               select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0) as turn),
           turns as (
               insert into syncline.fair_turn as f (business_id, priority, last_turn)
               select i.business_id, $5, v.turn + count(*)
               from input i cross join virtual v group by i.business_id, v.turn order by i.business_id
               on conflict (business_id, priority) do update set last_turn =
                   greatest(f.last_turn, (select turn from virtual))
                   + excluded.last_turn - (select turn from virtual)
               returning f.business_id, f.last_turn
           ),
           numbered as materialized (
               select i.*,
                      t.last_turn
                      - count(*) over (partition by i.business_id)
                      + row_number() over (partition by i.business_id order by i.ordinal) + $5 as turn
               from input i join turns t using (business_id)
           ),
           ready as (
               insert into syncline.run
                   (id, queue, state, batch_id, schedule_id, connection_id, business_id, platform, origin,
                    requested_by, kind, streams, page, priority, fair_turn, due_at, retry_of)
               select n.id, $4, 'queued', $6, $7, n.connection_id, n.business_id, n.platform, $8,
                      $9, $10, $11, $12, $5, n.turn, syncline.now(), n.retry_of
               from numbered n
               where $13::float8 <= 0 and n.held is null
                 and not exists (select from syncline.run b
                                 where b.connection_id = n.connection_id and b.state = 'blocked' offset 0)
               order by n.ordinal
               on conflict (connection_id) where state in ('queued', 'running') do nothing
               returning id, connection_id, state, retry_of
           ),
           later as (
               insert into syncline.run
                   (id, queue, state, batch_id, schedule_id, connection_id, business_id, platform, origin,
                    requested_by, kind, streams, page, priority, fair_turn, due_at, retry_of,
                    wait_reason, wait_detail)
               select n.id, $4, case when $13 <= 0 and n.held is null then 'blocked' else 'waiting' end,
                      $6, $7, n.connection_id, n.business_id, n.platform, $8,
                      $9, $10, $11, $12, $5, n.turn, syncline.now() + make_interval(secs => $13), n.retry_of,
                      case when $13 > 0 then 'delay' when n.held is not null then 'pause' end,
                      case when $13 <= 0 then n.held end
               from numbered n
               where n.id not in (select id from ready)
               returning id, connection_id, state, retry_of
           )
           select id as "id!: RunId", connection_id as "connection_id!: ConnectionId",
                  state as "state!: RunState", retry_of as "retry_of: RunId"
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
        new.delay.as_secs_f64(),
        &retried as &[Option<uuid::Uuid>]
    )
    .fetch_all(db)
    .await?)
}
