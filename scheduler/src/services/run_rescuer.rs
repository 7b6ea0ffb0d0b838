//! Gives the runs of silent processes to others.
//!
//! A process is silent when its heartbeat is older than the lease. Before it judges anybody, the rescuer must itself have
//! written to this server without a gap for a whole lease: when the database was away, everybody was silent, and nobody is to
//! blame. A worker's row is marked first, in competition with its heartbeat; from then on the heartbeat is refused, so a process
//! that was only frozen learns that its runs are gone. Its writes are refused anyway, since the token is raised.

use std::time::Duration;

use sqlx::{Connection, PgPool};
use syncline_shared::config::LeaseConfig;
use syncline_shared::db::notify::Waker;
use syncline_shared::db::run::{ClaimedRun, Finish, Release, finish, list_leased, release};
use syncline_shared::db::{DbError, DbResult, process};
use syncline_shared::ids::ProcessId;
use syncline_shared::run::{AttemptOutcome, Backoff, FailureKind, Outcome, RunError, WaitReason};
use tokio::time::Instant;

use super::Service;

pub(super) struct RunRescuer {
    pool: PgPool,
    id: ProcessId,
    lease: LeaseConfig,
    wake: Waker,
    /// Since when this process's own heartbeats have reached the server without a gap.
    steady_since: Option<Instant>,
    last_beat: Instant,
}

impl RunRescuer {
    pub(super) fn new(pool: PgPool, id: ProcessId, lease: LeaseConfig, wake: Waker) -> Self {
        Self {
            pool,
            id,
            lease,
            wake,
            steady_since: None,
            last_beat: Instant::now(),
        }
    }

    /// Beats, and says whether this process may judge others.
    async fn is_steady(&mut self) -> DbResult<bool> {
        // A gap is any time in which a worker that beats as this one does might not have been heard.
        let gap = self.lease.heartbeat_every() * 2;
        let beaten = tokio::time::timeout(gap, async {
            let mut db = self.pool.acquire().await?;
            process::beat(&mut db, self.id).await
        });
        let heard = beaten.await;
        let now = Instant::now();
        let gapless = now - self.last_beat <= gap;
        self.last_beat = now;
        if !matches!(heard, Ok(Ok(_))) || !gapless {
            self.steady_since = None;
        }
        match heard {
            Ok(Ok(_)) => {
                let since = *self.steady_since.get_or_insert(now);
                Ok(now - since >= self.lease.lease())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    async fn rescue(&self, silent: ProcessId) -> DbResult<usize> {
        let mut db = self.pool.acquire().await?;
        let mut transaction = db.begin().await?;
        if !process::mark_rescued(&mut transaction, silent, self.lease.lease()).await? {
            return Ok(0);
        }
        let runs = list_leased(&mut transaction, silent).await?;
        for run in &runs {
            match give_back(&mut transaction, run).await {
                // It finished in the last moment.
                Ok(()) | Err(DbError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        transaction.commit().await?;
        Ok(runs.len())
    }
}

impl Service for RunRescuer {
    const NAME: &'static str = "run-rescuer";

    fn every(&self) -> Duration {
        self.lease.heartbeat_every()
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        if !self.is_steady().await? {
            return Ok(None);
        }
        let mut db = self.pool.acquire().await?;
        let silent = process::list_silent_workers(&mut db, self.lease.lease()).await?;
        drop(db);
        let mut runs = 0;
        for process in &silent {
            runs += self.rescue(*process).await?;
        }
        if runs > 0 {
            self.wake.wake();
        }
        Ok((runs > 0).then(|| {
            format!("{runs} runs of processes that ended or fell silent were given to others")
        }))
    }
}

/// Ends the lease. The crash counts as a failure, so that a run that kills its workers does not circulate for ever.
async fn give_back(db: &mut sqlx::PgConnection, run: &ClaimedRun) -> DbResult<()> {
    let failures = run.failures + 1;
    let error = RunError::new(
        FailureKind::Lost,
        "the worker fell silent: it crashed, was frozen, or lost the database",
    );
    if failures >= run.max_failures {
        let end = Finish {
            id: run.id,
            token: run.token,
            outcome: Outcome::Failed,
            attempt: AttemptOutcome::Lost,
            failures,
            error: Some(error),
            calls: 0,
        };
        finish(db, &[end]).await?;
        return Ok(());
    }
    // The first time it goes on at once; a run that has killed several workers is given time.
    let wait = (failures > 1).then(|| {
        let wait = Backoff::default().wait(u32::try_from(failures).unwrap_or(1), rand::random());
        (WaitReason::Backoff, wait)
    });
    let back = Release {
        id: run.id,
        token: run.token,
        attempt: AttemptOutcome::Lost,
        wait,
        detail: wait.is_some().then(|| {
            format!(
                "its worker fell silent, failure {failures} of {}",
                run.max_failures
            )
        }),
        failures,
        error: Some(error),
        calls: 0,
    };
    release(db, &back).await
}
