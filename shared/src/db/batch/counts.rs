//! Batches counted by the day on which they ended: totals and rates are asked of a few rows, however many batches there were.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::Closed;
use crate::db::{DbConnection, DbResult};
use crate::run::Outcome;

/// Batches of some days, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Batches that succeeded.
    pub succeeded: i64,
    /// Batches that succeeded in part.
    pub partial: i64,
    /// Batches that failed.
    pub failed: i64,
    /// Batches that were cancelled.
    pub cancelled: i64,
    /// Records that were read.
    pub records: i64,
    /// From enqueue to end in milliseconds, all but the cancelled ones together.
    pub duration_ms: i64,
    /// When the last of them ended.
    pub last_ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub last_outcome: Option<Outcome>,
}

impl BatchCounts {
    /// All that came to their own end.
    pub const fn total(&self) -> i64 {
        self.succeeded + self.partial + self.failed
    }

    fn add(&mut self, batch: &Closed) {
        *match batch.outcome {
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::Partial => &mut self.partial,
            Outcome::Failed => &mut self.failed,
            Outcome::Cancelled => &mut self.cancelled,
        } += 1;
        self.records += i64::try_from(batch.records.read).unwrap_or(0);
        if batch.outcome != Outcome::Cancelled {
            let duration = (batch.ended_at - batch.created_at).num_milliseconds();
            self.duration_ms += duration.max(0);
        }
        self.last_ended_at = Some(batch.ended_at);
        self.last_outcome = Some(batch.outcome);
    }
}

/// Counts batches that have just ended.
pub(super) async fn add(db: &mut DbConnection, closed: &[Closed]) -> DbResult<()> {
    let mut days: BTreeMap<NaiveDate, BatchCounts> = BTreeMap::new();
    for batch in closed {
        let day = batch.ended_at.date_naive();
        days.entry(day).or_default().add(batch);
    }
    for (day, counts) in days {
        let (Some(last_ended_at), Some(last_outcome)) = (counts.last_ended_at, counts.last_outcome)
        else {
            continue;
        };
        sqlx::query!(
            "insert into syncline.batch_count as c
                 (day, succeeded, partial, failed, cancelled, records, duration_ms, last_ended_at, last_outcome)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (day) do update set
                 succeeded = c.succeeded + excluded.succeeded, partial = c.partial + excluded.partial,
                 failed = c.failed + excluded.failed, cancelled = c.cancelled + excluded.cancelled,
                 records = c.records + excluded.records, duration_ms = c.duration_ms + excluded.duration_ms,
                 last_ended_at = excluded.last_ended_at, last_outcome = excluded.last_outcome",
            day,
            counts.succeeded,
            counts.partial,
            counts.failed,
            counts.cancelled,
            counts.records,
            counts.duration_ms,
            last_ended_at,
            last_outcome.as_str()
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Batches that ended within the last so many days, today included.
pub async fn sum_counts(db: &mut DbConnection, days: i32) -> DbResult<BatchCounts> {
    Ok(sqlx::query_as!(
        BatchCounts,
        r#"select coalesce(sum(succeeded), 0)::bigint as "succeeded!", coalesce(sum(partial), 0)::bigint as "partial!",
                  coalesce(sum(failed), 0)::bigint as "failed!", coalesce(sum(cancelled), 0)::bigint as "cancelled!",
                  coalesce(sum(records), 0)::bigint as "records!",
                  coalesce(sum(duration_ms), 0)::bigint as "duration_ms!",
                  max(last_ended_at) as last_ended_at,
                  (array_agg(last_outcome order by day desc))[1] as "last_outcome: Outcome"
           from syncline.batch_count
           where day > (syncline.now() at time zone 'UTC')::date - $1::int"#,
        days
    )
    .fetch_one(db)
    .await?)
}
