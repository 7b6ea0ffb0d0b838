//! Runs as people see them: one page of the list, or one run with its attempts and log lines. And the upkeep of their tables.

use chrono::{DateTime, Datelike, Months, NaiveTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

use super::run::{LogLevel, LogLine};
use super::session::Statements;
use super::{DbConnection, DbResult};
use crate::ids::{BatchId, BusinessId, ConnectionId, ProcessId, RunId, ScheduleId};
use crate::run::{AttemptOutcome, Progress, RunError, RunKind, RunOrigin, RunStatus};

/// A run, finished or not.
#[derive(Debug, Clone)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// What it is doing, or how it ended.
    pub status: RunStatus,
    /// The batch it belongs to.
    pub batch_id: BatchId,
    /// The schedule that made it.
    pub schedule_id: Option<ScheduleId>,
    /// That schedule's key, if the schedule still exists.
    pub schedule_key: Option<String>,
    /// The connection it syncs.
    pub connection_id: ConnectionId,
    /// That connection's key, if the connection still exists.
    pub connection_key: Option<String>,
    /// The connection's business.
    pub business_id: BusinessId,
    /// That business' key, if the business still exists.
    pub business_key: Option<String>,
    /// The platform.
    pub platform: String,
    /// What asked for it.
    pub origin: RunOrigin,
    /// Who asked for it, if a person did.
    pub requested_by: Option<String>,
    /// How much it reads.
    pub kind: RunKind,
    /// Only these streams.
    pub streams: Option<Vec<String>>,
    /// The page, if the kind is `page`.
    pub page: Option<i64>,
    /// First instant of the data range, if the kind is `backfill`.
    pub range_from: Option<DateTime<Utc>>,
    /// First instant after it.
    pub range_to: Option<DateTime<Utc>>,
    /// The smaller, the sooner.
    pub priority: i16,
    /// How many attempts have begun.
    pub attempt: i32,
    /// Failures that count against the cap.
    pub failures: i32,
    /// What it waits for: delay, limit, backoff, dependency, pause or overlap.
    pub waiting_for: Option<String>,
    /// The same in words. Of a paused run: the pause that holds it now; its row has the one that it met, which may have been lifted.
    pub wait_detail: Option<String>,
    /// When the wait ends, where that is known.
    pub waiting_until: Option<DateTime<Utc>>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How many checkpoints it has written.
    pub checkpoint_sequence: i64,
    /// Per stream: where it would go on.
    pub checkpoint: Value,
    /// Per stream: what has been done.
    pub progress: Json<Progress>,
    /// The error of the latest attempt that had one.
    pub last_error: Option<Json<RunError>>,
    /// The finished run that it repeats.
    pub retry_of: Option<RunId>,
    /// The run that repeats it.
    pub retried_by: Option<RunId>,
    /// Of an unfinished run: when somebody asked to cancel it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Who cancelled it, or asked to.
    pub cancelled_by: Option<String>,
    /// Why, in words.
    pub cancel_note: Option<String>,
}

/// Which runs a page of the list shows. Filters are combined by AND.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only these statuses; `None`: all.
    pub statuses: Option<Vec<RunStatus>>,
    /// Only this platform.
    pub platform: Option<String>,
    /// Only this business.
    pub business: Option<BusinessId>,
    /// Only this connection.
    pub connection: Option<ConnectionId>,
    /// Only this schedule.
    pub schedule: Option<ScheduleId>,
    /// Only this batch. Name its schedule as well, if it is one's: unfinished runs are found by it.
    pub batch: Option<BatchId>,
    /// Only runs created at this instant or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only runs created before this instant.
    pub created_before: Option<DateTime<Utc>>,
    /// Only runs older than this one: the next page.
    pub before: Option<RunId>,
}

