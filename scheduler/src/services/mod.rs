//! Housekeeping. Every service has the same shape: a name, an interval, and one pass that may be repeated, or run in several
//! schedulers at once, without harm. A pass says what it did; nothing is logged when it did nothing.

mod batch_closer;
mod due_mover;
mod fan_out;
mod partition_keeper;
mod process_pruner;
mod run_expirer;
mod run_rescuer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use syncline_shared::db::notify::Waker;
use syncline_shared::db::{Database, DbResult, answered_within};
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use tokio::sync::Notify;

use crate::SchedulerConfig;
use crate::agenda::Prompts;
pub(crate) use batch_closer::BatchCloser;
use due_mover::DueMover;
pub(crate) use fan_out::FanOut;
use partition_keeper::PartitionKeeper;
use process_pruner::ProcessPruner;
use run_expirer::RunExpirer;
use run_rescuer::RunRescuer;

/// A pass that takes longer most likely waits for a connection that has fallen silent. Whatever it committed stays done.
const LONGEST_PASS: Duration = Duration::from_secs(20);

/// When a service has its next pass.
pub(crate) enum Next {
    /// So long after the one before.
    After(Duration),
    /// When the scheduler has seen that there is something to do.
    Prompted(Arc<Notify>),
}

/// A housekeeping service.
pub(crate) trait Service: Send + 'static {
    /// Its name in the log.
    const NAME: &'static str;

    /// When the next pass is.
    fn next(&self) -> Next;

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
    prompts: &Prompts,
    wake: &Waker,
    life: &Lifecycle,
) {
    keep_at(
        DueMover::new(database.clone(), prompts.runs.clone(), wake.clone()),
        life,
    );
    keep_at(
        FanOut::new(database.clone(), prompts.fan_outs.clone(), wake.clone()),
        life,
    );
    keep_at(
        BatchCloser::new(database.clone(), prompts.batches.clone(), wake.clone()),
        life,
    );
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
        let mut is_first = true;
        loop {
            let next = service.next();
            let waiting = async {
                match next {
                    Next::After(_) if is_first => {}
                    Next::After(time) => tokio::time::sleep(time).await,
                    Next::Prompted(prompt) => prompt.notified().await,
                }
            };
            tokio::select! {
                () = waiting => {}
                () = draining.cancelled() => return Ok(()),
            }
            is_first = false;
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
