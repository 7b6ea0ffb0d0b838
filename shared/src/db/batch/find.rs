//! Batches as people see them, and cancelling one.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::{BatchTarget, Closed, LeftOut};
use crate::db::{DbConnection, DbResult};
use crate::ids::{BatchId, BusinessId, ConnectionId, RunId, ScheduleId};
use crate::run::{Outcome, RunKind, RunOrigin, StreamCounts};

/// A batch, ended or not.
#[derive(Debug, Clone)]
pub struct BatchView {
    /// Its id.
    pub id: BatchId,
    /// What asked for it.
    pub origin: RunOrigin,
    /// The schedule that asked for it, or was triggered by hand.
    pub schedule_id: Option<ScheduleId>,
    /// That schedule's key, unless it was deleted.
    pub schedule_key: Option<String>,
    /// The due moment, if a tick asked for it.
    pub nominal_at: Option<DateTime<Utc>>,
    /// Who asked for it, if a person did.
    pub requested_by: Option<String>,
    /// What it was asked for.
    pub target: Option<BatchTarget>,
    /// The connection, if that was the target.
    pub connection_id: Option<ConnectionId>,
    /// The business, if that was the target.
    pub business_id: Option<BusinessId>,
    /// The key of that connection or business, unless it was deleted.
    pub target_key: Option<String>,
    /// The platform, if that was the target.
    pub platform: Option<String>,
    /// Only these streams.
    pub streams: Option<Vec<String>>,
    /// Kind of its runs, if they are of one.
    pub kind: Option<RunKind>,
    /// Runs enqueued so far.
    pub runs: i32,
    /// True if more are to be enqueued.
    pub has_more: bool,
    /// Connections that got none.
    pub left_out: Json<Vec<LeftOut>>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When all of its runs had ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Runs that succeeded; counted when the batch ended, as are the following.
    pub succeeded: i32,
    /// Runs that succeeded in part.
    pub partial: i32,
    /// Runs that failed.
    pub failed: i32,
    /// Runs that were cancelled.
    pub cancelled: i32,
    /// Records of all runs.
    pub records: Option<Json<StreamCounts>>,
}

/// The runs of a batch by what they are doing, or how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Being executed.
    pub running: i64,
    /// Unfinished, and not being executed.
    pub waiting: i64,
    /// Succeeded.
    pub succeeded: i64,
    /// Succeeded in part.
    pub partial: i64,
    /// Failed.
    pub failed: i64,
    /// Cancelled.
    pub cancelled: i64,
}

impl BatchView {
    /// How its runs ended, once it has ended.
    pub fn run_counts(&self) -> Option<RunCounts> {
        self.ended_at.map(|_| RunCounts {
            running: 0,
            waiting: 0,
            succeeded: self.succeeded.into(),
            partial: self.partial.into(),
            failed: self.failed.into(),
            cancelled: self.cancelled.into(),
        })
    }

    /// What became of it in one line, once it has ended.
    pub fn summary(&self) -> Option<String> {
        let (ended_at, outcome) = (self.ended_at?, self.outcome?);
        let closed = Closed {
            id: self.id,
            origin: self.origin,
            schedule_id: self.schedule_id,
            schedule_key: self.schedule_key.clone(),
            requested_by: self.requested_by.clone(),
            outcome,
            runs: self.runs,
            succeeded: self.succeeded,
            partial: self.partial,
            failed: self.failed,
            cancelled: self.cancelled,
            records: Json(self.records.as_deref().copied().unwrap_or_default()),
            streams: self.streams.clone().unwrap_or_default(),
            created_at: self.created_at,
            ended_at,
        };
        Some(closed.summary())
    }
}

/// Which batches a page of the list shows. Filters are combined by AND.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchFilter {
    /// Only those of this schedule.
    pub schedule: Option<ScheduleId>,
    /// Only those that have ended, or have not.
    pub ended: Option<bool>,
    /// Only older ones than this: the next page.
    pub before: Option<BatchId>,
}

