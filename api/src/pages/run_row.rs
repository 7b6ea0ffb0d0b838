//! A run as a line of a list.

use chrono::{DateTime, Utc};
use syncline_shared::db::history::RunView;
use syncline_shared::run::{RunKind, RunStatus};

use super::badge::Badge;
use super::format::{count, counted, duration};
use super::moment::{Moment, Sentence};
use crate::handlers::run_view::{Run, Totals};

/// What a line shows.
#[derive(Debug)]
pub(super) struct RunRow {
    pub id: String,
    pub badge: Badge,
    /// Why it does not run, or its error.
    pub why: Option<Sentence>,
    /// Key, or nothing if it has been deleted since.
    pub connection: Option<String>,
    pub business: Option<String>,
    pub platform: String,
    /// `Full`, `Page 3`; nothing for the usual, incremental kind.
    pub kind: Option<String>,
    pub started_by: StartedBy,
    /// Records read; nothing if it has none.
    pub read: Option<String>,
    /// Pages read, in words.
    pub pages: String,
    /// What became of the records, in words; empty if nothing did.
    pub changes: String,
    /// How long it took, or has been running.
    pub duration: Option<String>,
    /// `ended`, `started` or `asked`.
    pub event: &'static str,
    /// When that was.
    pub at: Moment,
}

/// What made a run.
#[derive(Debug)]
pub(super) enum StartedBy {
    /// A schedule, by key.
    Schedule(String),
    /// A schedule that has been deleted since.
    DeletedSchedule,
    /// A person or a program, by name.
    Caller(String),
    /// Nobody whose name is known.
    Nobody,
}

impl RunRow {
    /// `found`, as seen at `now`.
    pub(super) fn new(found: RunView, now: DateTime<Utc>) -> Self {
        let kind = kind(found.kind, found.page);
        let run = Run::from(found);
        let (event, at) = match (run.finished_at, run.started_at) {
            (Some(at), _) => ("ended", at),
            (None, Some(at)) if run.status == RunStatus::Running => ("started", at),
            _ => ("asked", run.created_at),
        };
        Self {
            badge: run.status.into(),
            why: why(&run, now),
            connection: run.connection.key.clone(),
            business: run.business.key.clone(),
            platform: run.platform.clone(),
            kind,
            started_by: started_by(&run),
            read: (run.progress.read > 0 || run.status == RunStatus::Succeeded)
                .then(|| count(run.progress.read)),
            pages: counted(run.progress.pages, "page"),
            changes: changes(&run.progress),
            duration: elapsed(&run, now).map(duration),
            event,
            at: Moment::new(at, now),
            id: run.id.to_string(),
        }
    }
}

/// Milliseconds from the first attempt to the end, or until now.
pub(super) fn elapsed(run: &Run, now: DateTime<Utc>) -> Option<i64> {
    let began = run.started_at?;
    match (run.finished_at, run.status) {
        (Some(ended), _) => Some((ended - began).num_milliseconds()),
        (None, RunStatus::Running) => Some((now - began).num_milliseconds()),
        _ => None,
    }
}

/// Why a run does not run, or what went wrong with it.
pub(super) fn why(run: &Run, now: DateTime<Utc>) -> Option<Sentence> {
    if let Some(why) = &run.why {
        return Some(Sentence::new(&why.text, why.until, now));
    }
    let ended_badly = matches!(run.status, RunStatus::Failed | RunStatus::Partial);
    let text = match &run.error {
        Some(error) if ended_badly => error.message.clone(),
        None if run.status == RunStatus::Partial && run.progress.failed > 0 => {
            format!(
                "{} could not be written",
                counted(run.progress.failed, "record")
            )
        }
        _ => return None,
    };
    Some(Sentence::new(&text, None, now))
}

/// What became of the records, without what did not happen.
pub(super) fn changes(totals: &Totals) -> String {
    let parts = [
        (totals.inserted, "inserted"),
        (totals.updated, "updated"),
        (totals.deleted, "deleted"),
        (totals.failed, "failed"),
        (totals.unchanged, "unchanged"),
    ];
    let told: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{} {word}", count(*number)))
        .collect();
    told.join(", ")
}

/// The kind of a run, if it is not the usual one.
pub(super) fn kind(kind: RunKind, page: Option<i64>) -> Option<String> {
    match kind {
        RunKind::Incremental => None,
        RunKind::Full => Some("Full".to_owned()),
        RunKind::Rebuild => Some("Rebuild".to_owned()),
        RunKind::Page => Some(format!("Page {}", page.unwrap_or_default())),
        RunKind::Backfill => Some("Backfill".to_owned()),
    }
}

/// What made a run.
pub(super) fn started_by(run: &Run) -> StartedBy {
    match (&run.schedule, &run.trigger.requested_by) {
        (Some(schedule), _) => match &schedule.key {
            Some(key) => StartedBy::Schedule(key.clone()),
            None => StartedBy::DeletedSchedule,
        },
        (None, Some(name)) => StartedBy::Caller(name.clone()),
        (None, None) => StartedBy::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_leave_out_what_did_not_happen() {
        let totals = Totals {
            read: 1_216,
            inserted: 1_204,
            unchanged: 12,
            ..Totals::default()
        };
        assert_eq!(changes(&totals), "1,204 inserted, 12 unchanged");
        assert_eq!(changes(&Totals::default()), "");
    }
}
