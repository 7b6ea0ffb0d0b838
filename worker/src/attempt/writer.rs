//! Writes pages: records, checkpoint and proof of the lease in one transaction.
//!
//! The proof is the last statement before the COMMIT. When the answer to a COMMIT is lost, the checkpoint's number tells
//! whether it took place. While the database is away the writer tries again; the lease decides for how long that makes sense.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use syncline_shared::db::run::{
    Checkpoint, ClaimedRun, LogLevel, append_log, find_checkpoint, write_checkpoint,
};
use syncline_shared::db::stream_state::{delete_state, save_state};
use syncline_shared::db::{Database, DbConnection, DbError, DbResult, answered, answered_within};
use syncline_shared::run::{Progress, ReadBack, StreamCounts, StreamStatus, read_back};

use super::checkpoint::{RunPosition, StreamPosition};
use super::log::AttemptLog;
use crate::destination::{Encoded, Table, Target};
use crate::queue::{Held, stale};

/// Before a database that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// A transaction that takes longer is taken for lost: its connection may be silent.
const WRITTEN_WITHIN: Duration = Duration::from_mins(1);
/// Rows that one transaction removes.
const REMOVED_AT_ONCE: i64 = 20_000;
/// Refused records that are kept as samples, per batch.
const SAMPLES: usize = 3;

/// How far a run has come, as its last checkpoint tells.
#[derive(Debug, Clone)]
pub(super) struct RunProgress {
    pub(super) progress: Progress,
    pub(super) position: RunPosition,
    pub(super) sequence: i64,
    /// Failures that count against the cap; zero again once a checkpoint has advanced.
    pub(super) failures: i32,
}

/// What one transaction is to write for a stream.
pub(super) struct Batch<'a> {
    pub(super) stream: &'a str,
    pub(super) table: &'a Table,
    pub(super) target: Target<'a>,
    pub(super) encoded: Encoded,
    /// Records that the platform sent, those that are no records included.
    pub(super) read: u64,
    /// Records that the engine refused.
    pub(super) rejected: u64,
    pub(super) pages: u64,
    /// Where the stream stands after this batch.
    pub(super) position: StreamPosition,
    /// The stream's new state, which covers this batch's records and those before.
    pub(super) state: Option<&'a Value>,
    /// True: the run has now read all there is, so keys not met are gone.
    pub(super) complete_read: bool,
}

/// Why a batch was not written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The lease is gone; nothing was written.
    Lost,
    /// The attempt is to end at once; whether it was written, the next attempt finds out.
    Interrupted,
    /// The database refuses the data; a repetition would not help.
    Refused(String),
}

/// Writes for one attempt.
pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) run: Arc<ClaimedRun>,
    pub(super) held: Held,
    pub(super) state: RunProgress,
    pub(super) log: AttemptLog,
}

/// What a transaction is about.
enum Work<'a> {
    Batch(&'a Batch<'a>),
    GiveUp {
        stream: &'a str,
        problem: &'a str,
    },
    StartAgain {
        stream: &'a str,
        start: &'a StreamPosition,
    },
    Empty {
        table: &'a Table,
        target: Target<'a>,
    },
}

impl Writer {
    /// Writes a batch and advances the checkpoint.
    pub(super) async fn write(&mut self, batch: &Batch<'_>) -> Result<(), WriteError> {
        self.note_problems(batch);
        self.advance(&Work::Batch(batch)).await
    }

    /// Marks a stream as given up, and writes that.
    pub(super) async fn give_up(&mut self, stream: &str, problem: &str) -> Result<(), WriteError> {
        self.log.add(LogLevel::Error, Some(stream), problem);
        self.advance(&Work::GiveUp { stream, problem }).await
    }

    /// Puts a stream back to the start of its slice, and writes that: a new start that was not written down could be made any
    /// number of times.
    pub(super) async fn start_again(
        &mut self,
        stream: &str,
        start: &StreamPosition,
    ) -> Result<(), WriteError> {
        self.advance(&Work::StartAgain { stream, start }).await
    }

    /// Removes the connection's rows that are from before this run, a transaction for some thousands of them, and the stream's state,
    /// which would promise rows that are gone. Answers how many were removed.
    pub(super) async fn empty(
        &mut self,
        table: &Table,
        target: Target<'_>,
    ) -> Result<u64, WriteError> {
        let mut removed = 0;
        loop {
            let before = self.state.progress.stream(target.stream).counts.deleted;
            self.advance(&Work::Empty { table, target }).await?;
            let now = self.state.progress.stream(target.stream).counts.deleted - before;
            removed += now;
            if now == 0 {
                return Ok(removed);
            }
        }
    }

    /// Writes the lines since the last checkpoint. They are the attempt's own, so they need no lease; losing them loses no data.
    pub(super) async fn flush_log(&mut self) {
        let (first, lines) = self.log.pending();
        if lines.is_empty() {
            return;
        }
        let flushing = async {
            let mut db = self.database.session().await?;
            append_log(&mut db, self.run.id, self.run.token, first, lines).await?;
            db.end().await
        };
        if let Err(error) = answered(flushing).await {
            tracing::warn!(run.id = %self.run.id, %error, "log lines of run {} were lost: {error}", self.run.id);
        }
        self.log.written();
    }

