//! `/runs/{id}`: what a run is doing or did, why, and everything that is known of it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use syncline_shared::db;
use syncline_shared::db::history::{self, AttemptView, RunView};
use syncline_shared::db::run::LogLine;
use syncline_shared::run::{
    FailureKind, PRIORITY_MANUAL, RunError, RunKind, RunStatus, StreamCounts, StreamProgress,
    StreamStatus,
};

use super::badge::{BEGUN, Badge};
use super::format::{count, counted, duration, list};
use super::moment::{Moment, Sentence};
use super::run_row::{StartedBy, changes, elapsed, started_by, why};
use super::visitor::{Frame, Visitor};
use crate::error::ApiResult;
use crate::handlers::run_view::{Run, SpentView};
use crate::handlers::runs;
use crate::handlers::why::Surroundings;
use crate::state::AppState;
use syncline_shared::db::overview;

/// Log lines of the page.
const LOG_LINES: i64 = 1000;

#[derive(Debug, Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    id: String,
    /// True until it has ended: the page refreshes itself.
    unfinished: bool,
    badge: Badge,
    sentence: String,
    why: Option<Sentence>,
    control: Option<Control>,
    connection: Option<String>,
    business: Option<String>,
    platform: String,
    started_by: StartedBy,
    /// The due moment it was made for.
    tick: Option<Moment>,
    reads: String,
    priority: Option<String>,
    asked: Moment,
    started: Option<Moment>,
    ended: Option<Moment>,
    checkpoints: String,
    /// Calls, points and waits of all attempts together.
    spent: Option<String>,
    failures: i32,
    /// The run that this one repeats.
    retry_of: Option<String>,
    /// The run that repeats this one.
    retried_by: Option<String>,
    /// What somebody did about its end; and who, and why.
    cancelled_by: Option<(&'static str, String)>,
    error: Option<ErrorBox>,
    streams: Vec<StreamLine>,
    attempts: Vec<AttemptLine>,
    log: Vec<LogRow>,
    log_is_cut: bool,
}

/// What can be done about a run by a button of its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Control {
    /// The last step of the form's address.
    action: &'static str,
    word: &'static str,
}

const CANCEL: Control = Control {
    action: "cancel",
    word: "Cancel this run",
};
const RETRY: Control = Control {
    action: "retry",
    word: "Retry",
};