/// An attempt at a run.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptView {
    /// First, second, ...
    pub number: i32,
    /// The process that made it.
    pub process_id: ProcessId,
    /// That process' host and process id.
    pub process_name: String,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None`: under way.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    /// Why the run changed its state, in words.
    pub reason: Option<String>,
    /// What went wrong.
    pub error: Option<Json<RunError>>,
    /// Requests it sent; of one under way, and of one whose worker was lost, by its last checkpoint.
    pub calls: i64,
    /// Points of budgets that they cost.
    pub points: i64,
    /// Milliseconds for which it waited for permits.
    pub waited_ms: i64,
}

/// A page of runs, newest first.
///
/// It is looked for in the latest two months that can have it, and only what is missing then in those before: a history of years is
/// neither planned for nor probed month by month to show the top of it.
pub async fn list_runs(
    db: &mut DbConnection,
    filter: &RunFilter,
    limit: i64,
) -> DbResult<Vec<RunView>> {
    let mut transaction = db.passing().await?;
    // Only a plan made for these very values can drop the absent filters and pick the index of the present one. A page is read along
    // that index; to gather all that matches, and to sort it, seems cheap only while that is little.
    let now = sqlx::query_scalar!(
        r#"select syncline.now() as "now!"
           where set_config('plan_cache_mode', 'force_custom_plan', true) is not null
             and set_config('enable_bitmapscan', 'off', true) is not null
             and set_config('enable_sort', 'off', true) is not null"#
    )
    .fetch_one(transaction.statements())
    .await?;
    let mut page = Vec::new();
    for window in filter.windows(now) {
        let missing = limit - i64::try_from(page.len()).unwrap_or(limit);
        if missing > 0 {
            page.extend(list_within(transaction.statements(), &window, missing).await?);
        }
    }
    // Nothing was written; the settings end here, also within a transaction of the caller's.
    transaction.end().await?;
    Ok(page)
}

impl RunFilter {
    /// The same filter for the latest two months that can hold such runs, and for what lies before, if anything may.
    fn windows(&self, now: DateTime<Utc>) -> Vec<Self> {
        let is_unfinished = self
            .statuses
            .as_ref()
            .is_some_and(|statuses| !statuses.iter().any(|status| status.is_terminal()));
        // By the id's own clock; an id that tells no time is compared as it is.
        let cursor = self.before.and_then(|id| {
            let (seconds, _) = id.0.get_timestamp()?.to_unix();
            DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
        });
        let newest = [self.created_before, cursor]
            .into_iter()
            .flatten()
            .fold(now, DateTime::min);
        let month = newest.date_naive().with_day(1);
        let Some(cut) = month.and_then(|month| month.checked_sub_months(Months::new(1))) else {
            return vec![self.clone()];
        };
        let cut = cut.and_time(NaiveTime::MIN).and_utc();
        // Run ids count milliseconds since 1970: there is nothing before, and no id for it.
        let is_all =
            cut < DateTime::UNIX_EPOCH || self.created_from.is_some_and(|from| from >= cut);
        if is_unfinished || is_all {
            return vec![self.clone()];
        }
        let latest = Self {
            created_from: Some(cut),
            ..self.clone()
        };
        let before = Self {
            created_before: Some(self.created_before.map_or(cut, |before| before.min(cut))),
            ..self.clone()
        };
        vec![latest, before]
    }
}

async fn list_within(db: Statements<'_>, filter: &RunFilter, limit: i64) -> DbResult<Vec<RunView>> {
    let words = filter.statuses.as_ref().map(|statuses| {
        let words = statuses.iter().map(|status| status.as_str().to_owned());
        words.collect::<Vec<_>>()
    });
    // One status alone finds an index in which its runs are in order; several are sought among all that went wrong. Never both: the
    // planner would take them for two conditions that seldom meet.
    let (statuses, only) = match words.as_deref() {
        Some([status]) => (None, Some(status.clone())),
        _ => (words, None),
    };
    // An unfinished run has no time of its end: the plan then leaves the queue's table out.
    let is_finished = filter
        .statuses
        .as_ref()
        .is_some_and(|statuses| statuses.iter().all(|status| status.is_terminal()));
    Ok(sqlx::query_as!(
        RunView,
        r#"select r.id as "id!: RunId", r.status as "status!: RunStatus", r.batch_id as "batch_id!: BatchId",
                  r.schedule_id as "schedule_id: ScheduleId", s.key as "schedule_key?",
                  r.connection_id as "connection_id!: ConnectionId", c.key as "connection_key?",
                  r.business_id as "business_id!: BusinessId", b.key as "business_key?",
                  r.platform as "platform!", r.origin as "origin!: RunOrigin", r.requested_by,
                  r.kind as "kind!: RunKind", r.streams, r.page, r.priority as "priority!",
                  r.attempt as "attempt!", r.failures as "failures!", r.waiting_for,
                  r.wait_detail, r.waiting_until, r.created_at as "created_at!", r.started_at, r.finished_at,
                  r.checkpoint_sequence as "checkpoint_sequence!", r.checkpoint as "checkpoint!",
                  r.progress as "progress!: Json<Progress>", r.last_error as "last_error: Json<RunError>",
                  r.retry_of as "retry_of: RunId", r.retried_by as "retried_by: RunId", r.cancel_requested_at,
                  r.cancelled_by, r.cancel_note, r.range_from, r.range_to
           from (
               select * from syncline.runs
               where ($1::text[] is null or status = any ($1))
                 and ($2::text is null or platform = $2)
                 and ($3::uuid is null or business_id = $3)
                 and ($4::uuid is null or connection_id = $4)
                 and ($5::uuid is null or schedule_id = $5)
                 and ($6::timestamptz is null or id >= syncline.run_id_floor($6))
                 and ($7::timestamptz is null or id < syncline.run_id_floor($7))
                 and ($8::uuid is null or id < $8)
                 and ($10::text is null or status = $10)
                 and (not $11 or finished_at is not null)
                 and ($12::uuid is null or batch_id = $12)
               order by id desc
               limit $9
           ) r
           left join syncline.schedule s on s.id = r.schedule_id
           left join syncline.connection c on c.id = r.connection_id
           left join syncline.business b on b.id = r.business_id
           order by r.id desc"#,
        statuses.as_deref(),
        filter.platform,
        filter.business.map(|id| id.0),
        filter.connection.map(|id| id.0),
        filter.schedule.map(|id| id.0),
        filter.created_from,
        filter.created_before,
        filter.before.map(|id| id.0),
        limit,
        only,
        is_finished,
        filter.batch.map(|id| id.0)
    )
    .fetch_all(db)
    .await?)
}

/// A run by id.
pub async fn find_run(db: &mut DbConnection, id: RunId) -> DbResult<Option<RunView>> {
    Ok(sqlx::query_as!(
        RunView,
        r#"select r.id as "id!: RunId", r.status as "status!: RunStatus", r.batch_id as "batch_id!: BatchId",
                  r.schedule_id as "schedule_id: ScheduleId", s.key as "schedule_key?",
                  r.connection_id as "connection_id!: ConnectionId", c.key as "connection_key?",
                  r.business_id as "business_id!: BusinessId", b.key as "business_key?",
                  r.platform as "platform!", r.origin as "origin!: RunOrigin", r.requested_by,
                  r.kind as "kind!: RunKind", r.streams, r.page, r.priority as "priority!",
                  r.attempt as "attempt!", r.failures as "failures!", r.waiting_for,
                  r.wait_detail, r.waiting_until, r.created_at as "created_at!", r.started_at, r.finished_at,
                  r.checkpoint_sequence as "checkpoint_sequence!", r.checkpoint as "checkpoint!",
                  r.progress as "progress!: Json<Progress>", r.last_error as "last_error: Json<RunError>",
                  r.retry_of as "retry_of: RunId", r.retried_by as "retried_by: RunId", r.cancel_requested_at,
                  r.cancelled_by, r.cancel_note, r.range_from, r.range_to
           from syncline.runs r
           left join syncline.schedule s on s.id = r.schedule_id
           left join syncline.connection c on c.id = r.connection_id
           left join syncline.business b on b.id = r.business_id
           where r.id = $1"#,
        id.0
    )
    .fetch_optional(db)
    .await?)
}

/// The run that the blocked runs of a connection stand behind: the one that is queued or running.
pub async fn find_in_front(
    db: &mut DbConnection,
    connection: ConnectionId,
) -> DbResult<Option<(RunId, RunStatus)>> {
    let found = sqlx::query!(
        r#"select id as "id: RunId", state as "status: RunStatus" from syncline.run
           where connection_id = $1 and state in ('queued', 'running')"#,
        connection.0
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|found| (found.id, found.status)))
}

/// The attempts at a run, first to last, the one under way included.
pub async fn list_attempts(db: &mut DbConnection, id: RunId) -> DbResult<Vec<AttemptView>> {
    Ok(sqlx::query_as!(
        AttemptView,
        r#"select number as "number!", process_id as "process_id!: ProcessId", process_name as "process_name!",
                  started_at as "started_at!", ended_at, outcome as "outcome: AttemptOutcome", reason,
                  error as "error: Json<RunError>", calls as "calls!", points as "points!", waited_ms as "waited_ms!"
           from (
               select token, number, process_id, process_name, started_at, ended_at, outcome, reason, error, calls,
                      points, waited_ms
               from syncline.attempt where run_id = $1
               union all
               select r.lease_token, r.attempt, r.lease_process, coalesce(p.name, ''), r.attempt_started_at,
                      null, null, null, null, r.attempt_calls, r.attempt_points, r.attempt_waited_ms
               from syncline.run r left join syncline.process p on p.id = r.lease_process
               where r.id = $1 and r.state = 'running') a
           order by token"#,
        id.0
    )
    .fetch_all(db)
    .await?)
}

/// The last log lines of a run, oldest first.
pub async fn list_log(db: &mut DbConnection, id: RunId, limit: i64) -> DbResult<Vec<LogLine>> {
    let mut lines = sqlx::query_as!(
        LogLine,
        r#"select at, level as "level: LogLevel", stream, message
           from syncline.run_log where run_id = $1 order by token desc, line desc limit $2"#,
        id.0,
        limit
    )
    .fetch_all(db)
    .await?;
    lines.reverse();
    Ok(lines)
}

/// Makes the partitions of this month and so many after it, where they are missing. Answers how many were made.
pub async fn keep_partitions(db: &mut DbConnection, months_ahead: i32) -> DbResult<i32> {
    let made = sqlx::query_scalar!(
        r#"select syncline.keep_partitions($1) as "made!""#,
        months_ahead
    )
    .fetch_one(db)
    .await?;
    Ok(made)
}

/// Drops partitions that hold only what is older than so long, and batches and ticks of that age. Answers how many partitions.
pub async fn drop_old(db: &mut DbConnection, keep: std::time::Duration) -> DbResult<i32> {
    let dropped = sqlx::query_scalar!(
        r#"select syncline.drop_old_partitions(syncline.now() - make_interval(secs => $1)) as "dropped!""#,
        keep.as_secs_f64()
    )
    .fetch_one(db)
    .await?;
    Ok(dropped)
}

/// Deletes ticks, and batches without an unfinished run, that are older than so long, a bounded number at a time. Answers how
/// many rows.
pub async fn prune_batches(
    db: &mut DbConnection,
    keep: std::time::Duration,
    limit: i64,
) -> DbResult<u64> {
    let ticks = sqlx::query!(
        "delete from syncline.tick where ctid = any (array(
             select ctid from syncline.tick
             where decided_at < syncline.now() - make_interval(secs => $1) limit $2))",
        keep.as_secs_f64(),
        limit
    )
    .execute(&mut *db)
    .await?;
    let batches = sqlx::query!(
        "delete from syncline.batch where ctid = any (array(
             select b.ctid from syncline.batch b
             where b.created_at < syncline.now() - make_interval(secs => $1)
               and not exists (select from syncline.run r where r.batch_id = b.id)
               and not exists (select from syncline.tick t where t.batch_id = b.id)
             limit $2))",
        keep.as_secs_f64(),
        limit
    )
    .execute(db)
    .await?;
    Ok(ticks.rows_affected() + batches.rows_affected())
}

/// Deletes keys met by runs that have ended. Answers how many.
pub async fn prune_seen_keys(db: &mut DbConnection) -> DbResult<u64> {
    let pruned = sqlx::query!(
        "delete from syncline.seen_key s
         where not exists (select from syncline.run r where r.id = s.run_id)"
    )
    .execute(db)
    .await?;
    Ok(pruned.rows_affected())
}
