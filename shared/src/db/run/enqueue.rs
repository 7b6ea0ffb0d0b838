//! Enqueueing: any number of runs in one round trip, in the caller's transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

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
    /// The data range, if the kind is `backfill`.
    pub range: Option<DataRange>,
    /// They end as failed so many seconds after their first start.
    pub time_limit_seconds: Option<i32>,
}

/// A range of data, by the instants of a stream's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRange {
    /// Its first instant.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub to: DateTime<Utc>,
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
    /// How much later than the others of its batch it is due.
    pub delay: Duration,
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

/// Runs of one batch.
#[derive(Debug, Clone)]
pub struct BatchOfRuns<'a> {
    /// What they have in common.
    pub new: NewRun<'a>,
    /// Whom they are for.
    pub targets: Vec<RunTarget>,
}

/// Enqueues one run for each target.
pub async fn enqueue(
    db: &mut DbConnection,
    new: &NewRun<'_>,
    targets: &[RunTarget],
) -> DbResult<Vec<EnqueuedRun>> {
    let batch = BatchOfRuns {
        new: new.clone(),
        targets: targets.to_vec(),
    };
    enqueue_all(db, new.queue, &[batch]).await
}

/// Enqueues the runs of several batches.
pub async fn enqueue_all(
    db: &mut DbConnection,
    queue: &str,
    batches: &[BatchOfRuns<'_>],
) -> DbResult<Vec<EnqueuedRun>> {
    let common = Common::of(batches);
    let each = Each::of(batches);
    if each.connection_ids.is_empty() {
        return Ok(Vec::new());
    }
    // `turns` locks the rows of the businesses concerned, in the order of their ids, until the transaction ends.
    // Of several runs of one connection the first that finds its gate free is queued; the rest are blocked. The
    // conflict with a run that is being finished waits for that transaction.
    // What runs have in common is joined once, at the beginning: later the planner expects one row and would compare each run with each
    // batch.
    Ok(sqlx::query_as!(
        EnqueuedRun,
        r#"with common as materialized (
               select c.*, case when c.streams is not null
                                then array(select jsonb_array_elements_text(c.streams)) end as stream_names
               from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bigint[],
                           $8::timestamptz[], $9::timestamptz[], $10::smallint[], $11::int[])
                    with ordinality as c (batch_id, schedule_id, origin, requested_by, kind, streams, page,
                        range_from, range_to, priority, time_limit_seconds, number)
           ),
           input as materialized (
               select syncline.new_run_id() as id, i.*, c.batch_id, c.schedule_id, c.origin, c.requested_by, c.kind, c.stream_names,
                      c.page, c.range_from, c.range_to, c.priority, c.time_limit_seconds,
                      case when exists (select from syncline.pause)
                           then syncline.pause_note(i.platform, i.business_id, i.connection_id) end as held
               from unnest($12::uuid[], $13::uuid[], $14::text[], $15::uuid[], $16::float8[], $17::bigint[])
                    with ordinality as i (connection_id, business_id, platform, retry_of, delay, number, ordinal)
               join common c using (number)
           ),
           virtual as materialized (
               select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0) as turn),
           turns as (
               insert into syncline.fair_turn as f (business_id, priority, last_turn)
               select i.business_id, i.priority, v.turn + count(*)
               from input i cross join virtual v
               group by i.business_id, i.priority, v.turn order by i.business_id, i.priority
               on conflict (business_id, priority) do update set last_turn =
                   greatest(f.last_turn, (select turn from virtual))
                   + excluded.last_turn - (select turn from virtual)
               returning f.business_id, f.priority, f.last_turn
           ),
           numbered as materialized (
               select i.*,
                      t.last_turn
                      - count(*) over (partition by i.business_id, i.priority)
                      + row_number() over (partition by i.business_id, i.priority order by i.ordinal) + i.priority as turn
               from input i join turns t using (business_id, priority)
           ),
           ready as (
               insert into syncline.run
                   (id, queue, state, batch_id, schedule_id, connection_id, business_id, platform, origin,
                    requested_by, kind, streams, page, range_from, range_to, priority, fair_turn, due_at, retry_of,
                    time_limit_seconds)
               select n.id, $18, 'queued', n.batch_id, n.schedule_id, n.connection_id, n.business_id, n.platform, n.origin,
                      n.requested_by, n.kind, n.stream_names, n.page, n.range_from, n.range_to, n.priority, n.turn,
                      syncline.now(), n.retry_of, n.time_limit_seconds
               from numbered n
               where n.delay <= 0 and n.held is null
                 and not exists (select from syncline.run b
                                 where b.connection_id = n.connection_id and b.state = 'blocked' offset 0)
               order by n.ordinal
               on conflict (connection_id) where state in ('queued', 'running') do nothing
               returning id, connection_id, state, retry_of
           ),
           later as (
               insert into syncline.run
                   (id, queue, state, batch_id, schedule_id, connection_id, business_id, platform, origin,
                    requested_by, kind, streams, page, range_from, range_to, priority, fair_turn, due_at, retry_of,
                    time_limit_seconds, wait_reason, wait_detail)
               select n.id, $18, case when n.delay <= 0 and n.held is null then 'blocked' else 'waiting' end,
                      n.batch_id, n.schedule_id, n.connection_id, n.business_id, n.platform, n.origin,
                      n.requested_by, n.kind, n.stream_names, n.page, n.range_from, n.range_to, n.priority, n.turn,
                      syncline.now() + make_interval(secs => n.delay), n.retry_of, n.time_limit_seconds,
                      case when n.delay > 0 then 'delay' when n.held is not null then 'pause' end,
                      case when n.delay <= 0 then n.held end
               from numbered n
               where n.id not in (select id from ready)
               returning id, connection_id, state, retry_of
           )
           select id as "id!: RunId", connection_id as "connection_id!: ConnectionId",
                  state as "state!: RunState", retry_of as "retry_of: RunId"
           from (select * from ready union all select * from later) enqueued"#,
        &common.batch_ids,
        &common.schedule_ids as &[Option<Uuid>],
        &common.origins,
        &common.requested_by as &[Option<String>],
        &common.kinds,
        &common.streams as &[Option<Value>],
        &common.pages as &[Option<i64>],
        &common.ranges_from as &[Option<DateTime<Utc>>],
        &common.ranges_to as &[Option<DateTime<Utc>>],
        &common.priorities,
        &common.time_limits as &[Option<i32>],
        &each.connection_ids,
        &each.business_ids,
        &each.platforms,
        &each.retry_of as &[Option<Uuid>],
        &each.delays,
        &each.numbers,
        queue
    )
    .fetch_all(db)
    .await?)
}

