//! Housekeeping. Every service has the same shape: a name, an interval, and one pass that may be repeated, or run in several
//! schedulers at once, without harm. A pass says what it did; nothing is logged when it did nothing.

mod due_mover;
mod partition_keeper;
mod process_pruner;
mod run_expirer;
mod run_rescuer;

use std::future::Future;
use std::time::Duration;

use syncline_shared::db::notify::Waker;
use syncline_shared::db::{Database, DbResult, answered_within};
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use tokio::time::{MissedTickBehavior, interval};

use crate::SchedulerConfig;
use due_mover::DueMover;
use partition_keeper::PartitionKeeper;
use process_pruner::ProcessPruner;
use run_expirer::RunExpirer;
use run_rescuer::RunRescuer;

/// A pass that takes longer most likely waits for a connection that has fallen silent. Whatever it committed stays done.
const LONGEST_PASS: Duration = Duration::from_secs(20);

/// A housekeeping service.
trait Service: Send + 'static {
    /// Its name in the log.
    const NAME: &'static str;

    /// Time between two passes.
    fn every(&self) -> Duration;

    /// A pass that takes longer is given up, and the next one begins.
    fn patience(&self) -> Duration {
        LONGEST_PASS
    }

    /// One pass. `Some`: what it did, as a sentence.
    fn pass(&mut self) -> impl Future<Output = DbResult<Option<String>>> + Send;
}

/// Starts all services.
pub(crate) fn start(
    database: &Database,
    id: ProcessId,
    config: &SchedulerConfig,
    wake: &Waker,
    life: &Lifecycle,
) {
    keep_at(DueMover::new(database.clone(), wake.clone()), life);
    // A connection of its own: what keeps others waiting must not make this process look as if it were cut off.
    keep_at(
        RunRescuer::new(database.apart(), id, config.lease.clone(), wake.clone()),
        life,
    );
    keep_at(
        RunExpirer::new(database.clone(), config.longest_age()),
        life,
    );
    keep_at(
        PartitionKeeper::new(database.clone(), config.retention()),
        life,
    );
    keep_at(ProcessPruner::new(database.clone()), life);
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
            match answered_within(service.patience(), service.pass()).await {
                Ok(Some(done)) => tracing::info!(service = S::NAME, "{}: {done}", S::NAME),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(service = S::NAME, %error, "{} failed, trying again: {error}", S::NAME);
                }
            }
        }
    });
}
