//! A worker within the test, with a handler of the test's own.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use syncline_shared::config::LeaseConfig;
use syncline_shared::db::run::{ClaimedRun, Finish, RunTarget};
use syncline_shared::ids::{ConnectionId, RunId};
use syncline_shared::lifecycle::Lifecycle;
use syncline_worker::{AttemptEnd, Handler, QueueConfig, run_queue};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::world::World;

/// Nothing that is waited for takes nearly as long on a busy machine.
const LONGEST: Duration = Duration::from_mins(1);
/// A heartbeat a second.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// A handler made of a function.
pub(crate) struct Do<F>(pub(crate) F);

impl<F, T> Handler for Do<F>
where
    F: Fn(ClaimedRun) -> T + Send + Sync + 'static,
    T: Future<Output = AttemptEnd> + Send,
{
    async fn execute(&self, run: ClaimedRun) -> AttemptEnd {
        (self.0)(run).await
    }
}

/// How often each run was executed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Executions(Arc<Mutex<BTreeMap<RunId, u32>>>);

impl Executions {
    pub(crate) fn note(&self, run: &ClaimedRun) {
        *self.0.lock().unwrap().entry(run.id).or_default() += 1;
    }

    pub(crate) fn of(&self, run: RunId) -> u32 {
        self.0.lock().unwrap().get(&run).copied().unwrap_or(0)
    }

    /// Runs that were executed more than once.
    pub(crate) fn repeated(&self) -> Vec<RunId> {
        let all = self.0.lock().unwrap();
        let repeated = all.iter().filter(|(_, times)| **times > 1);
        repeated.map(|(id, _)| *id).collect()
    }
}

/// A worker that runs.
pub(crate) struct Running {
    life: Lifecycle,
    worker: JoinHandle<anyhow::Result<()>>,
}

/// Starts a worker.
pub(crate) fn start<H: Handler>(world: &World, slots: u16, handler: H) -> Running {
    let life = Lifecycle::new(LONGEST);
    let lease = LeaseConfig {
        lease_seconds: LEASE.as_secs(),
    };
    let config = QueueConfig {
        share: usize::from(slots),
        stall: LONGEST * 10,
        slice: LONGEST * 10,
    };
    let database = world.database.clone();
    let worker = run_queue(slots, lease, config, database, handler, life.clone());
    Running {
        life,
        worker: tokio::spawn(worker),
    }
}

impl Running {
    pub(crate) fn is_up(&self) -> bool {
        !self.worker.is_finished()
    }

    /// Asks it to stop.
    pub(crate) fn drain(&self) {
        self.life.drain();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.drain();
        self.worker.await.unwrap().unwrap();
        self.life.finished().await.unwrap();
    }
}

/// The end of a run that went well.
pub(crate) fn succeeded(run: &ClaimedRun) -> AttemptEnd {
    let end = Finish::succeeded(run);
    AttemptEnd::Finish(end, run.connection_id)
}

/// So many connections like this one, which exist nowhere else: the queue does not ask.
pub(crate) async fn crowd(world: &World, business: &str, size: usize) -> Vec<RunTarget> {
    let one = world.business(business, 1).await.remove(0);
    let more = || RunTarget {
        connection_id: ConnectionId(Uuid::new_v4()),
        ..one.clone()
    };
    std::iter::repeat_with(more).take(size).collect()
}

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < LONGEST, "{what}: not reached");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A number that the database tells.
pub(crate) async fn number(world: &World, question: &'static str) -> i64 {
    sqlx::query_scalar(question)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

/// Waits until so many runs have ended.
pub(crate) async fn until_ended(world: &World, runs: i64) {
    until(&format!("{runs} runs to end"), async || {
        number(world, "select count(*) from syncline.run_history").await == runs
    })
    .await;
}
