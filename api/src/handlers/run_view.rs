//! A run as clients see it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use syncline_shared::db::history::{AttemptView, RunView};
use syncline_shared::db::run::LogLine;
use syncline_shared::run::{AttemptOutcome, Progress, RunError, RunOrigin, RunStatus};
use utoipa::ToSchema;

use super::Named;
use super::why::{Surroundings, Why, why};

/// A run: one execution of a connection's sync.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    /// Identity; ordered by time of creation.
    pub id: uuid::Uuid,
    /// `queued`, `running`, `waiting`, `retrying`; then `succeeded`, `partial`, `failed` or `cancelled`.
    #[schema(value_type = String, example = "succeeded")]
    pub status: RunStatus,
    /// Why it is not running, and until when; null while it runs, unless somebody has asked to cancel it, and once it has ended.
    pub why: Option<Why>,
    /// How many attempts have begun.
    pub attempt: i32,
    /// Errors and crashes since a checkpoint last advanced.
    pub failures: i32,
    /// What has been done, all streams together.
    pub progress: Totals,
    /// The connection it syncs.
    pub connection: Named,
    /// That connection's business.
    pub business: Named,
    /// The platform.
    #[schema(example = "g2a")]
    pub platform: String,
    /// The schedule that made it; null: somebody asked for it.
    pub schedule: Option<Named>,
    /// What asked for it.
    pub trigger: TriggerView,
    /// `incremental`, `full`, `page` or `backfill`.
    #[schema(example = "full")]
    pub kind: &'static str,
    /// Only these streams; null: those that the connection has chosen.
    pub streams: Option<Vec<String>>,
    /// The page, if the kind is `page`.
    pub page: Option<i64>,
    /// The data range that is read, if the kind is `backfill`.
    pub range: Option<RangeView>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// From its first attempt to its end.
    pub duration_ms: Option<i64>,
    /// The error of the latest attempt that had one.
    pub error: Option<ErrorView>,
    /// The finished run that it repeats.
    pub retry_of: Option<uuid::Uuid>,
    /// The run that repeats it.
    pub retried_by: Option<uuid::Uuid>,
    /// Who cancelled it, or asked to.
    #[schema(example = "ana")]
    pub cancelled_by: Option<String>,
    /// Why, in their words.
    pub cancel_note: Option<String>,
}

/// A range of data, by the streams' cursors.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = DataRange)]
pub(crate) struct RangeView {
    /// Its first instant.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub to: DateTime<Utc>,
}

/// Counts of records, all streams together or of one.
#[derive(Debug, Default, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Totals {
    /// Pages read.
    pub pages: u64,
    /// Records that the platform sent.
    pub read: u64,
    /// Records that were new.
    pub inserted: u64,
    /// Records that differed from the stored row.
    pub updated: u64,
    /// Records equal to the stored row.
    pub unchanged: u64,
    /// Rows marked deleted.
    pub deleted: u64,
    /// Records that could not be written.
    pub failed: u64,
}

/// What asked for a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TriggerView {
    /// `schedule`, `manual` or `backfill`.
    #[schema(value_type = String, example = "manual")]
    pub kind: RunOrigin,
    /// Who asked for it, if somebody did.
    pub requested_by: Option<String>,
    /// The batch it belongs to.
    pub batch_id: uuid::Uuid,
}

/// An error of an attempt. It holds no secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorView {
    /// What it asks for: `transient`, `rate_limited`, `needs_token`, `needs_person`, `permanent`, `lost`.
    #[schema(example = "transient")]
    pub kind: &'static str,
    /// What happened, and what can be done.
    pub message: String,
    /// The stream it happened in.
    pub stream: Option<String>,
    /// The platform's HTTP status.
    pub http_status: Option<u16>,
    /// The platform's own code for it.
    pub platform_code: Option<String>,
    /// The start of the platform's answer, redacted.
    pub excerpt: Option<String>,
}

/// A run with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The attempts, first to last.
    pub attempts: Vec<Attempt>,
    /// What they cost together. An attempt under way counts once it has ended.
    pub spent: SpentView,
    /// What has been done, by stream.
    pub stream_progress: Vec<StreamView>,
    /// How many checkpoints it has written.
    pub checkpoint_sequence: i64,
    /// Per stream: done, or where the next attempt goes on.
    #[schema(value_type = Object)]
    pub checkpoint: Value,
    /// The last 1,000 log lines, oldest first.
    pub log: Vec<LogView>,
}

/// What attempts cost.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Spent)]
pub(crate) struct SpentView {
    /// Requests that were sent.
    #[schema(example = 12)]
    pub calls: i64,
    /// Points of budgets that they cost: of each request what the dearest of its budgets charged.
    #[schema(example = 36)]
    pub points: i64,
    /// Milliseconds of waiting for permits of the platform's budgets.
    #[schema(example = 4200)]
    pub waited_ms: i64,
}

/// A worker's try at a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attempt {
    /// First, second, ...
    pub number: i32,
    /// The worker's host and process id.
    pub process: String,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ended; null: under way.
    pub ended_at: Option<DateTime<Utc>>,
    /// `succeeded`, `partial`, `failed`, `cancelled`, `retry`, `limited`, `yielded`, `paused`, `drained`,
    /// `stalled` or `lost`; null: under way.
    pub outcome: Option<&'static str>,
    /// Why the run changed its state, and who wanted it, in words.
    #[schema(example = "cancelled by ana: the shop is being moved")]
    pub reason: Option<String>,
    /// Requests it sent. Of an attempt under way, and of one whose worker was lost, what is told here is by its last checkpoint.
    pub calls: i64,
    /// Points of budgets that they cost: of each request what the dearest of its budgets charged.
    pub points: i64,
    /// Milliseconds for which it waited for permits of the platform's budgets.
    pub waited_ms: i64,
    /// What went wrong.
    pub error: Option<ErrorView>,
}

