//! Closes batches whose runs have all ended: one line in the log, schedules that failed too often pause, schedules that follow fire.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use syncline_shared::db::batch::{Closed, close_ended, only_closer};
use syncline_shared::db::notify::Waker;
use syncline_shared::db::schedule::{self, SchedulePauseCause};
use syncline_shared::db::{Database, DbConnection, DbResult};
use syncline_shared::ids::BatchId;
use syncline_shared::run::Outcome;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Next, Service};
use crate::tick::follow;

/// Open batches that one transaction looks at.
const AT_ONCE: i64 = 2_000;
/// Between two looks of a pass, as a multiple of what a look takes: with very many open batches, closing them must not keep the
/// database from what they wait for.
const REST: u32 = 50;
/// A pass that takes longer ends.
const LONGEST: Duration = Duration::from_secs(5);

pub(crate) struct BatchCloser {
    database: Database,
    /// There are open batches; about once a second while there are.
    prompt: Arc<Notify>,
    wake: Waker,
    /// Where the look goes on.
    after: Option<BatchId>,
}

impl BatchCloser {
    pub(crate) fn new(database: Database, prompt: Arc<Notify>, wake: Waker) -> Self {
        Self {
            database,
            prompt,
            wake,
            after: None,
        }
    }
}

impl Service for BatchCloser {
    const NAME: &'static str = "batch-closer";

    fn next(&self) -> Next {
        Next::Prompted(self.prompt.clone())
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let pass_began = Instant::now();
        loop {
            let began = Instant::now();
            let mut db = self.database.begin().await?;
            if !only_closer(&mut db).await? {
                return Ok(None);
            }
            let (closed, next) = close_ended(&mut db, self.after, AT_ONCE).await?;
            let mut runs = 0;
            for (batch, nth) in closed.iter().zip(0..) {
                runs += conclude(&mut db, batch, nth).await?;
            }
            db.commit().await?;
            for batch in &closed {
                tracing::info!(
                    batch.id = %batch.id, batch.outcome = batch.outcome.as_str(), batch.runs = batch.runs,
                    duration_seconds = batch.seconds(), "{}", batch.summary()
                );
                metrics::counter!("syncline_batches_total", "outcome" => batch.outcome.as_str())
                    .increment(1);
            }
            if runs > 0 {
                self.wake.wake();
            }
            self.after = next;
            if next.is_none() {
                return Ok(None);
            }
            // The next pass goes on where this one ends.
            if pass_began.elapsed() > LONGEST {
                return Ok(None);
            }
            if closed.is_empty() {
                tokio::time::sleep(began.elapsed() * REST).await;
            }
        }
    }
}

/// What follows from a batch's end for its schedule, and for those that follow it. Answers how many runs were enqueued.
async fn conclude(db: &mut DbConnection, batch: &Closed, nth: i64) -> DbResult<usize> {
    if let Some(id) = batch.schedule_id {
        let has_failed = batch.outcome == Outcome::Failed;
        let failures = schedule::count_batch(db, id, has_failed).await?;
        if let Some(failures) = failures.filter(|_| has_failed) {
            pause_if_too_many(db, batch, failures).await?;
        }
    }
    // A savepoint: a schedule that cannot follow must not keep batches from ending.
    db.savepoint("follow").await?;
    let nominal = batch.ended_at + TimeDelta::microseconds(nth);
    match follow(db, batch, nominal).await {
        Ok(runs) => Ok(runs),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => {
            tracing::error!(batch.id = %batch.id, %error, "the schedules that follow batch {} could not be fired: {error}", batch.id);
            db.back_to_savepoint("follow").await?;
            Ok(0)
        }
    }
}

async fn pause_if_too_many(db: &mut DbConnection, batch: &Closed, failures: i32) -> DbResult<()> {
    let Some(key) = &batch.schedule_key else {
        return Ok(());
    };
    let Some(found) = schedule::lock(db, key).await? else {
        return Ok(());
    };
    let pauses = found
        .policy()
        .is_ok_and(|policy| policy.pauses_after(u64::from(failures.unsigned_abs())));
    if pauses {
        let note = format!(
            "{failures} batches in a row failed, the last one is {}; resume the schedule when the cause is mended",
            batch.id
        );
        tracing::warn!(schedule.id = %found.id, "schedule {key} is paused: {note}");
        schedule::pause(
            db,
            found.id,
            SchedulePauseCause::Failures,
            "scheduler",
            Some(&note),
        )
        .await?;
    }
    Ok(())
}
