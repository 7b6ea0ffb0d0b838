//! Claiming: takes the next queued runs under a new lease.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Heads;
use crate::db::{DbConnection, DbResult};
use crate::ids::{BusinessId, ConnectionId, ProcessId, RunId, ScheduleId};
use crate::run::{Progress, RunKind};

/// A run, as the attempt that claimed it sees it.
#[derive(Debug, Clone)]
pub struct ClaimedRun {
    /// The run.
    pub id: RunId,
    /// The lease token: every write names it.
    pub token: i64,
    /// First, second, ... attempt.
    pub attempt: i32,
    /// Failures so far that count against the cap.
    pub failures: i32,
    /// The smaller, the sooner.
    pub priority: i16,
    /// Its place in the queue.
    pub fair_turn: i64,
    /// The schedule that made it.
    pub schedule_id: Option<ScheduleId>,
    /// The connection it syncs.
    pub connection_id: ConnectionId,
    /// That connection's business.
    pub business_id: BusinessId,
    /// That connection's platform.
    pub platform: String,
    /// How much it reads.
    pub kind: RunKind,
    /// Only these streams; `None`: those the connection has chosen.
    pub streams: Option<Vec<String>>,
    /// The page, if the kind is `page`.
    pub page: Option<i64>,
    /// First instant of the data range, if the kind is `backfill`.
    pub range_from: Option<DateTime<Utc>>,
    /// First instant after the data range.
    pub range_to: Option<DateTime<Utc>>,
    /// It ends as failed so many seconds after its first start ...
    pub time_limit_seconds: Option<i32>,
    /// ... of which so many were left when it was claimed.
    pub seconds_left: Option<f64>,
    /// Checkpoints written so far.
    pub checkpoint_sequence: i64,
    /// Per stream: where to go on.
    pub checkpoint: Value,
    /// What has been done so far.
    pub progress: sqlx::types::Json<Progress>,
    /// What this release cannot read of the row: kind or progress, which are then the defaults. Such a run must not be executed.
    pub unreadable: Option<String>,
}

/// A run's row as it is stored. It is read word by word, so that one that cannot be read keeps nobody from the rows beside it.
struct ClaimedRow {
    id: RunId,
    token: i64,
    attempt: i32,
    failures: i32,
    priority: i16,
    fair_turn: i64,
    schedule_id: Option<ScheduleId>,
    connection_id: ConnectionId,
    business_id: BusinessId,
    platform: String,
    kind: String,
    streams: Option<Vec<String>>,
    page: Option<i64>,
    range_from: Option<DateTime<Utc>>,
    range_to: Option<DateTime<Utc>>,
    time_limit_seconds: Option<i32>,
    seconds_left: Option<f64>,
    checkpoint_sequence: i64,
    checkpoint: Value,
    progress: Value,
}

impl From<ClaimedRow> for ClaimedRun {
    fn from(row: ClaimedRow) -> Self {
        let mut problems = Vec::new();
        let kind = row.kind.parse().unwrap_or_else(|problem| {
            problems.push(format!("its kind: {problem}"));
            RunKind::Incremental
        });
        let progress = serde_json::from_value(row.progress).unwrap_or_else(|problem| {
            problems.push(format!("its progress: {problem}"));
            Progress::default()
        });
        Self {
            id: row.id,
            token: row.token,
            attempt: row.attempt,
            failures: row.failures,
            priority: row.priority,
            fair_turn: row.fair_turn,
            schedule_id: row.schedule_id,
            connection_id: row.connection_id,
            business_id: row.business_id,
            platform: row.platform,
            kind,
            streams: row.streams,
            page: row.page,
            range_from: row.range_from,
            range_to: row.range_to,
            time_limit_seconds: row.time_limit_seconds,
            seconds_left: row.seconds_left,
            checkpoint_sequence: row.checkpoint_sequence,
            checkpoint: row.checkpoint,
            progress: sqlx::types::Json(progress),
            unreadable: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }
}

/// Who claims, and how much.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// From which queue.
    pub queue: &'a str,
    /// At most so many runs.
    pub limit: i64,
    /// While several platforms have runs ready: of these at most so many each ...
    pub rooms: &'a [(String, i64)],
    /// ... and of every other one at most so many.
    pub room: i64,
    /// Where to begin.
    pub heads: &'a Heads,
    /// For which process.
    pub process: ProcessId,
}

