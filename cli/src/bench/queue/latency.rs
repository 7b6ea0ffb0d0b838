//! Pickup: from sending the INSERT of a single run to the start of its handler, in an idle queue. Beside it the least that the same
//! way can cost: the same INSERT, NOTIFY, and a listener that makes the bare claim.

use std::time::{Duration, Instant};

use syncline_shared::db::notify::{RUN_QUEUED, Waker, send};
use syncline_shared::db::run::{Claim, ClaimedRun, Heads, claim};
use syncline_shared::ids::RunId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::SYNC_QUEUE;
use syncline_worker::{AttemptEnd, Handler};
use tokio::sync::mpsc;

use super::worker::{succeeded, work};
use super::world::{World, new_batch};

/// Runs that are timed.
const RUNS: u32 = 1_000;
/// Time between two of them.
const EVERY: Duration = Duration::from_millis(6);
/// A run that is not picked up within this time is a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// p50 and p99 in milliseconds.
pub(super) type Quantiles = (f64, f64);

/// Latencies of both ways.
pub(super) struct Pickup {
    pub(super) ours: Quantiles,
    pub(super) bare: Quantiles,
}

pub(super) async fn measure(world: &World) -> anyhow::Result<Pickup> {
    Ok(Pickup {
        ours: ours(world).await?,
        bare: bare(world).await?,
    })
}

type Started = (RunId, Instant);

struct Note(mpsc::UnboundedSender<Started>);

impl Handler for Note {
    async fn execute(&self, run: ClaimedRun) -> AttemptEnd {
        // The receiver lives until the worker has ended.
        self.0.send((run.id, Instant::now())).ok();
        succeeded(&run)
    }
}

async fn ours(world: &World) -> anyhow::Result<Quantiles> {
    world.clear().await?;
    let (noted, mut started) = mpsc::unbounded_channel();
    let life = Lifecycle::new(Duration::from_secs(5));
    let waker = Waker::start(world.database.clone(), RUN_QUEUED, &life);
    let working = tokio::spawn(work(world.database.clone(), 100, Note(noted), life.clone()));
    let latencies = offer(world, &mut started, || {
        waker.wake();
        std::future::ready(Ok(()))
    })
    .await;
    life.drain();
    working.await??;
    life.finished().await?;
    latencies
}

async fn bare(world: &World) -> anyhow::Result<Quantiles> {
    world.clear().await?;
    let process = world.register().await?;
    let (noted, mut started) = mpsc::unbounded_channel();
    let Some(mut listener) = world.database.listen(RUN_QUEUED).await? else {
        anyhow::bail!("there is no way to listen");
    };
    let claiming = tokio::spawn({
        let world = world.clone();
        async move {
            let mut db = world.database.session().await?;
            loop {
                listener.next().await?;
                let wanted = Claim {
                    queue: SYNC_QUEUE,
                    limit: 100,
                    rooms: &[],
                    room: 100,
                    heads: &Heads::default(),
                    process,
                };
                for run in claim(&mut db, &wanted).await? {
                    noted.send((run.id, Instant::now())).ok();
                }
            }
            #[expect(unreachable_code, reason = "names the error's type")]
            anyhow::Ok(())
        }
    });
    let database = world.database.clone();
    let latencies = offer(world, &mut started, || {
        let database = database.clone();
        async move { Ok(send(&database, RUN_QUEUED).await?) }
    })
    .await;
    claiming.abort();
    latencies
}

/// Enqueues runs one by one and waits for the start of each.
async fn offer<F: Future<Output = anyhow::Result<()>>>(
    world: &World,
    started: &mut mpsc::UnboundedReceiver<Started>,
    wake: impl Fn() -> F,
) -> anyhow::Result<Quantiles> {
    let mut db = world.database.session().await?;
    let batch = new_batch(&mut db, 0).await?;
    drop(db);
    let mut sent = std::collections::HashMap::new();
    let mut milliseconds = Vec::new();
    // The first ones open connections and prepare statements.
    let warm_up = 50;
    for run in 0..RUNS + warm_up {
        let began = Instant::now();
        let id = world.enqueue_one(batch, run).await?;
        wake().await?;
        sent.insert(id, (began, run >= warm_up));
        tokio::time::sleep(EVERY).await;
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !sent.is_empty() {
        let next = tokio::time::timeout_at(deadline, started.recv()).await;
        let Ok(Some((id, at))) = next else {
            anyhow::bail!("{} runs were not picked up", sent.len());
        };
        if let Some((began, true)) = sent.remove(&id) {
            milliseconds.push((at - began).as_secs_f64() * 1000.0);
        }
    }
    Ok(quantiles(milliseconds))
}

/// The median and the 99th percentile.
pub(super) fn quantiles(mut values: Vec<f64>) -> Quantiles {
    values.sort_by(f64::total_cmp);
    let at = |share: usize| {
        let index = (values.len() * share / 100).min(values.len().saturating_sub(1));
        values.get(index).copied().unwrap_or(f64::NAN)
    };
    (at(50), at(99))
}