/// A checked query that answers batches. `$tail` stands behind the joins.
macro_rules! query_batches {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            BatchView,
            r#"select k.id as "id!: BatchId", k.origin as "origin!: RunOrigin", k.schedule_id as "schedule_id: ScheduleId",
                      s.key as "schedule_key?", k.nominal_at, k.requested_by, k.target as "target: BatchTarget",
                      k.connection_id as "connection_id: ConnectionId", k.business_id as "business_id: BusinessId",
                      coalesce(c.key, b.key) as "target_key?", k.platform, k.streams, k.kind as "kind: RunKind",
                      k.runs as "runs!", k.rest is not null as "has_more!", k.left_out as "left_out!: Json<Vec<LeftOut>>",
                      k.created_at as "created_at!", k.ended_at, k.outcome as "outcome: Outcome",
                      k.succeeded as "succeeded!", k.partial as "partial!", k.failed as "failed!", k.cancelled as "cancelled!",
                      k.records as "records: Json<StreamCounts>"
               from syncline.batch k
               left join syncline.schedule s on s.id = k.schedule_id
               left join syncline.connection c on c.id = k.connection_id
               left join syncline.business b on b.id = k.business_id "# + $tail
            $(, $argument)*
        )
    };
}

/// A batch by id.
pub async fn find(db: &mut DbConnection, id: BatchId) -> DbResult<Option<BatchView>> {
    Ok(query_batches!("where k.id = $1", id.0)
        .fetch_optional(db)
        .await?)
}

/// Batches, newest first.
pub async fn list(
    db: &mut DbConnection,
    filter: &BatchFilter,
    limit: i64,
) -> DbResult<Vec<BatchView>> {
    let before = filter.before.map(|id| id.0);
    // One statement a filter, so that each has the index that it needs. Those that have not ended are few, those that have are many.
    Ok(match (filter.schedule, filter.ended) {
        (schedule, Some(false)) => query_batches!(
            "where k.ended_at is null and k.id < coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
               and ($2::uuid is null or k.schedule_id = $2)
             order by k.id desc limit $3",
            before,
            schedule.map(|id| id.0),
            limit
        )
        .fetch_all(db)
        .await?,
        (Some(schedule), ended) => query_batches!(
            "where k.schedule_id = $1 and k.id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
               and (not $3 or k.ended_at is not null)
             order by k.id desc limit $4",
            schedule.0,
            before,
            ended.is_some(),
            limit
        )
        .fetch_all(db)
        .await?,
        (None, ended) => query_batches!(
            "where k.id < coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
               and (not $2 or k.ended_at is not null)
             order by k.id desc limit $3",
            before,
            ended.is_some(),
            limit
        )
        .fetch_all(db)
        .await?,
    })
}

/// Enqueues nothing more of a batch. False: there is no such batch, or it has ended.
pub async fn cancel(db: &mut DbConnection, id: BatchId) -> DbResult<bool> {
    let found = sqlx::query!(
        "update syncline.batch set rest = null where id = $1 and ended_at is null",
        id.0
    )
    .execute(db)
    .await?;
    Ok(found.rows_affected() == 1)
}

/// Unfinished runs of a batch that nobody has asked to cancel yet, a bounded number at a time.
pub async fn list_runs_to_cancel(
    db: &mut DbConnection,
    id: BatchId,
    limit: i64,
) -> DbResult<Vec<RunId>> {
    Ok(sqlx::query_scalar!(
        r#"select r.id as "id: RunId" from syncline.run r
           where r.batch_id = $1 and r.cancel_requested_at is null
             and (r.schedule_id is null
                  or r.schedule_id = (select schedule_id from syncline.batch where id = $1))
           order by r.id limit $2"#,
        id.0,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Counts the runs of a batch as they are now. Costs as much as it has runs.
pub async fn count_runs(db: &mut DbConnection, batch: &BatchView) -> DbResult<RunCounts> {
    // Runs of schedules and of requests are in an index each. A run moves from one table to the other in one statement, so that
    // each is counted once.
    Ok(sqlx::query_as!(
        RunCounts,
        r#"select count(*) filter (where status = 'running') as "running!",
                  count(*) filter (where status = 'waiting') as "waiting!",
                  count(*) filter (where status = 'succeeded') as "succeeded!",
                  count(*) filter (where status = 'partial') as "partial!",
                  count(*) filter (where status = 'failed') as "failed!",
                  count(*) filter (where status = 'cancelled') as "cancelled!"
           from (
               select case when state = 'running' then 'running' else 'waiting' end as status
               from syncline.run where schedule_id = $2 and batch_id = $1
               union all
               select case when state = 'running' then 'running' else 'waiting' end
               from syncline.run where schedule_id is null and batch_id = $1
               union all
               select outcome from syncline.run_history
               where batch_id = $1 and id >= syncline.run_id_floor($3)
           ) runs"#,
        batch.id.0,
        batch.schedule_id.map(|id| id.0),
        batch.created_at
    )
    .fetch_one(db)
    .await?)
}
