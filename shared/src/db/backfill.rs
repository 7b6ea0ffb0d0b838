//! Backfills: a data range, read again in runs of a given width, one after the other.
//!
//! The next run is made when the one before has ended, so a backfill takes one slot at most, and has the connection's urgent runs
//! before it. It goes on where it was after any restart.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::run::{BatchOfRuns, DataRange, NewRun, RunTarget, enqueue_all};
use super::{DbConnection, DbResult};
use crate::ids::{BatchId, BusinessId, ConnectionId};
use crate::run::{Outcome, RunKind, RunOrigin, SYNC_QUEUE};

/// Backfills that one transaction moves on.
const AT_ONCE: i64 = 100;

/// A backfill.
#[derive(Debug, Clone)]
pub struct Backfill {
    /// Its id.
    pub id: Uuid,
    /// The connection.
    pub connection_id: ConnectionId,
    /// The connection's key.
    pub connection_key: String,
    /// The batch of its runs.
    pub batch_id: BatchId,
    /// The streams.
    pub streams: Vec<String>,
    /// First instant of the range.
    pub range_from: DateTime<Utc>,
    /// First instant after it.
    pub range_to: DateTime<Utc>,
    /// Width of a run, in seconds.
    pub step_seconds: i64,
    /// Where the next run begins; `None`: all were made, or it was cancelled.
    pub next_from: Option<DateTime<Utc>>,
    /// Priority of its runs.
    pub priority: i16,
    /// Why, in words.
    pub note: Option<String>,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// By whom.
    pub cancelled_by: Option<String>,
    /// When its last run ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended, by the runs that it made.
    pub outcome: Option<Outcome>,
}

/// What a backfill is created from. Checked by whoever makes it.
#[derive(Debug, Clone)]
pub struct NewBackfill<'a> {
    /// The connection.
    pub connection_id: ConnectionId,
    /// The streams.
    pub streams: &'a [String],
    /// The range.
    pub range: DataRange,
    /// Width of a run, in seconds.
    pub step_seconds: i64,
    /// Priority of its runs.
    pub priority: i16,
    /// Why, in words.
    pub note: Option<&'a str>,
    /// Who asks for it.
    pub requested_by: &'a str,
}

/// A checked query that answers backfills. `$tail` stands behind the joins.
macro_rules! query_backfills {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Backfill,
            r#"select f.id as "id!", f.connection_id as "connection_id!: ConnectionId", c.key as "connection_key!",
                      f.batch_id as "batch_id!: BatchId", f.streams as "streams!", f.range_from as "range_from!",
                      f.range_to as "range_to!", f.step_seconds as "step_seconds!", f.next_from, f.priority as "priority!",
                      f.note, f.requested_by as "requested_by!", f.created_at as "created_at!", f.cancelled_at, f.cancelled_by,
                      k.ended_at as "ended_at?", k.outcome as "outcome?: Outcome"
               from syncline.backfill f
               join syncline.connection c on c.id = f.connection_id
               left join syncline.batch k on k.id = f.batch_id "# + $tail
            $(, $argument)*
        )
    };
}

/// Creates a backfill and its batch. The first run follows within a second.
pub async fn create(db: &mut DbConnection, new: &NewBackfill<'_>) -> DbResult<Uuid> {
    Ok(sqlx::query_scalar!(
        r#"with batch as (
               insert into syncline.batch (origin, requested_by, target, connection_id, streams, kind, runs, rest)
               values ('backfill', $8, 'connection', $1, $2, 'backfill', 0, '{}')
               returning id
           )
           insert into syncline.backfill
               (connection_id, batch_id, streams, range_from, range_to, step_seconds, next_from, priority, note, requested_by)
           select $1, id, $2, $3, $4, $5, $3, $6, $7, $8 from batch
           returning id"#,
        new.connection_id.0,
        new.streams,
        new.range.from,
        new.range.to,
        new.step_seconds,
        new.priority,
        new.note,
        new.requested_by
    )
    .fetch_one(db)
    .await?)
}

