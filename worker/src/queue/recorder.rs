//! Records how attempts ended: finished runs in batches, hand-backs one by one. Retries until the database has answered.

use std::sync::Arc;
use std::time::Duration;

use syncline_shared::db::notify::Waker;
use syncline_shared::db::pause::{self, PauseCause, PauseTarget};
use syncline_shared::db::run::{Finish, Release, finish, hold_paused, release};
use syncline_shared::db::{Database, DbError, DbResult, answered};
use syncline_shared::ids::{ConnectionId, RunId};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::{FailureKind, RunError};
use tokio::sync::{Mutex, mpsc};

use super::Leases;

/// Before a database that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Finished runs that one statement moves at most.
const BATCH: usize = 1_000;
/// Runs that are set to wait at a time when their connection is paused.
const HOLD_CHUNK: i64 = 1_000;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum AttemptEnd {
    /// With its run.
    Finish(Finish, ConnectionId),
    /// By handing the run back.
    Release(Release),
    /// Under a lease that was lost: there is nothing to record.
    Lost(RunId, i64),
}

impl AttemptEnd {
    fn lease(&self) -> (RunId, i64) {
        match self {
            Self::Finish(end, _) => (end.id, end.token),
            Self::Release(end) => (end.id, end.token),
            Self::Lost(id, token) => (*id, *token),
        }
    }

    /// Its name in the metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Finish(end, _) => end.attempt.as_str(),
            Self::Release(end) => end.attempt.as_str(),
            Self::Lost(..) => "lost",
        }
    }
}

/// What several recorders share.
#[derive(Clone)]
pub(super) struct Recorder {
    pub(super) database: Database,
    pub(super) leases: Arc<Leases>,
    pub(super) ends: Arc<Mutex<mpsc::Receiver<AttemptEnd>>>,
    pub(super) wake: Waker,
    pub(super) life: Lifecycle,
}

impl Recorder {
    /// Records until every sender is gone.
    pub(super) async fn record_on(self) -> anyhow::Result<()> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // One recorder gathers while another one writes.
            let received = self.ends.lock().await.recv_many(&mut batch, BATCH).await;
            if received == 0 {
                return Ok(());
            }
            let mut finished = Vec::new();
            let mut in_need = Vec::new();
            for end in &batch {
                metrics::counter!("syncline_attempts_total", "outcome" => end.name()).increment(1);
                match end {
                    AttemptEnd::Finish(end, connection) => {
                        if let Some(error) = needs_person(end) {
                            in_need.push((end.id, *connection, error.message.clone()));
                        }
                        finished.push(end.clone());
                    }
                    AttemptEnd::Release(end) => self.record_release(end).await,
                    AttemptEnd::Lost(..) => {}
                }
            }
            if !finished.is_empty() {
                self.record_finished(&finished, &in_need).await;
            }
            for end in batch.drain(..) {
                self.leases.leave(end.lease());
            }
            // What stood behind these runs is queued now.
            self.wake.wake();
        }
    }

    async fn record_finished(&self, runs: &[Finish], in_need: &[InNeed]) {
        loop {
            match answered(self.try_finish(runs, in_need)).await {
                Ok(kept) => {
                    for run in runs.iter().filter(|run| !kept.contains(&run.id)) {
                        stale(run.id, run.token);
                    }
                    return;
                }
                Err(error) if self.may_retry(&error).await => {}
                Err(_) => return,
            }
        }
    }

    async fn record_release(&self, run: &Release) {
        loop {
            let Err(error) = answered(self.try_release(run)).await else {
                return;
            };
            if matches!(error, DbError::Stale) {
                return stale(run.id, run.token);
            }
            if !self.may_retry(&error).await {
                return;
            }
        }
    }

    async fn try_finish(&self, runs: &[Finish], in_need: &[InNeed]) -> DbResult<Vec<RunId>> {
        if in_need.is_empty() {
            let mut db = self.database.session().await?;
            let kept = finish(&mut db, runs, self.leases.name()).await?;
            db.end().await?;
            return Ok(kept);
        }
        // What needs a person pauses its connection, together with the end of the run that says so.
        let mut db = self.database.begin().await?;
        let kept = finish(&mut db, runs, self.leases.name()).await?;
        for (id, connection, problem) in in_need.iter().filter(|(id, ..)| kept.contains(id)) {
            let target = PauseTarget::Connection(*connection);
            let by = "Syncline";
            let note: String = problem.chars().take(500).collect();
            pause::pause(&mut db, &target, PauseCause::NeedsPerson, Some(&note), by).await?;
            tracing::warn!(run.id = %id, connection.id = %connection, "connection {connection} is paused until a person has seen to it: {problem}");
        }
        db.commit().await?;
        let mut db = self.database.begin().await?;
        while hold_paused(&mut db, HOLD_CHUNK).await? >= HOLD_CHUNK.unsigned_abs() {}
        db.commit().await?;
        Ok(kept)
    }

    async fn try_release(&self, run: &Release) -> DbResult<()> {
        let mut db = self.database.session().await?;
        release(&mut db, run, self.leases.name()).await?;
        db.end().await
    }

    /// Waits a moment and says whether to try again: not when the process stops, and not after an error that a repetition cannot
    /// cure. The run then stays leased, and is rescued when the process ends.
    async fn may_retry(&self, error: &DbError) -> bool {
        if !error.is_transient() {
            tracing::error!(%error, "an outcome cannot be recorded: {error}");
            return false;
        }
        tracing::warn!(%error, "recording an outcome failed, trying again: {error}");
        tokio::select! {
            () = tokio::time::sleep(RETRY_AFTER) => true,
            () = self.life.stopping().cancelled() => false,
        }
    }
}

/// A run, its connection, and what a person has to see to.
type InNeed = (RunId, ConnectionId, String);

fn needs_person(end: &Finish) -> Option<&RunError> {
    let error = end.error.as_ref()?;
    let asks = matches!(
        error.kind,
        FailureKind::NeedsPerson | FailureKind::NeedsToken
    );
    asks.then_some(error)
}

/// Counts a write that was refused because its lease is gone, and says so.
pub(crate) fn stale(id: RunId, token: i64) {
    metrics::counter!("syncline_stale_writes_total").increment(1);
    tracing::warn!(run.id = %id, token, "stale write refused: run {id} was given to another attempt");
}