/// The latest error, what follows from it, and its technical part.
#[derive(Debug)]
struct ErrorBox {
    tone: &'static str,
    message: String,
    origin: &'static str,
    next: &'static str,
    technical: Vec<(&'static str, String)>,
    excerpt: Option<String>,
}

#[derive(Debug)]
struct StreamLine {
    name: String,
    badge: Badge,
    pages: String,
    read: String,
    inserted: String,
    updated: String,
    unchanged: String,
    deleted: String,
    failed: String,
    problem: Option<String>,
}

#[derive(Debug)]
struct AttemptLine {
    number: i32,
    badge: Badge,
    process: String,
    started: Moment,
    duration: String,
    calls: String,
    /// Points and waits, where they say more than the calls.
    cost: String,
    /// Why it ended as it did: the error, or who wanted it.
    reason: Option<String>,
}

#[derive(Debug)]
struct LogRow {
    at: Moment,
    level: &'static str,
    stream: Option<String>,
    message: String,
}

/// A run.
pub(super) async fn show(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let run_id = runs::read_id(&id)?;
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let found = history::find_run(&mut db, run_id).await?;
    let found = found.ok_or_else(|| runs::unknown(&id))?;
    let around = Surroundings::look(&mut db, &found, state.lease).await?;
    let attempts = history::list_attempts(&mut db, run_id).await?;
    let log = history::list_log(&mut db, run_id, LOG_LINES).await?;
    let nominal_at = overview::find_nominal_at(&mut db, found.batch_id).await?;
    let mut page = page(visitor, found, &around, now);
    page.tick = nominal_at.map(|at| Moment::new(at, now));
    page.spent = spent(SpentView::total(&attempts));
    page.attempts = attempts
        .into_iter()
        .map(|attempt| attempt_line(attempt, now))
        .collect();
    page.log_is_cut = i64::try_from(log.len()).is_ok_and(|lines| lines >= LOG_LINES);
    page.log = log.into_iter().map(|line| log_row(line, now)).collect();
    super::html(&page)
}

fn page(visitor: Visitor, found: RunView, around: &Surroundings, now: DateTime<Utc>) -> RunPage {
    let moment = |at: DateTime<Utc>| Moment::new(at, now);
    let streams = found.progress.0.0.iter();
    let streams = streams
        .map(|(name, progress)| stream_line(name, progress, found.status))
        .collect();
    let error = found
        .last_error
        .as_ref()
        .map(|error| error_box(&error.0, found.status));
    let (run_kind, page, priority) = (found.kind, found.page, found.priority);
    let checkpoints = found.checkpoint_sequence;
    let is_cancelling = found.cancel_requested_at.is_some();
    let run = Run::within(found, around);
    let badge = Badge::from(run.status);
    let named = run
        .connection
        .key
        .as_deref()
        .unwrap_or("a deleted connection");
    RunPage {
        frame: visitor.frame(format!("{}: run of {named}", badge.word), "runs", now),
        unfinished: !run.status.is_terminal(),
        control: control(&run, is_cancelling),
        sentence: sentence(&run, now),
        why: why(&run, now).filter(|_| run.why.is_some()),
        started_by: started_by(&run),
        reads: reads(run_kind, page, run.streams.as_deref()),
        priority: (priority != PRIORITY_MANUAL).then(|| priority.to_string()),
        asked: moment(run.created_at),
        started: run.started_at.map(moment),
        ended: run.finished_at.map(moment),
        checkpoints: count(checkpoints.unsigned_abs()),
        spent: None,
        failures: run.failures,
        retry_of: run.retry_of.map(|id| id.to_string()),
        retried_by: run.retried_by.map(|id| id.to_string()),
        cancelled_by: cancelled_by(run.status, run.cancelled_by, run.cancel_note),
        id: run.id.to_string(),
        badge,
        connection: run.connection.key,
        business: run.business.key,
        platform: run.platform,
        tick: None,
        error,
        streams,
        attempts: Vec::new(),
        log: Vec::new(),
        log_is_cut: false,
    }
}

/// A run that has not ended can be cancelled, unless somebody has asked for it; one that ended without success can be retried, if
/// nobody has done so and its connection is still there.
fn control(run: &Run, is_cancelling: bool) -> Option<Control> {
    match run.status {
        RunStatus::Succeeded => None,
        RunStatus::Partial | RunStatus::Failed | RunStatus::Cancelled => {
            (run.retried_by.is_none() && run.connection.key.is_some()).then_some(RETRY)
        }
        _ => (!is_cancelling).then_some(CANCEL),
    }
}

/// A run may have come to its end before its worker heard that it was to be cancelled.
fn cancelled_by(
    status: RunStatus,
    by: Option<String>,
    note: Option<String>,
) -> Option<(&'static str, String)> {
    let word = if status == RunStatus::Cancelled {
        "Cancelled by"
    } else {
        "Cancelling asked by"
    };
    let by = by?;
    let who = match note {
        Some(note) => format!("{by}: {note}"),
        None => by,
    };
    Some((word, who))
}

/// What it is doing or how it ended, with its numbers.
fn sentence(run: &Run, now: DateTime<Utc>) -> String {
    let lasted = elapsed(run, now).map(duration);
    let lasted = lasted.as_deref();
    let attempts = counted(run.attempt.unsigned_abs().into(), "attempt");
    let read = format!(
        "{} read on {}",
        counted(run.progress.read, "record"),
        counted(run.progress.pages, "page")
    );
    let changes = changes(&run.progress);
    let records = if changes.is_empty() {
        read
    } else {
        format!("{read}: {changes}")
    };
    match (run.status, lasted) {
        (RunStatus::Running, Some(lasted)) if run.progress.pages == 0 => {
            format!("Starting for {lasted}: no page has been written yet")
        }
        (RunStatus::Running, Some(lasted)) => format!("Running for {lasted}. So far {records}"),
        (RunStatus::Succeeded, Some(lasted)) => format!("Succeeded in {lasted}. {records}"),
        (RunStatus::Partial, Some(lasted)) => {
            format!("Done in part, in {lasted}. {records}")
        }
        (RunStatus::Failed, Some(lasted)) => {
            format!("Failed after {attempts} in {lasted}. {records}")
        }
        (RunStatus::Failed, None) => "Failed before it could start".to_owned(),
        (RunStatus::Cancelled, Some(lasted)) => {
            format!("Cancelled after {lasted}. {records}")
        }
        (RunStatus::Cancelled, None) => "Cancelled before it started".to_owned(),
        _ if run.attempt == 0 => "Not started yet".to_owned(),
        _ => format!("Goes on after {attempts}. So far {records}"),
    }
}

pub(super) fn reads(run_kind: RunKind, page: Option<i64>, streams: Option<&[String]>) -> String {
    let what = match run_kind {
        RunKind::Incremental => "What is new".to_owned(),
        RunKind::Full => "Everything".to_owned(),
        RunKind::Rebuild => "Everything, after its rows were removed,".to_owned(),
        RunKind::Page => format!("Page {}", page.unwrap_or_default()),
        RunKind::Backfill => "A data range".to_owned(),
    };
    match streams {
        Some(streams) => format!("{what} of {}", list(streams)),
        None => format!("{what} of the chosen streams"),
    }
}

fn error_box(error: &RunError, status: RunStatus) -> ErrorBox {
    let technical = [
        ("Kind", Some(error.kind.to_string())),
        ("Stream", error.stream.clone()),
        (
            "HTTP status",
            error.http_status.map(|status| status.to_string()),
        ),
        ("Platform's code", error.platform_code.clone()),
    ];
    ErrorBox {
        tone: match status {
            RunStatus::Failed => "red",
            RunStatus::Partial | RunStatus::Retrying => "amber",
            _ => "gray",
        },
        message: error.message.clone(),
        origin: origin(error),
        next: next(error.kind, status),
        technical: technical
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        excerpt: error.excerpt.clone(),
    }
}

fn origin(error: &RunError) -> &'static str {
    match error.kind {
        FailureKind::NeedsPerson | FailureKind::NeedsToken => "your settings",
        FailureKind::Lost => "Syncline",
        FailureKind::RateLimited => "the platform",
        _ if error.http_status.is_some() => "the platform",
        FailureKind::Transient => "the network",
        FailureKind::Permanent => "the connector",
    }
}

