//! Closing batches whose runs have all ended: counts, records, outcome.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::counts;
use crate::db::{DbConnection, DbResult};
use crate::ids::{BatchId, ScheduleId};
use crate::run::{Outcome, RunOrigin, StreamCounts};

/// A batch that has just ended.
#[derive(Debug, Clone)]
pub struct Closed {
    /// Its id.
    pub id: BatchId,
    /// What asked for it.
    pub origin: RunOrigin,
    /// The schedule that asked for it.
    pub schedule_id: Option<ScheduleId>,
    /// That schedule's key, unless it was deleted.
    pub schedule_key: Option<String>,
    /// Who asked for it, if a person did.
    pub requested_by: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Its runs.
    pub runs: i32,
    /// Runs that succeeded.
    pub succeeded: i32,
    /// Runs that succeeded in part.
    pub partial: i32,
    /// Runs that failed.
    pub failed: i32,
    /// Runs that were cancelled.
    pub cancelled: i32,
    /// Records of all runs.
    pub records: Json<StreamCounts>,
    /// The streams that were read.
    pub streams: Vec<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}

/// True if nobody else closes batches until this transaction ends. Closing locks schedules, those of the batches and those that follow
/// them; two that did so at once could wait for each other.
pub async fn only_closer(db: &mut DbConnection) -> DbResult<bool> {
    // The number is this service's own among Syncline's advisory locks.
    Ok(
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(7291003) as "mine!""#)
            .fetch_one(db)
            .await?,
    )
}

/// Looks at the open batches that follow `after`, `limit` of them at most, and closes those without an unfinished run. Answers them,
/// and where the next look goes on: `None`, from the beginning.
pub async fn close_ended(
    db: &mut DbConnection,
    after: Option<BatchId>,
    limit: i64,
) -> DbResult<(Vec<Closed>, Option<BatchId>)> {
    // Runs of schedules and of requests are in an index each, so that a run pays for one of them. A batch's runs are all of its schedule,
    // or all of none.
    let looked = sqlx::query!(
        r#"select b.id as "id: BatchId",
                  case when b.schedule_id is not null
                       then not exists (select from syncline.run r
                                        where r.schedule_id = b.schedule_id and r.batch_id = b.id offset 0)
                       else not exists (select from syncline.run r
                                        where r.schedule_id is null and r.batch_id = b.id offset 0) end as "ended!"
           from syncline.batch b
           where b.ended_at is null and b.rest is null and b.id > coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
           order by b.id limit $2"#,
        after.map(|id| id.0),
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    let is_full = i64::try_from(looked.len()).is_ok_and(|looked| looked >= limit);
    let next = looked.last().map(|last| last.id).filter(|_| is_full);
    let ids: Vec<_> = looked
        .iter()
        .filter(|batch| batch.ended)
        .map(|batch| batch.id.0)
        .collect();
    if ids.is_empty() {
        return Ok((Vec::new(), next));
    }
    // A run leaves the queue in the statement that puts it into the history, so a batch that has none there has all of them here. Other
    // schedulers pass over the rows that this one locks.
    let closed = sqlx::query_as!(
        Closed,
        r#"with ended_batches as materialized (
               select id, created_at from syncline.batch
               where id = any ($1) and ended_at is null order by id
               for update skip locked
           ),
           finished as materialized (
               select e.id as batch_id, h.outcome, h.progress
               from ended_batches e
               cross join lateral (
                   select k.outcome, k.progress from syncline.run_history k
                   where k.batch_id = e.id and k.id >= syncline.run_id_floor(e.created_at) offset 0) h
           ),
           counted as (
               select e.id, count(f.batch_id) as runs,
                      count(*) filter (where f.outcome = 'succeeded') as succeeded,
                      count(*) filter (where f.outcome = 'partial') as partial,
                      count(*) filter (where f.outcome = 'failed') as failed,
                      count(*) filter (where f.outcome = 'cancelled') as cancelled
               from ended_batches e left join finished f on f.batch_id = e.id
               group by e.id
           ),
           summed as (
               select f.batch_id as id, array_agg(distinct s.key) as streams,
                      jsonb_build_object(
                          'read', coalesce(sum((s.value ->> 'read')::bigint), 0),
                          'inserted', coalesce(sum((s.value ->> 'inserted')::bigint), 0),
                          'updated', coalesce(sum((s.value ->> 'updated')::bigint), 0),
                          'unchanged', coalesce(sum((s.value ->> 'unchanged')::bigint), 0),
                          'deleted', coalesce(sum((s.value ->> 'deleted')::bigint), 0),
                          'failed', coalesce(sum((s.value ->> 'failed')::bigint), 0),
                          'duplicates', coalesce(sum((s.value ->> 'duplicates')::bigint), 0)) as records
               from finished f cross join lateral jsonb_each(f.progress) s
               group by f.batch_id
           )
           update syncline.batch b set
               ended_at = syncline.now(),
               outcome = case when c.succeeded = c.runs then 'succeeded'
                              when c.succeeded + c.partial > 0 then 'partial'
                              when c.failed > 0 then 'failed'
                              else 'cancelled' end,
               runs = c.runs, succeeded = c.succeeded, partial = c.partial, failed = c.failed, cancelled = c.cancelled,
               records = coalesce(s.records, '{}')
           from counted c
           left join summed s on s.id = c.id
           where b.id = c.id
           returning b.id as "id: BatchId", b.origin as "origin: RunOrigin", b.schedule_id as "schedule_id: ScheduleId",
                     (select key from syncline.schedule where id = b.schedule_id) as schedule_key, b.requested_by,
                     b.outcome as "outcome!: Outcome", b.runs, b.succeeded, b.partial, b.failed, b.cancelled,
                     b.records as "records!: Json<StreamCounts>", coalesce(s.streams, '{}') as "streams!",
                     b.created_at, b.ended_at as "ended_at!""#,
        &ids
    )
    .fetch_all(&mut *db)
    .await?;
    counts::add(db, &closed).await?;
    Ok((closed, next))
}

