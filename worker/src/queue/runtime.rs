//! Puts the parts together and runs them under apalis.
//!
//! Order of the end: the claim task stops; the attempts reach a checkpoint and hand back; what was claimed but not begun is
//! handed back; the recorders write all that; the process says goodbye; heartbeats cease last.

use std::sync::Arc;
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::data::Data;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use syncline_shared::db::Database;
use syncline_shared::db::notify::{self, Waker};
use syncline_shared::db::process;
use syncline_shared::db::run::ClaimedRun;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::SYNC_QUEUE;
use tokio::sync::{Mutex, mpsc};
use tower::limit::ConcurrencyLimitLayer;

use super::backend::RunSource;
use super::buffer::Buffer;
use super::claimer::Claimer;
use super::recorder::Recorder;
use super::watcher::{self, Patience};
use super::{AttemptEnd, Leases, heartbeat};
use crate::attempt::handed_back;

/// The goodbye must not hold up the end of the process when the database is away.
const GOODBYE: Duration = Duration::from_secs(2);
/// Ends that wait to be recorded; with more, attempts wait in their slots.
const ENDS: usize = 4_096;
/// While one writes a batch, the other gathers the next.
const RECORDERS: usize = 2;

/// What executes a run.
pub trait Handler: Send + Sync + 'static {
    /// Executes one attempt and says how it ended.
    fn execute(&self, run: ClaimedRun) -> impl Future<Output = AttemptEnd> + Send;
}

/// How the queue is worked off.
#[derive(Debug, Clone, Copy)]
pub struct QueueConfig {
    /// Slots that one platform may hold while others have runs ready.
    pub share: usize,
    /// An attempt may go on for so long without progress.
    pub stall: Duration,
    /// An attempt may go on for so long while others wait for a slot.
    pub slice: Duration,
}

/// Executes runs until the life drains and every attempt has ended.
pub(crate) async fn run<H: Handler>(
    config: QueueConfig,
    database: Database,
    leases: Arc<Leases>,
    handler: H,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    let buffer = Buffer::default();
    let (ends, ended) = mpsc::channel(ENDS);
    // The recorders, the watcher and the heartbeat outlive the drain: they have a life of their own, which ends below.
    let upkeep = Lifecycle::new(Duration::from_secs(5));
    let wake = Waker::start(database.clone(), notify::RUN_QUEUED, &upkeep);
    // A connection of its own: attempts that use up the pool must not cost the process its leases.
    upkeep.spawn(
        "heartbeat",
        heartbeat::beat_on(database.apart(), leases.clone(), upkeep.clone()),
    );
    let patience = Patience {
        stall: config.stall,
        slice: config.slice,
    };
    let watching = watcher::watch_on(
        database.apart(),
        leases.clone(),
        ends.clone(),
        patience,
        upkeep.clone(),
    );
    let watcher = tokio::spawn(watching);
    let recorder = Recorder {
        database: database.clone(),
        leases: leases.clone(),
        ends: Arc::new(Mutex::new(ended)),
        wake,
        life: life.clone(),
    };
    let recorders: Vec<_> = (0..RECORDERS)
        .map(|_| tokio::spawn(recorder.clone().record_on()))
        .collect();
    drop(recorder);
    let claimer = Claimer {
        database: database.clone(),
        leases: leases.clone(),
        buffer: buffer.clone(),
    };
    let claimer = tokio::spawn(claimer.claim_on(life.clone()));

    let worker = WorkerBuilder::new(SYNC_QUEUE)
        .backend(RunSource {
            buffer: buffer.clone(),
            ends: ends.clone(),
        })
        .data(Arc::new(handler))
        .layer(ConcurrencyLimitLayer::new(leases.slots()))
        .parallelize(tokio::spawn)
        .build(handle::<H>);
    let draining = life.draining().clone();
    worker
        .run_with_ctx(move |context: WorkerContext| {
            let draining = draining.clone();
            async move {
                draining.cancelled().await;
                // From here on nothing is taken from the buffer; attempts under way go on to their end.
                context.stop().ok();
                Ok(())
            }
        })
        .await
        .map_err(|error| anyhow::anyhow!("the apalis worker ended: {error}"))?;

    // Only when the claim task has ended is the buffer complete.
    claimer.await??;
    for run in buffer.drain() {
        // Cannot fail: the recorders live until all senders are gone.
        ends.send(AttemptEnd::Release(handed_back(&run))).await.ok();
    }
    drop(ends);
    watcher.abort();
    // Its sender must be gone before the recorders can end.
    watcher.await.ok();
    for recorder in recorders {
        recorder.await??;
    }
    let goodbye = async {
        let mut db = database.session().await?;
        process::stop(&mut db, leases.process()).await?;
        db.end().await
    };
    if let Ok(Err(error)) = tokio::time::timeout(GOODBYE, goodbye).await {
        tracing::warn!(%error, "the process could not say goodbye: {error}");
    }
    upkeep.stopping().cancel();
    upkeep.finished().await
}

/// The apalis handler: an attempt, from beginning to end.
async fn handle<H: Handler>(
    run: ClaimedRun,
    handler: Data<Arc<H>>,
) -> Result<AttemptEnd, BoxDynError> {
    Ok(handler.execute(run).await)
}
