//! Puts the parts together and runs them under apalis.
//!
//! Order of the end: the claim task stops; the attempts reach a checkpoint and hand back; what was claimed but not begun is
//! handed back; the recorder writes all that; the process says goodbye; heartbeats cease last.

use std::sync::Arc;
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::data::Data;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use syncline_shared::db::notify::{self, Waker};
use syncline_shared::db::process;
use syncline_shared::db::run::ClaimedRun;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::SYNC_QUEUE;
use tokio::sync::mpsc;
use tower::limit::ConcurrencyLimitLayer;

use super::backend::RunSource;
use super::buffer::Buffer;
use super::{AttemptEnd, Leases, claimer, heartbeat, recorder};
use crate::attempt::{Executor, handed_back};
use crate::config::WorkerConfig;

/// The goodbye must not hold up the end of the process when the database is away.
const GOODBYE: Duration = Duration::from_secs(2);

/// Executes runs until the life drains and every attempt has ended.
pub(crate) async fn run(
    config: &WorkerConfig,
    pool: PgPool,
    leases: Arc<Leases>,
    executor: Executor,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    let buffer = Buffer::default();
    let (ends, ended) = mpsc::channel(1024);
    // The recorder and the heartbeat outlive the drain: they have a life of their own, which ends below.
    let upkeep = Lifecycle::new(Duration::from_secs(5));
    let wake = Waker::start(pool.clone(), notify::RUN_QUEUED, &upkeep);
    // A connection of its own: attempts that use up the pool must not cost the process its leases.
    let heartbeats = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with((*pool.connect_options()).clone());
    upkeep.spawn(
        "heartbeat",
        heartbeat::beat_on(heartbeats, leases.clone(), upkeep.clone()),
    );
    let recorder = tokio::spawn(recorder::record_on(
        pool.clone(),
        leases.clone(),
        ended,
        wake,
        life.clone(),
    ));
    let claimer = tokio::spawn(claimer::claim_on(
        pool.clone(),
        leases.clone(),
        buffer.clone(),
        life.clone(),
    ));

    let worker = WorkerBuilder::new(SYNC_QUEUE)
        .backend(RunSource {
            buffer: buffer.clone(),
            ends: ends.clone(),
        })
        .data(Arc::new(executor))
        .layer(ConcurrencyLimitLayer::new(usize::from(config.slots)))
        .parallelize(tokio::spawn)
        .build(handle);
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
        // Cannot fail: the recorder lives until all senders are gone.
        ends.send(AttemptEnd::Release(handed_back(&run))).await.ok();
    }
    drop(ends);
    recorder.await??;
    let goodbye = async {
        let mut db = pool.acquire().await?;
        process::stop(&mut db, leases.process()).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(GOODBYE, goodbye).await {
        tracing::warn!(%error, "the process could not say goodbye: {error}");
    }
    upkeep.stopping().cancel();
    upkeep.finished().await
}

/// The apalis handler: an attempt, from beginning to end.
async fn handle(run: ClaimedRun, executor: Data<Arc<Executor>>) -> Result<AttemptEnd, BoxDynError> {
    Ok(executor.execute(run).await)
}