impl Closed {
    /// How long it took, in seconds.
    pub fn seconds(&self) -> f64 {
        (self.ended_at - self.created_at).as_seconds_f64()
    }

    /// What became of it, in one line.
    pub fn summary(&self) -> String {
        let StreamCounts {
            read,
            inserted,
            updated,
            unchanged,
            failed,
            ..
        } = self.records.0;
        let noun = match self.streams.as_slice() {
            [only] => only.as_str(),
            _ => "records",
        };
        let who = match (&self.schedule_key, &self.requested_by, self.origin) {
            (_, Some(name), RunOrigin::Backfill) => format!("backfill for {name}"),
            (Some(key), Some(name), _) => format!("sync of schedule {key}, triggered by {name},"),
            (Some(key), None, _) => format!("scheduled sync {key}"),
            (None, Some(name), _) => format!("sync for {name}"),
            (None, None, _) => "sync of a deleted schedule".to_owned(),
        };
        let failures = failed + u64::from(self.failed.unsigned_abs());
        format!(
            "{who} {}: {}/{} {noun} synced, {failures} {} in {:.2}s ({}; {inserted} inserted, {updated} updated, {unchanged} unchanged)",
            match self.outcome {
                Outcome::Succeeded => "complete",
                Outcome::Partial => "complete in part",
                Outcome::Failed => "failed",
                Outcome::Cancelled => "cancelled",
            },
            inserted + updated + unchanged,
            read.max(inserted + updated + unchanged),
            if failures == 1 { "failure" } else { "failures" },
            self.seconds(),
            self.runs_in_words(),
        )
    }

    fn runs_in_words(&self) -> String {
        let kinds = [
            (self.succeeded, "succeeded"),
            (self.partial, "partial"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
        ];
        let parts: Vec<_> = kinds
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let noun = if self.runs == 1 { "run" } else { "runs" };
        if parts.is_empty() {
            format!("{} {noun}", self.runs)
        } else {
            format!("{} {noun}: {}", self.runs, parts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_summary_says_how_much_how_many_failures_and_how_long() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        let closed = Closed {
            id: BatchId(Uuid::nil()),
            origin: RunOrigin::Schedule,
            schedule_id: None,
            schedule_key: Some("hourly-posts".to_owned()),
            requested_by: None,
            outcome: Outcome::Partial,
            runs: 3,
            succeeded: 2,
            partial: 1,
            failed: 0,
            cancelled: 0,
            records: Json(StreamCounts {
                read: 200,
                inserted: 45,
                updated: 100,
                failed: 5,
                ..StreamCounts::default()
            }),
            streams: vec!["posts".to_owned()],
            created_at: at("2026-01-01T00:00:00Z"),
            ended_at: at("2026-01-01T00:02:00.45Z"),
        };
        assert_eq!(
            closed.summary(),
            "scheduled sync hourly-posts complete in part: 145/200 posts synced, 5 failures in 120.45s \
             (3 runs: 2 succeeded, 1 partial; 45 inserted, 100 updated, 0 unchanged)"
        );
    }
}