/// What the runs of each batch have in common, column by column.
#[derive(Default)]
struct Common {
    batch_ids: Vec<Uuid>,
    schedule_ids: Vec<Option<Uuid>>,
    origins: Vec<String>,
    requested_by: Vec<Option<String>>,
    kinds: Vec<String>,
    streams: Vec<Option<Value>>,
    pages: Vec<Option<i64>>,
    ranges_from: Vec<Option<DateTime<Utc>>>,
    ranges_to: Vec<Option<DateTime<Utc>>>,
    priorities: Vec<i16>,
    time_limits: Vec<Option<i32>>,
}

impl Common {
    fn of(batches: &[BatchOfRuns<'_>]) -> Self {
        let mut columns = Self::default();
        for BatchOfRuns { new, .. } in batches {
            let streams = new
                .streams
                .and_then(|names| serde_json::to_value(names).ok());
            columns.batch_ids.push(new.batch_id.0);
            columns.schedule_ids.push(new.schedule_id.map(|id| id.0));
            columns.origins.push(new.origin.as_str().to_owned());
            columns
                .requested_by
                .push(new.requested_by.map(str::to_owned));
            columns.kinds.push(new.kind.as_str().to_owned());
            columns.streams.push(streams);
            columns.pages.push(new.page);
            columns.ranges_from.push(new.range.map(|range| range.from));
            columns.ranges_to.push(new.range.map(|range| range.to));
            columns.priorities.push(new.priority);
            columns.time_limits.push(new.time_limit_seconds);
        }
        columns
    }
}

/// What is each run's own, column by column.
#[derive(Default)]
struct Each {
    connection_ids: Vec<Uuid>,
    business_ids: Vec<Uuid>,
    platforms: Vec<String>,
    retry_of: Vec<Option<Uuid>>,
    delays: Vec<f64>,
    numbers: Vec<i64>,
}

impl Each {
    fn of(batches: &[BatchOfRuns<'_>]) -> Self {
        let mut columns = Self::default();
        for (batch, number) in batches.iter().zip(1..) {
            for target in &batch.targets {
                columns.connection_ids.push(target.connection_id.0);
                columns.business_ids.push(target.business_id.0);
                columns.platforms.push(target.platform.clone());
                columns.retry_of.push(target.retry_of.map(|id| id.0));
                columns
                    .delays
                    .push((batch.new.delay + target.delay).as_secs_f64());
                columns.numbers.push(number);
            }
        }
        columns
    }
}
