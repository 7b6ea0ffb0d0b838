//! One attempt, from its claim to the decision how it ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use syncline_engine::{Catalog, HttpClient, StreamInfo};
use syncline_shared::clock::Clock;
use syncline_shared::db::Database;
use syncline_shared::db::run::{ClaimedRun, LogLevel};
use syncline_shared::run::{FailureKind, RetryPolicy, RunError};
use syncline_shared::secret::Cipher;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::checkpoint::RunPosition;
use super::end::{Standing, Stop, completed, stopped};
use super::host::AttemptHost;
use super::log::AttemptLog;
use super::prepare::{Prepared, prepare};
use super::stream_sync::{StreamEnd, StreamSync};
use super::tokens::Tokens;
use super::writer::{RunProgress, WriteError, Writer};
use crate::budgets::Permits;
use crate::destination::{Destination, forget_seen};
use crate::queue::{AttemptEnd, Handler, Held, Leases};

/// Executes attempts. Shared by all of them.
pub(crate) struct Executor {
    pub(crate) database: Database,
    pub(crate) connectors: Catalog,
    pub(crate) cipher: Cipher,
    pub(crate) http: HttpClient,
    pub(crate) destination: Arc<Destination>,
    pub(crate) permits: Permits,
    pub(crate) leases: Arc<Leases>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Cancelled when the process drains.
    pub(crate) draining: CancellationToken,
}

/// An attempt that has lost its lease, or was interrupted, has so long to end by itself: its statements have met their time-outs
/// by then. Nobody waits for it any longer.
const LAST_WORDS: Duration = Duration::from_secs(90);

impl Handler for Executor {
    /// Executes one attempt and says how it ended. When its lease is lost it is not cut off but ends by itself: its requests are
    /// cancelled, and what it is about to write fails at the fence. Cut off in mid-statement it could leave a connection that
    /// others get in the middle of an answer.
    async fn execute(&self, run: ClaimedRun) -> AttemptEnd {
        let span = tracing::info_span!(
            "run.attempt",
            run.id = %run.id,
            attempt = run.attempt,
            platform = run.platform,
            connection.id = %run.connection_id
        );
        let held = self.leases.watch(&run);
        let (id, token) = (run.id, run.token);
        let lost = held.lost.clone();
        let attempt = self.attempt(Arc::new(run), held).instrument(span);
        let overdue = async {
            lost.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            end = attempt => end,
            () = overdue => {
                tracing::error!(run.id = %id, "the attempt at run {id} lost its lease and does not end; it is abandoned");
                AttemptEnd::Lost(id, token)
            }
        }
    }
}

impl Executor {
    async fn attempt(&self, run: Arc<ClaimedRun>, held: Held) -> AttemptEnd {
        let began = Instant::now();
        let meter = held.meter();
        let mut writer = Writer {
            database: self.database.clone(),
            run: run.clone(),
            held: held.clone(),
            state: RunProgress {
                progress: run.progress.0.clone(),
                position: RunPosition::read(&run.checkpoint),
                sequence: run.checkpoint_sequence,
                failures: run.failures,
            },
            log: AttemptLog::new(self.clock.clone()),
        };
        let mut policy = RetryPolicy::default();
        // On the heap: everything that a sync has under way is in it.
        let result = Box::pin(self.sync_all(&run, held, &mut writer, &mut policy)).await;
        let spent = meter.spent();
        let end = match result {
            Ok(stream_error) => completed(&run, &writer.state, spent, stream_error),
            Err(stop) => {
                if let Stop::Failure { error, .. } = &stop {
                    writer.log.add(
                        LogLevel::Error,
                        error.stream.as_deref(),
                        error.message.clone(),
                    );
                }
                let standing = Standing {
                    failures: writer.state.failures,
                    spent: Some(spent),
                    policy,
                };
                stopped(&run, standing, stop, rand::random())
            }
        };
        Self::tell(&run, &mut writer, &end, began);
        writer.flush_log().await;
        if matches!(end, AttemptEnd::Finish(..)) {
            self.forget_keys(&run).await;
        }
        end
    }