/// A backfill by id.
pub async fn find(db: &mut DbConnection, id: Uuid) -> DbResult<Option<Backfill>> {
    Ok(query_backfills!("where f.id = $1", id)
        .fetch_optional(db)
        .await?)
}

/// Backfills, newest first.
pub async fn list(
    db: &mut DbConnection,
    connection: Option<ConnectionId>,
    before: Option<Uuid>,
    limit: i64,
) -> DbResult<Vec<Backfill>> {
    Ok(query_backfills!(
        "where ($1::uuid is null or f.connection_id = $1)
           and f.id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
         order by f.id desc limit $3",
        connection.map(|id| id.0),
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Has a backfill make no more runs; the caller cancels the one that is unfinished. False: it has made all its runs, or was cancelled.
pub async fn cancel(db: &mut DbConnection, id: Uuid, by: &str) -> DbResult<bool> {
    let cancelled = sqlx::query!(
        "with cancelled as (
             update syncline.backfill set next_from = null, cancelled_at = syncline.now(), cancelled_by = $2
             where id = $1 and next_from is not null
             returning batch_id
         )
         update syncline.batch set rest = null where id in (select batch_id from cancelled)",
        id,
        by
    )
    .execute(db)
    .await?;
    Ok(cancelled.rows_affected() == 1)
}

/// Makes the next run of each backfill whose last one has ended. Answers how many.
pub async fn step(db: &mut DbConnection) -> DbResult<usize> {
    // Schedulers pass over each other's rows. A connection that is disabled is waited for.
    let open = sqlx::query!(
        r#"select f.id, f.batch_id as "batch_id: BatchId", f.connection_id as "connection_id: ConnectionId",
                  c.business_id as "business_id: BusinessId", c.platform, f.streams, f.range_to, f.step_seconds,
                  f.next_from as "next_from!", f.priority, f.requested_by
           from syncline.backfill f
           join syncline.connection c on c.id = f.connection_id
           where f.next_from is not null and c.enabled
             and not exists (select from syncline.run r where r.schedule_id is null and r.batch_id = f.batch_id offset 0)
           order by f.id limit $1
           for update of f skip locked"#,
        AT_ONCE
    )
    .fetch_all(&mut *db)
    .await?;
    let mut ids = Vec::with_capacity(open.len());
    let mut next = Vec::with_capacity(open.len());
    let mut runs = Vec::with_capacity(open.len());
    for backfill in &open {
        let from = backfill.next_from;
        let step = TimeDelta::seconds(backfill.step_seconds);
        let to = from
            .checked_add_signed(step)
            .map_or(backfill.range_to, |to| to.min(backfill.range_to));
        ids.push(backfill.id);
        next.push((to < backfill.range_to).then_some(to));
        runs.push(BatchOfRuns {
            new: NewRun {
                queue: SYNC_QUEUE,
                batch_id: backfill.batch_id,
                schedule_id: None,
                origin: RunOrigin::Backfill,
                requested_by: Some(&backfill.requested_by),
                kind: RunKind::Backfill,
                streams: Some(&backfill.streams),
                page: None,
                range: Some(DataRange { from, to }),
                priority: backfill.priority,
                delay: Duration::ZERO,
                time_limit_seconds: None,
            },
            targets: vec![RunTarget {
                connection_id: backfill.connection_id,
                business_id: backfill.business_id,
                platform: backfill.platform.clone(),
                retry_of: None,
                delay: Duration::ZERO,
            }],
        });
    }
    let enqueued = enqueue_all(db, SYNC_QUEUE, &runs).await?.len();
    sqlx::query!(
        "with moved as (
             update syncline.backfill f set next_from = n.next_from
             from unnest($1::uuid[], $2::timestamptz[]) as n (id, next_from)
             where f.id = n.id
             returning f.batch_id, f.next_from
         )
         update syncline.batch k set
             runs = k.runs + 1, rest = case when m.next_from is not null then k.rest end
         from moved m where k.id = m.batch_id",
        &ids,
        &next as &[Option<DateTime<Utc>>]
    )
    .execute(db)
    .await?;
    Ok(enqueued)
}