/// Claims runs for a process, in the order of their turns. A process that is not registered, or whose runs were given to
/// others, claims nothing.
pub async fn claim(db: &mut DbConnection, claim: &Claim<'_>) -> DbResult<Vec<ClaimedRun>> {
    let platforms: Vec<String> = claim.rooms.iter().map(|(name, _)| name.clone()).collect();
    let rooms: Vec<i64> = claim.rooms.iter().map(|(_, room)| *room).collect();
    let (known, turns) = claim.heads.columns();
    // The process's row is locked until the claim has committed: whoever is to rescue this process waits for that, and then
    // finds the runs, or has been quicker, and nothing is claimed.
    //
    // `present` is what the claimer knows, and other platforms: the first in each gap between two known ones, and all behind the last, by
    // hopping along run_claim from platform to platform. So no look touches what lies in front of a known head. `heads` reads each
    // platform's queue from there. Rows that another claim holds are passed over, so claims never wait for each other. Rows that are
    // locked but not taken are free again at the commit.
    let rows = sqlx::query_as!(
        ClaimedRow,
        r#"with recursive alive as materialized (
               select id from syncline.process where id = $3 and rescued_at is null for share
           ),
           known as materialized (
               select k.platform, k.turn, coalesce(lag(k.platform) over (order by k.platform), '') as before
               from unnest($7::text[], $8::bigint[]) as k (platform, turn)
           ),
           hop as (
               (select platform from syncline.run
                where queue = $1 and state = 'queued' and platform > coalesce((select max(platform) from known), '')
                order by platform limit 1)
               union all
               select (select r.platform from syncline.run r
                       where r.queue = $1 and r.state = 'queued' and r.platform > h.platform
                       order by r.platform limit 1)
               from hop h where h.platform is not null
           ),
           present as materialized (
               select platform, turn from known
               union all
               select g.platform, null from known k
               cross join lateral (
                   select r.platform from syncline.run r
                   where r.queue = $1 and r.state = 'queued' and r.platform > k.before and r.platform < k.platform
                   order by r.platform limit 1) g
               union all
               select platform, null from hop where platform is not null
           ),
           several as materialized (
               select count(*) > 1 as platforms from present p
               where p.turn is null
                  or exists (select from syncline.run c
                             where c.queue = $1 and c.platform = p.platform and c.state = 'queued' and c.fair_turn >= p.turn
                             offset 0)
           ),
           heads as materialized (
               select h.row_id, h.fair_turn, h.due_at
               from present p
               cross join lateral (
                   select c.ctid as row_id, c.fair_turn, c.due_at from syncline.run c
                   where c.queue = $1 and c.platform = p.platform and c.state = 'queued'
                     and c.fair_turn >= coalesce(p.turn, 0)
                   order by c.fair_turn, c.due_at
                   limit case when (select platforms from several) then least($2, coalesce(
                       (select l.room from unnest($4::text[], $5::bigint[]) as l (name, room)
                        where l.name = p.platform), $6)) else $2 end
                   for update skip locked) h
               where exists (select from alive)
           ),
           taken as (
               update syncline.run r set
                   state = 'running', attempt = r.attempt + 1, lease_token = r.lease_token + 1,
                   lease_process = $3, attempt_started_at = syncline.now(),
                   attempt_calls = 0, attempt_points = 0, attempt_waited_ms = 0,
                   started_at = coalesce(r.started_at, syncline.now())
               where r.ctid = any (array(
                   select row_id from heads order by fair_turn, due_at limit $2))
               returning r.*
           ),
           advanced as materialized (
               select setval('syncline.virtual_turn', greatest(
                   (select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0)), max(fair_turn - priority)))
               from taken having count(*) > 0
           )
           select id as "id: RunId", lease_token as token, attempt, failures, priority, fair_turn,
                  schedule_id as "schedule_id: ScheduleId", connection_id as "connection_id: ConnectionId", business_id as "business_id: BusinessId",
                  platform, kind, streams, page, range_from, range_to, time_limit_seconds,
                  extract(epoch from started_at + make_interval(secs => time_limit_seconds) - syncline.now())::float8
                      as seconds_left,
                  checkpoint_sequence, checkpoint, progress
           from taken where exists (select from advanced)
           order by fair_turn, due_at"#,
        claim.queue,
        claim.limit,
        claim.process.0,
        &platforms,
        &rooms,
        claim.room,
        &known,
        &turns
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(ClaimedRun::from).collect())
}

/// The virtual turn: runs become ready with turns above it. It only grows.
pub async fn virtual_turn(db: &mut DbConnection) -> DbResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0) as "turn!""#
    )
    .fetch_one(db)
    .await?)
}

/// All runs that a process holds. Reads the whole table: for a process that has lost the answer to a claim, and for the
/// rescue of one that has fallen silent.
pub async fn list_leased(db: &mut DbConnection, process: ProcessId) -> DbResult<Vec<ClaimedRun>> {
    let rows = sqlx::query_as!(
        ClaimedRow,
        r#"select id as "id: RunId", lease_token as token, attempt, failures, priority, fair_turn,
                  schedule_id as "schedule_id: ScheduleId", connection_id as "connection_id: ConnectionId", business_id as "business_id: BusinessId",
                  platform, kind, streams, page, range_from, range_to, time_limit_seconds,
                  extract(epoch from started_at + make_interval(secs => time_limit_seconds) - syncline.now())::float8
                      as seconds_left,
                  checkpoint_sequence, checkpoint, progress
           from syncline.run where state = 'running' and lease_process = $1"#,
        process.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(ClaimedRun::from).collect())
}
