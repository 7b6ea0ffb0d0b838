//! Records how attempts ended: finished runs in batches, hand-backs one by one. Retries until the database has answered.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use syncline_shared::db::notify::Waker;
use syncline_shared::db::run::{Finish, Release, finish, release};
use syncline_shared::db::{DbError, DbResult};
use syncline_shared::ids::RunId;
use syncline_shared::lifecycle::Lifecycle;
use tokio::sync::mpsc;

use super::Leases;

/// Before a database that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Finished runs that one statement moves at most.
const BATCH: usize = 500;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(crate) enum AttemptEnd {
    /// With its run.
    Finish(Finish),
    /// By handing the run back.
    Release(Release),
    /// Under a lease that was lost: there is nothing to record.
    Lost(RunId, i64),
}

impl AttemptEnd {
    fn lease(&self) -> (RunId, i64) {
        match self {
            Self::Finish(end) => (end.id, end.token),
            Self::Release(end) => (end.id, end.token),
            Self::Lost(id, token) => (*id, *token),
        }
    }
}

/// Records until every sender is gone.
pub(super) async fn record_on(
    pool: PgPool,
    leases: Arc<Leases>,
    mut ends: mpsc::Receiver<AttemptEnd>,
    wake: Waker,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    while ends.recv_many(&mut batch, BATCH).await > 0 {
        let mut finished = Vec::new();
        for end in &batch {
            match end {
                AttemptEnd::Finish(end) => finished.push(end.clone()),
                AttemptEnd::Release(end) => record_release(&pool, end, &life).await,
                AttemptEnd::Lost(..) => {}
            }
        }
        if !finished.is_empty() {
            record_finished(&pool, &finished, &life).await;
        }
        for end in batch.drain(..) {
            let (id, token) = end.lease();
            leases.leave(id, token);
        }
        // What stood behind these runs is queued now.
        wake.wake();
    }
    Ok(())
}

async fn record_finished(pool: &PgPool, runs: &[Finish], life: &Lifecycle) {
    loop {
        match try_finish(pool, runs).await {
            Ok(kept) => {
                for run in runs.iter().filter(|run| !kept.contains(&run.id)) {
                    stale(run.id, run.token);
                }
                return;
            }
            Err(error) if may_retry(&error, life).await => {}
            Err(_) => return,
        }
    }
}

async fn record_release(pool: &PgPool, run: &Release, life: &Lifecycle) {
    loop {
        let Err(error) = try_release(pool, run).await else {
            return;
        };
        if matches!(error, DbError::Stale) {
            return stale(run.id, run.token);
        }
        if !may_retry(&error, life).await {
            return;
        }
    }
}

async fn try_finish(pool: &PgPool, runs: &[Finish]) -> DbResult<Vec<RunId>> {
    let mut db = pool.acquire().await?;
    finish(&mut db, runs).await
}

async fn try_release(pool: &PgPool, run: &Release) -> DbResult<()> {
    let mut db = pool.acquire().await?;
    release(&mut db, run).await
}

fn stale(id: RunId, token: i64) {
    tracing::warn!(run.id = %id, token, "stale write refused: run {id} was given to another attempt");
}

/// Waits a moment and says whether to try again: not when the process stops, and not after an error that a repetition cannot
/// cure. The run then stays leased, and is rescued when the process ends.
async fn may_retry(error: &DbError, life: &Lifecycle) -> bool {
    if !error.is_transient() {
        tracing::error!(%error, "an outcome cannot be recorded: {error}");
        return false;
    }
    tracing::warn!(%error, "recording an outcome failed, trying again: {error}");
    tokio::select! {
        () = tokio::time::sleep(RETRY_AFTER) => true,
        () = life.stopping().cancelled() => false,
    }
}
