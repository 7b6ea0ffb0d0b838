//! Gives the runs of silent processes to others.
//!
//! A process is silent when its heartbeat is older than the lease. Before it judges anybody, the rescuer must itself have
//! written to this server without a gap for a whole lease: when the database was away, everybody was silent, and nobody is to
//! blame. A worker's row is marked first, in competition with its heartbeat; from then on the heartbeat is refused, so a process
//! that was only frozen learns that its runs are gone. Its writes are refused anyway, since the token is raised.

use syncline_shared::config::LeaseConfig;
use syncline_shared::db::notify::Waker;
use syncline_shared::db::process::{self, SilentWorker};
use syncline_shared::db::run::{
    ClaimedRun, Finish, Release, ReleaseTo, finish, list_leased, release,
};
use syncline_shared::db::{
    Database, DbConnection, DbError, DbResult, Session, answered_within, platform,
};
use syncline_shared::ids::ProcessId;
use syncline_shared::run::{
    AfterFailure, AttemptOutcome, FailureKind, Outcome, RunError, WaitReason, after_failure,
};
use tokio::time::Instant;

use super::{Next, Service};

pub(super) struct RunRescuer {
    database: Database,
    id: ProcessId,
    lease: LeaseConfig,
    wake: Waker,
    /// Since when this process's own heartbeats have reached the server without a gap.
    steady_since: Option<Instant>,
    last_beat: Instant,
    /// Kept from beat to beat: to borrow a connection costs as much as to beat.
    kept: Option<Session>,
}

impl RunRescuer {
    pub(super) fn new(database: Database, id: ProcessId, lease: LeaseConfig, wake: Waker) -> Self {
        Self {
            database,
            id,
            lease,
            wake,
            steady_since: None,
            last_beat: Instant::now(),
            kept: None,
        }
    }

    /// Beats, and lists the workers that are silent, if this process may judge them.
    async fn look(&mut self) -> DbResult<Vec<SilentWorker>> {
        // A gap is any time in which a worker that beats as this one does might not have been heard.
        let gap = self.lease.heartbeat_every() * 2;
        let before = self.kept.take();
        let heard = answered_within(gap, async {
            let mut db = match before {
                Some(session) => session,
                None => self.database.session().await?,
            };
            let silent = process::list_silent_workers(&mut db, self.id, self.lease.lease()).await?;
            if db.outlives_a_statement() {
                return Ok((silent, Some(db)));
            }
            db.end().await?;
            Ok((silent, None))
        });
        let heard = heard.await;
        let now = Instant::now();
        let gapless = now - self.last_beat <= gap;
        self.last_beat = now;
        if heard.is_err() || !gapless {
            self.steady_since = None;
        }
        let (silent, session) = heard?;
        let since = *self.steady_since.get_or_insert(now);
        if now - since < self.lease.lease() || silent.is_empty() {
            self.kept = session;
            return Ok(Vec::new());
        }
        // The connection goes back first: to give runs to others takes one, too.
        drop(session);
        Ok(silent)
    }

    async fn rescue(&self, silent: &SilentWorker) -> DbResult<usize> {
        let mut db = self.database.begin().await?;
        if !process::mark_rescued(&mut db, silent.id, self.lease.lease()).await? {
            return Ok(0);
        }
        // First, so that no transaction of the silent process is waited for.
        if let Some(application) = &silent.application {
            process::end_connections(&mut db, application).await?;
        }
        let runs = list_leased(&mut db, silent.id).await?;
        for run in &runs {
            match give_back(&mut db, run, &silent.name).await {
                // It finished in the last moment.
                Ok(()) | Err(DbError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        db.commit().await?;
        metrics::counter!("syncline_runs_rescued_total").increment(runs.len() as u64);
        Ok(runs.len())
    }
}

impl Service for RunRescuer {
    const NAME: &'static str = "run-rescuer";

    fn next(&self) -> Next {
        Next::After(self.lease.heartbeat_every())
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let silent = self.look().await?;
        let mut runs = 0;
        for process in &silent {
            runs += self.rescue(process).await?;
        }
        if runs > 0 {
            self.wake.wake();
        }
        Ok((runs > 0).then(|| {
            format!("{runs} runs of processes that ended or fell silent were given to others")
        }))
    }
}

/// Ends the lease. The crash counts as a failure, so that a run that kills its workers does not circulate for ever. The first time
/// it goes on at once; a run that has killed several workers is given time.
async fn give_back(db: &mut DbConnection, run: &ClaimedRun, process_name: &str) -> DbResult<()> {
    let policy =
        platform::find_retry_policy(&mut *db, &run.platform, run.connection_id, run.schedule_id)
            .await?;
    let failures = run.failures + 1;
    let most = policy.max_failures();
    let error = RunError::new(
        FailureKind::Lost,
        "the worker fell silent: it crashed, was frozen, or lost the database",
    );
    let reason = Some(format!(
        "its worker fell silent, failure {failures} of {most}"
    ));
    let to = match after_failure(&policy, error.kind, failures, None, rand::random()) {
        AfterFailure::Again => ReleaseTo::Front,
        AfterFailure::After(wait) => ReleaseTo::Wait(WaitReason::Backoff, wait),
        AfterFailure::End => {
            let end = Finish {
                id: run.id,
                token: run.token,
                outcome: Outcome::Failed,
                attempt: AttemptOutcome::Lost,
                failures,
                reason,
                error: Some(error),
                spent: None,
            };
            finish(db, &[end], process_name).await?;
            return Ok(());
        }
    };
    let back = Release {
        id: run.id,
        token: run.token,
        attempt: AttemptOutcome::Lost,
        to,
        reason,
        failures,
        error: Some(error),
        spent: None,
        wait_key: None,
    };
    release(db, &back, process_name).await
}
