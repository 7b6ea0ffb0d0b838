//! Housekeeping. Every service has the same shape: a name, an interval, and one pass that may be repeated, or run in several
//! schedulers at once, without harm. A pass says what it did; nothing is logged when it did nothing.

mod due_mover;
mod partition_keeper;
mod process_pruner;
mod run_rescuer;

use std::future::Future;
use std::time::Duration;

use sqlx::PgPool;
use syncline_shared::db::DbResult;
use syncline_shared::db::notify::Waker;
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use tokio::time::{MissedTickBehavior, interval};

use crate::SchedulerConfig;
use due_mover::DueMover;
use partition_keeper::PartitionKeeper;
use process_pruner::ProcessPruner;
use run_rescuer::RunRescuer;

/// A housekeeping service.
trait Service: Send + 'static {
    /// Its name in the log.
    const NAME: &'static str;

    /// Time between two passes.
    fn every(&self) -> Duration;

    /// One pass. `Some`: what it did, as a sentence.
    fn pass(&mut self) -> impl Future<Output = DbResult<Option<String>>> + Send;
}

/// Starts all services.
pub(crate) fn start(
    pool: &PgPool,
    id: ProcessId,
    config: &SchedulerConfig,
    wake: &Waker,
    life: &Lifecycle,
) {
    keep_at(DueMover::new(pool.clone(), wake.clone()), life);
    keep_at(
        RunRescuer::new(pool.clone(), id, config.lease.clone(), wake.clone()),
        life,
    );
    keep_at(PartitionKeeper::new(pool.clone()), life);
    keep_at(ProcessPruner::new(pool.clone()), life);
}

fn keep_at<S: Service>(mut service: S, life: &Lifecycle) {
    let draining = life.draining().clone();
    life.spawn(S::NAME, async move {
        let mut due = interval(service.every());
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = due.tick() => {}
                () = draining.cancelled() => return Ok(()),
            }
            match service.pass().await {
                Ok(Some(done)) => tracing::info!(service = S::NAME, "{}: {done}", S::NAME),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(service = S::NAME, %error, "{} failed, trying again: {error}", S::NAME);
                }
            }
        }
    });
}
