//! Syncs one stream: a task reads pages ahead while the ones before are written.
//!
//! Pages that wait to be written are bounded by their size, so memory stays flat however fast the platform is.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use syncline_engine::{DataRange, Page, Position, ReadError, ReadLimits, ReadSettings, StreamInfo};
use syncline_shared::db::run::{ClaimedRun, LogLevel};
use syncline_shared::db::stream_state::find_state;
use syncline_shared::db::{DbError, answered};
use syncline_shared::run::{FailureKind, RunError, RunKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::checkpoint::StreamPosition;
use super::end::{Stop, UNKNOWN_LIMIT_WAIT};
use super::host::AttemptHost;
use super::prepare::Prepared;
use super::restart::{MOST_RESTARTS, Passes};
use super::writer::{Batch, WriteError, Writer};
use crate::destination::{DestinationError, Table, Target};

/// KiB of pages that are read ahead. A larger page is read when nothing else waits.
const READ_AHEAD_KIB: u32 = 16 * 1024;
/// Pages that are read ahead.
const READ_AHEAD_PAGES: usize = 64;
/// Slices of a stream that are read at the same time, where no budget bounds its requests.
const SLICES_AT_ONCE: usize = 3;
/// Records after which a transaction is closed.
const BATCH_RECORDS: usize = 2_000;

/// What a stream is synced with.
pub(super) struct StreamSync<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) stream: &'a StreamInfo,
    pub(super) table: &'a Table,
    pub(super) host: Arc<AttemptHost>,
    pub(super) http: syncline_engine::HttpClient,
    /// Up to when a stream with a cursor is read, unless an earlier attempt has begun it.
    pub(super) now: DateTime<Utc>,
}

/// Why a stream was not read to its end.
pub(super) enum StreamEnd {
    /// The whole attempt stops.
    Stop(Stop),
    /// This stream is given up; the others go on.
    GivenUp(RunError),
}

/// Why one pass over a stream did not come to its end.
enum PassEnd {
    /// As the stream.
    Stream(StreamEnd),
    /// The platform no longer accepts the stored position; in its words.
    PositionRefused(String),
}

impl From<StreamEnd> for PassEnd {
    fn from(end: StreamEnd) -> Self {
        Self::Stream(end)
    }
}

struct Fetched {
    page: Page,
    _room: OwnedSemaphorePermit,
}