    /// Syncs every stream that is not done. `Ok` holds the error of the last stream that was given up.
    async fn sync_all(
        &self,
        run: &Arc<ClaimedRun>,
        held: Held,
        writer: &mut Writer,
        policy: &mut RetryPolicy,
    ) -> Result<Option<RunError>, Stop> {
        if let Some(asked) = held.asked() {
            return Err(Stop::Asked(asked));
        }
        if let Some(problem) = &run.unreadable {
            return Err(Stop::Failure {
                error: unreadable(problem),
                retry_after: None,
            });
        }
        let prepared = prepare(&self.database, &self.connectors, &self.cipher, run, policy).await;
        held.set_policy(*policy);
        let prepared = prepared.map_err(|error| Stop::Failure {
            error,
            retry_after: None,
        })?;
        let host = Arc::new(AttemptHost {
            connector: prepared.connector.clone(),
            connection: run.connection_id,
            limits: prepared.limits.clone(),
            turn: prepared.turn,
            permits: self.permits.clone(),
            meter: held.meter(),
            held,
            draining: self.draining.clone(),
            refused_by: Mutex::default(),
            tokens: Tokens {
                database: self.database.clone(),
                cipher: self.cipher.clone(),
                connection: run.connection_id,
                holder: Uuid::new_v4(),
            },
        });
        let mut given_up = None;
        for stream in &prepared.streams {
            writer.state.progress.stream(&stream.name);
        }
        let names: Vec<_> = prepared
            .streams
            .iter()
            .map(|stream| stream.name.as_str())
            .collect();
        let line = format!(
            "attempt {} begins on {}; streams: {}",
            run.attempt,
            self.leases.name(),
            names.join(", ")
        );
        writer.log.add(LogLevel::Info, None, line);
        for stream in &prepared.streams {
            if writer.state.position.stream(&stream.name).done {
                continue;
            }
            match self.sync_stream(&prepared, stream, &host, writer).await {
                Ok(()) => writer
                    .log
                    .add(LogLevel::Info, Some(&stream.name), "read to its end"),
                Err(StreamEnd::Stop(stop)) => return Err(stop),
                Err(StreamEnd::GivenUp(error)) => {
                    writer
                        .give_up(&stream.name, &error.message)
                        .await
                        .map_err(|error| stop_of(&error, &host.held))?;
                    given_up = Some(error);
                }
            }
        }
        Ok(given_up)
    }

    async fn sync_stream(
        &self,
        prepared: &Prepared,
        stream: &StreamInfo,
        host: &Arc<AttemptHost>,
        writer: &mut Writer,
    ) -> Result<(), StreamEnd> {
        let table = self
            .destination
            .table(&self.database, &prepared.connection.platform, stream)
            .await?;
        let sync = StreamSync {
            prepared,
            stream,
            table: &table,
            host: host.clone(),
            http: self.http.clone(),
            now: self.clock.now(),
        };
        sync.sync(writer).await
    }

    /// How the attempt ended, in the process's log and in the run's.
    fn tell(run: &ClaimedRun, writer: &mut Writer, end: &AttemptEnd, began: Instant) {
        let total = writer.state.progress.total();
        let seconds = began.elapsed().as_secs_f64();
        let what = match end {
            AttemptEnd::Finish(finish, _) => finish.outcome.as_str(),
            AttemptEnd::Release(release) => release.attempt.as_str(),
            AttemptEnd::Lost(..) => "lost its lease",
        };
        let summary = format!(
            "{what}: {} read, {} inserted, {} updated, {} unchanged, {} deleted, {} failed in {seconds:.2}s",
            total.read, total.inserted, total.updated, total.unchanged, total.deleted, total.failed
        );
        tracing::info!(
            run.id = %run.id,
            outcome = what,
            duration_ms = began.elapsed().as_millis(),
            "run {} attempt {} {summary}",
            run.id,
            run.attempt
        );
        let line = format!("attempt {} {summary}", run.attempt);
        writer.log.add(LogLevel::Info, None, line);
    }

    /// A run that has ended needs the keys it met no more. What is missed here is swept by housekeeping.
    async fn forget_keys(&self, run: &ClaimedRun) {
        let forgetting = async {
            let mut db = self.database.session().await?;
            forget_seen(&mut db, run.id, None).await?;
            db.end().await
        };
        if let Err(error) = forgetting.await {
            tracing::warn!(run.id = %run.id, %error, "keys of run {} were not forgotten: {error}", run.id);
        }
    }
}

/// A worker of another release may know what this one does not, so the run is tried again.
fn unreadable(problem: &str) -> RunError {
    RunError::new(
        FailureKind::Transient,
        format!(
            "this worker, release {}, cannot read the run's row: {problem}; do all workers have the release of the schema?",
            syncline_shared::VERSION
        ),
    )
}

/// Why an attempt stops that could not write that a stream was given up.
fn stop_of(error: &WriteError, held: &Held) -> Stop {
    match (error, held.asked()) {
        (WriteError::Interrupted, Some(asked)) => Stop::Asked(asked),
        _ => Stop::Lost,
    }
}
