//! Open-loop load: runs arrive at a fixed rate, whatever becomes of them, and each works for a millisecond. Told are the rate at which
//! they finish and how long they take from the INSERT to the end of their work.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use syncline_shared::db::notify::{RUN_QUEUED, Waker};
use syncline_shared::db::run::{ClaimedRun, enqueue};
use syncline_shared::ids::RunId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_worker::{AttemptEnd, Handler};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::latency::{Quantiles, quantiles};
use super::worker::{succeeded, work};
use super::world::{World, new_batch, new_run};

/// Runs arrive in groups, so often a second.
const GROUPS_A_SECOND: u64 = 100;
/// The work of a run.
const WORK: Duration = Duration::from_millis(1);

/// What became of the load.
pub(super) struct Load {
    /// Runs finished a second, from the first arrival to the last end.
    pub(super) rate: f64,
    /// From the INSERT to the end of the work, in milliseconds.
    pub(super) latency: Quantiles,
}

struct Work(mpsc::UnboundedSender<(RunId, Instant)>);

impl Handler for Work {
    async fn execute(&self, run: ClaimedRun) -> AttemptEnd {
        tokio::time::sleep(WORK).await;
        // The receiver lives until the worker has ended.
        self.0.send((run.id, Instant::now())).ok();
        succeeded(&run)
    }
}

pub(super) async fn measure(world: &World, rate: u64, length: Duration) -> anyhow::Result<Load> {
    world.clear().await?;
    let (noted, mut ended) = mpsc::unbounded_channel();
    let life = Lifecycle::new(Duration::from_secs(5));
    let waker = Waker::start(world.database.clone(), RUN_QUEUED, &life);
    let working = tokio::spawn(work(world.database.clone(), 256, Work(noted), life.clone()));
    let mut db = world.database.session().await?;
    let batch = new_batch(&mut db, 0).await?;
    let mut sent: HashMap<RunId, Instant> = HashMap::new();
    let mut due = interval(Duration::from_secs(1) / u32::try_from(GROUPS_A_SECOND)?);
    // What is late is made up for: the load does not heed how it is borne.
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    let mut connection = 0_u32;
    for group in 0..GROUPS_A_SECOND * length.as_secs() {
        due.tick().await;
        let count = rate * (group + 1) / GROUPS_A_SECOND - rate * group / GROUPS_A_SECOND;
        let targets: Vec<_> = (0..count)
            .map(|_| {
                connection += 1;
                world.target(connection)
            })
            .collect();
        let at = Instant::now();
        for run in enqueue(&mut db, &new_run(batch), &targets).await? {
            sent.insert(run.id, at);
        }
        waker.wake();
    }
    let runs = sent.len();
    let mut milliseconds = Vec::new();
    let mut last = began;
    while !sent.is_empty() {
        let Some((id, at)) = ended.recv().await else {
            anyhow::bail!("{} runs were not finished", sent.len());
        };
        if let Some(sent) = sent.remove(&id) {
            milliseconds.push((at - sent).as_secs_f64() * 1000.0);
            last = last.max(at);
        }
    }
    life.drain();
    working.await??;
    life.finished().await?;
    Ok(Load {
        rate: f64::from(u32::try_from(runs)?) / (last - began).as_secs_f64(),
        latency: quantiles(milliseconds),
    })
}