/// What follows from an error: what Syncline does, or what the reader can do.
fn next(kind: FailureKind, status: RunStatus) -> &'static str {
    match (status, kind) {
        (RunStatus::Succeeded, _) => {
            "The run went on after it and succeeded. Nothing is to be done."
        }
        (RunStatus::Cancelled, _) => "The run was cancelled afterwards.",
        (
            RunStatus::Failed | RunStatus::Partial,
            FailureKind::NeedsPerson | FailureKind::NeedsToken,
        ) => {
            "Syncline does not try again by itself. Check the connection's credentials and settings, then run it again."
        }
        (RunStatus::Failed | RunStatus::Partial, FailureKind::Permanent) => {
            "The same request cannot succeed, so Syncline does not repeat it. Check the connection's settings and streams."
        }
        (RunStatus::Failed | RunStatus::Partial, _) => {
            "Syncline has tried as often as it may. What was written stays; the next run goes on from there."
        }
        (_, FailureKind::RateLimited) => {
            "Syncline waits until the platform allows more calls. No failure is counted."
        }
        _ => "Syncline tries again by itself and goes on from the last checkpoint.",
    }
}

fn stream_line(name: &str, progress: &StreamProgress, run: RunStatus) -> StreamLine {
    let StreamCounts {
        read,
        inserted,
        updated,
        unchanged,
        deleted,
        failed,
        ..
    } = progress.counts;
    // Nothing is blank, so that what happened stands out.
    let blank = |number: u64| match number {
        0 => String::new(),
        number => count(number),
    };
    StreamLine {
        name: name.to_owned(),
        badge: match progress.status {
            StreamStatus::Reading if run != RunStatus::Running => BEGUN,
            status => status.into(),
        },
        pages: blank(progress.pages),
        read: blank(read),
        inserted: blank(inserted),
        updated: blank(updated),
        unchanged: blank(unchanged),
        deleted: blank(deleted),
        failed: blank(failed),
        problem: progress.problem.clone(),
    }
}