    /// Does the work in one transaction with the next checkpoint, again and again until it is known to be written or to be
    /// impossible.
    async fn advance(&mut self, work: &Work<'_>) -> Result<(), WriteError> {
        loop {
            let mut next = self.state.clone();
            next.sequence += 1;
            let transaction = answered_within(WRITTEN_WITHIN, self.transact(work, &mut next));
            match transaction.await {
                Ok(()) => {}
                Err(error) => match self.after_error(error, next.sequence).await? {
                    Some(progress) => next.progress = progress,
                    None => continue,
                },
            }
            next.failures = 0;
            self.held.set_failures(0);
            self.held.progressed();
            self.state = next;
            self.log.written();
            return Ok(());
        }
    }

    /// The proof of the lease comes last: log lines, then the checkpoint.
    async fn transact(&self, work: &Work<'_>, next: &mut RunProgress) -> DbResult<()> {
        let mut transaction = self.database.begin().await?;
        match work {
            Work::Batch(batch) => self.load(&mut transaction, batch, next).await?,
            Work::GiveUp { stream, problem } => {
                let entry = next.progress.stream(stream);
                entry.status = StreamStatus::Failed;
                entry.problem = Some((*problem).to_owned());
                next.position.stream(stream).done = true;
            }
            Work::StartAgain { stream, start } => {
                next.position.stream(stream).clone_from(start);
            }
            Work::Empty { table, target } => {
                let removed = table
                    .remove_older(&mut transaction, *target, REMOVED_AT_ONCE)
                    .await?;
                delete_state(&mut transaction, target.connection, target.stream).await?;
                next.progress.stream(target.stream).counts.deleted += removed;
            }
        }
        let (first, lines) = self.log.pending();
        if !lines.is_empty() {
            append_log(&mut transaction, self.run.id, self.run.token, first, lines).await?;
        }
        let checkpoint = Checkpoint {
            id: self.run.id,
            token: self.run.token,
            sequence: next.sequence,
            position: &next.position.to_json(),
            progress: &next.progress,
            spent: self.held.meter().spent(),
        };
        write_checkpoint(&mut transaction, &checkpoint).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn load(
        &self,
        db: &mut DbConnection,
        batch: &Batch<'_>,
        next: &mut RunProgress,
    ) -> DbResult<()> {
        let loaded = batch
            .table
            .load(&mut *db, batch.target, &batch.encoded)
            .await?;
        let refused = u64::try_from(batch.encoded.refused.len()).unwrap_or(u64::MAX);
        let entry = next.progress.stream(batch.stream);
        entry.status = if batch.position.done {
            StreamStatus::Done
        } else {
            StreamStatus::Reading
        };
        entry.pages += batch.pages;
        entry.counts.add(StreamCounts {
            read: batch.read,
            inserted: loaded.inserted,
            updated: loaded.updated,
            unchanged: loaded.unchanged,
            deleted: 0,
            failed: batch.rejected + refused,
            duplicates: loaded.duplicates,
        });
        // A record that could not be read may be one of those that seem to be gone.
        if batch.complete_read && entry.counts.failed == 0 {
            entry.counts.deleted += batch.table.mark_deleted(&mut *db, batch.target).await?;
        }
        if let Some(state) = batch.state {
            save_state(
                &mut *db,
                self.run.connection_id,
                batch.stream,
                state,
                self.run.id,
            )
            .await?;
        }
        if entry.problem.is_none()
            && let Some((reason, _)) = batch.encoded.refused.first()
        {
            entry.problem = Some(format!("a record was refused: {reason}"));
        }
        *next.position.stream(batch.stream) = batch.position.clone();
        Ok(())
    }

    /// Finds out what an error means: `Some`: the checkpoint was written after all, with this progress. `None`: it was not; try
    /// again.
    async fn after_error(
        &mut self,
        error: DbError,
        sequence: i64,
    ) -> Result<Option<Progress>, WriteError> {
        if !error.is_transient() && !matches!(error, DbError::Stale) {
            return Err(WriteError::Refused(error.to_string()));
        }
        if error.is_transient() {
            tracing::warn!(run.id = %self.run.id, %error, "a checkpoint met an error, looking whether it was written: {error}");
        }
        loop {
            let looking = async {
                let mut db = self.database.session().await?;
                find_checkpoint(&mut db, self.run.id, self.run.token).await
            };
            match answered(looking).await {
                Ok(found) => {
                    let number = found.as_ref().map(|(number, _)| *number);
                    let refused = matches!(error, DbError::Stale);
                    match (read_back(number, sequence, refused), found) {
                        (ReadBack::Written, Some((_, progress))) => return Ok(Some(progress)),
                        (ReadBack::NotWritten, _) => {
                            self.pause().await?;
                            return Ok(None);
                        }
                        _ => {
                            stale(self.run.id, self.run.token);
                            return Err(WriteError::Lost);
                        }
                    }
                }
                Err(_) => self.pause().await?,
            }
        }
    }

    async fn pause(&self) -> Result<(), WriteError> {
        tokio::select! {
            () = tokio::time::sleep(RETRY_AFTER) => Ok(()),
            () = self.held.interrupted.cancelled() => Err(if self.held.lost.is_cancelled() {
                WriteError::Lost
            } else {
                WriteError::Interrupted
            }),
        }
    }

    fn note_problems(&mut self, batch: &Batch<'_>) {
        for (reason, sample) in batch.encoded.refused.iter().take(SAMPLES) {
            let line = format!("a record was refused: {reason}; it begins {sample}");
            self.log.add(LogLevel::Warn, Some(batch.stream), line);
        }
        if batch.encoded.misfits > 0 {
            let line = format!(
                "{} values did not fit their column and were kept in _extra",
                batch.encoded.misfits
            );
            self.log.add(LogLevel::Warn, Some(batch.stream), line);
        }
    }
}