/// A stream's part of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamView {
    /// The stream.
    #[schema(example = "products")]
    pub stream: String,
    /// `pending`, `reading`, `done` or `failed`.
    #[schema(example = "done")]
    pub status: &'static str,
    /// Its counts.
    #[serde(flatten)]
    pub counts: Totals,
    /// Why it was given up, or the first reason a record was refused.
    pub problem: Option<String>,
}

/// A log line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogView {
    /// When, by the worker's clock.
    pub at: DateTime<Utc>,
    /// `info`, `warn` or `error`.
    #[schema(example = "info")]
    pub level: &'static str,
    /// The stream it speaks of.
    pub stream: Option<String>,
    /// The sentence.
    pub message: String,
}

impl From<RunView> for Run {
    /// As a line of a list: without a look around.
    fn from(found: RunView) -> Self {
        Self::within(found, &Surroundings::default())
    }
}

impl Run {
    /// A run, and what was found around it.
    pub(crate) fn within(found: RunView, around: &Surroundings) -> Self {
        let why = why(&found, around);
        let duration = found.started_at.zip(found.finished_at);
        Self {
            id: found.id.0,
            status: found.status,
            why,
            attempt: found.attempt,
            failures: found.failures,
            progress: totals(&found.progress),
            connection: Named {
                id: found.connection_id.0,
                key: found.connection_key,
            },
            business: Named {
                id: found.business_id.0,
                key: found.business_key,
            },
            platform: found.platform,
            schedule: found.schedule_id.map(|id| Named {
                id: id.0,
                key: found.schedule_key,
            }),
            trigger: TriggerView {
                kind: found.origin,
                requested_by: found.requested_by,
                batch_id: found.batch_id.0,
            },
            kind: found.kind.as_str(),
            streams: found.streams,
            page: found.page,
            range: found
                .range_from
                .zip(found.range_to)
                .map(|(from, to)| RangeView { from, to }),
            created_at: found.created_at,
            started_at: found.started_at,
            finished_at: found.finished_at,
            duration_ms: duration.map(|(from, to)| (to - from).num_milliseconds()),
            error: found.last_error.map(|error| error.0.into()),
            retry_of: found.retry_of.map(|id| id.0),
            retried_by: found.retried_by.map(|id| id.0),
            cancelled_by: found.cancelled_by,
            cancel_note: found.cancel_note,
        }
    }
}

impl From<RunError> for ErrorView {
    fn from(error: RunError) -> Self {
        let RunError {
            kind,
            message,
            stream,
            http_status,
            platform_code,
            excerpt,
        } = error;
        Self {
            kind: kind.as_str(),
            message,
            stream,
            http_status,
            platform_code,
            excerpt,
        }
    }
}

impl From<AttemptView> for Attempt {
    fn from(found: AttemptView) -> Self {
        Self {
            number: found.number,
            process: found.process_name,
            started_at: found.started_at,
            ended_at: found.ended_at,
            outcome: found.outcome.map(AttemptOutcome::as_str),
            reason: found.reason,
            calls: found.calls,
            points: found.points,
            waited_ms: found.waited_ms,
            error: found.error.map(|error| error.0.into()),
        }
    }
}

impl SpentView {
    /// What attempts cost together.
    pub(crate) fn total(attempts: &[AttemptView]) -> Self {
        attempts.iter().fold(Self::default(), |sum, attempt| Self {
            calls: sum.calls + attempt.calls,
            points: sum.points + attempt.points,
            waited_ms: sum.waited_ms + attempt.waited_ms,
        })
    }
}

impl From<LogLine> for LogView {
    fn from(line: LogLine) -> Self {
        let LogLine {
            at,
            level,
            stream,
            message,
        } = line;
        Self {
            at,
            level: level.as_str(),
            stream,
            message,
        }
    }
}

impl RunDetail {
    /// Puts together what was read of a run.
    pub(crate) fn new(
        found: RunView,
        around: &Surroundings,
        attempts: Vec<AttemptView>,
        log: Vec<LogLine>,
    ) -> Self {
        let stream_progress = streams(&found.progress);
        Self {
            spent: SpentView::total(&attempts),
            attempts: attempts.into_iter().map(Attempt::from).collect(),
            stream_progress,
            checkpoint_sequence: found.checkpoint_sequence,
            checkpoint: found.checkpoint.clone(),
            log: log.into_iter().map(LogView::from).collect(),
            run: Run::within(found, around),
        }
    }
}

fn totals(progress: &Progress) -> Totals {
    counts(progress.pages(), progress.total())
}

fn counts(pages: u64, counts: syncline_shared::run::StreamCounts) -> Totals {
    let syncline_shared::run::StreamCounts {
        read,
        inserted,
        updated,
        unchanged,
        deleted,
        failed,
        ..
    } = counts;
    Totals {
        pages,
        read,
        inserted,
        updated,
        unchanged,
        deleted,
        failed,
    }
}

fn streams(progress: &Progress) -> Vec<StreamView> {
    let view = |(name, stream): (&String, &syncline_shared::run::StreamProgress)| StreamView {
        stream: name.clone(),
        status: stream.status.as_str(),
        counts: counts(stream.pages, stream.counts),
        problem: stream.problem.clone(),
    };
    progress.0.iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::why::tests::run;

    #[test]
    fn only_ended_runs_have_a_duration() {
        let mut found = run(RunStatus::Succeeded, None);
        assert_eq!(Run::from(found.clone()).duration_ms, None);
        found.finished_at = Some("2026-01-01T12:00:02.5Z".parse().unwrap());
        assert_eq!(Run::from(found).duration_ms, Some(2500));
    }
}