fn attempt_line(attempt: AttemptView, now: DateTime<Utc>) -> AttemptLine {
    let error = attempt.error.map(|error| error.0.message);
    let reason = match (error, attempt.reason) {
        // A reason often holds the error's words.
        (Some(error), Some(reason)) if !reason.contains(&error) => {
            Some(format!("{error} ({reason})"))
        }
        (error, reason) => reason.or(error),
    };
    let until = attempt.ended_at.unwrap_or(now);
    let cost = cost(attempt.calls, attempt.points, attempt.waited_ms);
    AttemptLine {
        number: attempt.number,
        badge: attempt.outcome.into(),
        process: attempt.process_name,
        started: Moment::new(attempt.started_at, now),
        duration: duration((until - attempt.started_at).num_milliseconds()),
        calls: match attempt.calls {
            0 => String::new(),
            calls => count(calls.unsigned_abs()),
        },
        cost: cost.join(", "),
        reason,
    }
}

/// `12 calls, 36 points, waited 4.2 s for limits`; `None` before the first call.
fn spent(all: SpentView) -> Option<String> {
    let mut words = cost(all.calls, all.points, all.waited_ms);
    if all.calls > 0 {
        words.insert(0, counted(all.calls.unsigned_abs(), "call"));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// Points and waits, where they say more than the number of calls.
fn cost(calls: i64, points: i64, waited_ms: i64) -> Vec<String> {
    let mut words = Vec::new();
    if points > 0 && points != calls {
        words.push(counted(points.unsigned_abs(), "point"));
    }
    if waited_ms > 0 {
        words.push(format!("waited {} for limits", duration(waited_ms)));
    }
    words
}

fn log_row(line: LogLine, now: DateTime<Utc>) -> LogRow {
    LogRow {
        at: Moment::new(line.at, now),
        level: line.level.as_str(),
        stream: line.stream,
        message: line.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_reads_is_a_phrase() {
        let streams = ["orders", "products"].map(str::to_owned);
        assert_eq!(
            reads(RunKind::Incremental, None, None),
            "What is new of the chosen streams"
        );
        assert_eq!(
            reads(RunKind::Full, None, Some(&streams)),
            "Everything of orders and products"
        );
        assert_eq!(
            reads(RunKind::Page, Some(3), Some(&streams[1..])),
            "Page 3 of products"
        );
    }

    #[test]
    fn what_was_spent_is_a_phrase() {
        let words = |calls, points, waited_ms| {
            spent(SpentView {
                calls,
                points,
                waited_ms,
            })
        };
        assert_eq!(
            words(12, 36, 4_200).as_deref(),
            Some("12 calls, 36 points, waited 4.2 s for limits")
        );
        assert_eq!(words(12, 12, 0).as_deref(), Some("12 calls"));
        assert_eq!(
            words(0, 0, 2_000).as_deref(),
            Some("waited 2.0 s for limits")
        );
        assert_eq!(words(0, 0, 0), None);
    }

    #[test]
    fn an_error_says_where_it_comes_from() {
        let mut error = RunError::new(FailureKind::Transient, "timed out");
        assert_eq!(origin(&error), "the network");
        error.http_status = Some(503);
        assert_eq!(origin(&error), "the platform");
        error.kind = FailureKind::NeedsPerson;
        assert_eq!(origin(&error), "your settings");
    }
}