impl StreamSync<'_> {
    /// Reads the stream from where its last checkpoint stands to its end.
    pub(super) async fn sync(&self, writer: &mut Writer) -> Result<(), StreamEnd> {
        let name = &self.stream.name;
        if writer.state.position.stream(name).position.is_some() {
            writer.log.add(
                LogLevel::Info,
                Some(name),
                "goes on from its last checkpoint",
            );
        }
        self.empty(writer).await?;
        loop {
            match self.read_and_write(writer).await {
                Ok(()) => return Ok(()),
                Err(PassEnd::Stream(end)) => return Err(end),
                Err(PassEnd::PositionRefused(reason)) => self.restart(writer, &reason).await?,
            }
        }
    }

    /// Removes the rows of before the run, if they are to be built anew. An attempt that finds the stream begun has nothing to
    /// remove; one that finds it half emptied goes on.
    async fn empty(&self, writer: &mut Writer) -> Result<(), StreamEnd> {
        let name = &self.stream.name;
        let standing = writer.state.position.stream(name);
        if writer.run.kind != RunKind::Rebuild || standing.position.is_some() || standing.done {
            return Ok(());
        }
        let run = writer.run.clone();
        let removed = writer
            .empty(self.table, self.target(&run, false))
            .await
            .map_err(|error| self.write_end(error))?;
        if removed > 0 {
            let line = format!("{removed} rows were removed, to be read again");
            writer.log.add(LogLevel::Info, Some(name), line);
        }
        Ok(())
    }

    fn target(&self, run: &ClaimedRun, track_keys: bool) -> Target<'_> {
        Target {
            connection: run.connection_id,
            run: run.id,
            stream: &self.stream.name,
            track_keys,
        }
    }

    /// The state from which an incremental run goes on. Other runs look at none.
    async fn state(&self, writer: &Writer) -> Result<Option<Value>, StreamEnd> {
        if self.stream.cursor.is_none() || writer.run.kind != RunKind::Incremental {
            return Ok(None);
        }
        let looking = async {
            let mut db = writer.database.session().await?;
            let found = find_state(&mut db, writer.run.connection_id, &self.stream.name).await?;
            db.end().await?;
            Ok::<_, DbError>(found)
        };
        answered(looking)
            .await
            .map_err(|error| DestinationError::Database(error).into())
    }

    /// Puts the stream back to the start of its slice, or gives it up when that has not helped before.
    async fn restart(&self, writer: &mut Writer, reason: &str) -> Result<(), StreamEnd> {
        let name = &self.stream.name;
        let standing = writer.state.position.stream(name).clone();
        let refused = standing.passes;
        let slice_start = standing.position.as_ref().and_then(Position::slice_start);
        let next = refused.restarted().map_err(|stuck| {
            let message = format!(
                "{stuck}: the platform refuses the position after each wait, and {MOST_RESTARTS} new starts came no \
                 further; give the connection a larger limit. The refusal: {reason}"
            );
            StreamEnd::GivenUp(RunError {
                stream: Some(name.clone()),
                ..RunError::new(FailureKind::Permanent, message)
            })
        })?;
        let ground = if next.restarts == 0 {
            "further than before".to_owned()
        } else {
            format!(
                "no further than before, {} of {MOST_RESTARTS} times in a row",
                next.restarts
            )
        };
        let what = if slice_start.is_some() {
            "slice"
        } else {
            "stream"
        };
        let line = format!(
            "the platform refused the stored position, so the {what} starts again; it had come to page {}, {ground}: {reason}",
            refused.pages
        );
        writer.log.add(LogLevel::Warn, Some(name), line);
        writer
            .start_again(
                name,
                &StreamPosition {
                    done: false,
                    position: slice_start,
                    passes: next,
                },
            )
            .await
            .map_err(|error| self.write_end(error))
    }

    async fn read_and_write(&self, writer: &mut Writer) -> Result<(), PassEnd> {
        let (pages, mut fetched) = mpsc::channel(READ_AHEAD_PAGES);
        let from = writer
            .state
            .position
            .stream(&self.stream.name)
            .position
            .clone();
        let settings = ReadSettings {
            config: self.prepared.config.clone(),
            base_url: self.prepared.connection.base_url.clone(),
            http: self.http.clone(),
            host: self.host.clone(),
            now: self.now,
            from,
            state: self.state(writer).await?,
            range: writer
                .run
                .range_from
                .zip(writer.run.range_to)
                .map(|(from, to)| DataRange { from, to }),
            page: writer.run.page.and_then(|page| u64::try_from(page).ok()),
            cancel: writer.held.interrupted.clone(),
            limits: ReadLimits {
                max_lanes: SLICES_AT_ONCE,
                ..ReadLimits::default()
            },
        };
        let reader = self.prepared.connector.reader_sharing(
            &self.stream.name,
            settings,
            &self.prepared.shared,
        );
        let mut reader = reader.map_err(|error| self.read_end(&error))?;
        let fetching = AbortOnDropHandle::new(tokio::spawn(async move {
            let room = Arc::new(Semaphore::new(READ_AHEAD_KIB as usize));
            while let Some(page) = reader.next_page().await? {
                let kib = u32::try_from(page.bytes / 1024 + 1)
                    .unwrap_or(u32::MAX)
                    .min(READ_AHEAD_KIB);
                let Ok(room) = room.clone().acquire_many_owned(kib).await else {
                    break;
                };
                if pages.send(Fetched { page, _room: room }).await.is_err() {
                    break;
                }
            }
            Ok::<(), ReadError>(())
        }));

        let mut next = fetched.recv().await;
        while let Some(first) = next.take() {
            let mut batch = vec![first];
            let mut records = batch
                .first()
                .map_or(0, |fetched| fetched.page.records.len());
            // Whatever has arrived in the meantime goes into the same transaction.
            while records < BATCH_RECORDS
                && let Ok(more) = fetched.try_recv()
            {
                records += more.page.records.len();
                batch.push(more);
            }
            self.write(writer, &batch).await?;
            drop(batch);
            next = fetched.recv().await;
        }
        match fetching.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.read_end(&error)),
            Err(join) => Err(PassEnd::Stream(StreamEnd::Stop(Stop::Failure {
                error: RunError::new(
                    FailureKind::Transient,
                    format!("reading ended abnormally, which is a fault in Syncline: {join}"),
                ),
                retry_after: None,
            }))),
        }
    }

    async fn write(&self, writer: &mut Writer, fetched: &[Fetched]) -> Result<(), StreamEnd> {
        let run = writer.run.clone();
        let is_page = run.kind == RunKind::Page;
        let next = fetched.last().and_then(|last| last.page.next.clone());
        let done = next.is_none();
        let whole = self.stream.full_read && !is_page;
        let rejected: u64 = fetched
            .iter()
            .map(|fetched| fetched.page.rejected.len() as u64 + fetched.page.more_rejected)
            .sum();
        let records: usize = fetched
            .iter()
            .map(|fetched| fetched.page.records.len())
            .sum();
        // An empty page only says that the one before was the last.
        let with_content = fetched
            .iter()
            .filter(|fetched| {
                !(fetched.page.records.is_empty() && fetched.page.rejected.is_empty())
            })
            .count();
        for refused in fetched
            .iter()
            .flat_map(|fetched| &fetched.page.rejected)
            .take(3)
        {
            let line = format!(
                "not a record: {}; it begins {}",
                refused.reason, refused.sample
            );
            writer
                .log
                .add(LogLevel::Warn, Some(&self.stream.name), line);
        }
        let before = writer.state.position.stream(&self.stream.name).passes;
        let passes = passes_after(before, fetched);
        // A full run says what it has read once it has read it all.
        let moves_state = match run.kind {
            RunKind::Incremental => true,
            RunKind::Full | RunKind::Rebuild => done,
            RunKind::Page | RunKind::Backfill => false,
        };
        let state = fetched
            .iter()
            .rev()
            .find_map(|fetched| fetched.page.state.as_ref())
            .filter(|_| moves_state);
        let batch = Batch {
            stream: &self.stream.name,
            table: self.table,
            target: self.target(&run, whole),
            encoded: self
                .table
                .encode(fetched.iter().flat_map(|fetched| &fetched.page.records)),
            read: (records as u64).saturating_add(rejected),
            rejected,
            pages: u64::try_from(with_content).unwrap_or(u64::MAX),
            position: StreamPosition {
                done,
                position: next,
                passes,
            },
            state,
            complete_read: done && whole,
        };
        writer
            .write(&batch)
            .await
            .map_err(|error| self.write_end(error))
    }

    fn write_end(&self, error: WriteError) -> StreamEnd {
        match error {
            WriteError::Lost => StreamEnd::Stop(Stop::Lost),
            WriteError::Interrupted => StreamEnd::Stop(self.stop()),
            WriteError::Refused(problem) => StreamEnd::GivenUp(RunError {
                stream: Some(self.stream.name.clone()),
                ..RunError::new(
                    FailureKind::Permanent,
                    format!("the destination refused the records: {problem}"),
                )
            }),
        }
    }

    /// Why the host ended the read.
    fn stop(&self) -> Stop {
        let held = &self.host.held;
        match held.asked() {
            _ if held.lost.is_cancelled() => Stop::Lost,
            Some(asked) => Stop::Asked(asked),
            None => Stop::Drain,
        }
    }

    /// What a read's end means for the pass, the stream or the run.
    fn read_end(&self, error: &ReadError) -> PassEnd {
        let run_error = |kind| {
            let failure = error.failure();
            RunError {
                kind,
                message: error.to_string(),
                stream: Some(self.stream.name.clone()),
                http_status: failure.and_then(|failure| failure.http_status),
                platform_code: failure.and_then(|failure| failure.platform_code.clone()),
                excerpt: failure.and_then(|failure| failure.body_excerpt.clone()),
            }
        };
        let fail = |kind, retry_after| {
            StreamEnd::Stop(Stop::Failure {
                error: run_error(kind),
                retry_after,
            })
        };
        let end = match error {
            ReadError::RateLimited {
                retry_after,
                failure,
            } => StreamEnd::Stop(Stop::Limit {
                wait: retry_after
                    .unwrap_or(UNKNOWN_LIMIT_WAIT)
                    .max(Duration::from_millis(1)),
                detail: format!(
                    "{} asked to wait: {failure}",
                    self.prepared.connection.platform
                ),
                key: None,
            }),
            ReadError::Parked { until_hint, reason } => StreamEnd::Stop(Stop::Limit {
                wait: *until_hint,
                detail: reason.clone(),
                key: self.host.refused_by(),
            }),
            ReadError::Transient { retry_after, .. } => fail(FailureKind::Transient, *retry_after),
            // No connector of this release fetches tokens, so it takes a person to renew one.
            ReadError::NeedsToken { .. } | ReadError::NeedsPerson { .. } => {
                fail(FailureKind::NeedsPerson, None)
            }
            ReadError::Permanent { .. } => StreamEnd::GivenUp(run_error(FailureKind::Permanent)),
            ReadError::PositionRefused { failure } => {
                return PassEnd::PositionRefused(failure.to_string());
            }
            ReadError::Stopped { .. } | ReadError::Cancelled => StreamEnd::Stop(self.stop()),
        };
        PassEnd::Stream(end)
    }
}

/// The passes over the slice that is open after these pages: a slice that closes takes its passes with it.
fn passes_after(before: Passes, fetched: &[Fetched]) -> Passes {
    fetched.iter().fold(before, |passes, fetched| {
        if fetched.page.closes_slice && fetched.page.next.is_some() {
            Passes::default()
        } else {
            passes.after(1)
        }
    })
}

impl From<DestinationError> for StreamEnd {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Database(database) if database.is_transient() => {
                Self::Stop(Stop::Failure {
                    error: RunError::new(FailureKind::Transient, database.to_string()),
                    retry_after: None,
                })
            }
            other => Self::GivenUp(RunError::new(FailureKind::Permanent, other.to_string())),
        }
    }
}
