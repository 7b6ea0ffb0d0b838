//! A schedule in sentences: what it syncs, when, and what it does when that does not go as planned. The form's choices and the
//! schedule's page say the same.

use chrono::{DateTime, Utc};
use syncline_shared::db::schedule::{Schedule, ScheduleState};
use syncline_shared::schedule::{CatchUpMode, Overlap, TargetKind, TriggerKind};

use crate::handlers::schedules::view::{SchedulePauseView, ScheduleView, words_of};
use crate::pages::badge::{ACTIVE, Badge, DISABLED, NEEDS_YOU, PAUSED, RUNNING};
use crate::pages::moment::Moment;

/// When a schedule is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct When {
    /// In words if they are certain, else the cron fields.
    pub text: String,
    /// True if these are cron fields.
    pub is_expression: bool,
    /// The cron fields behind the words.
    pub expression: Option<String>,
    /// The zone of the cron fields.
    pub zone: Option<String>,
}

impl When {
    /// When `schedule` is due.
    pub(super) fn of(schedule: &Schedule) -> Self {
        let words = match schedule.trigger {
            TriggerKind::After => Some(words_of(schedule)),
            _ => schedule.trigger().ok().and_then(|trigger| trigger.words()),
        };
        let cron = schedule.cron.clone();
        Self {
            is_expression: words.is_none(),
            text: words
                .clone()
                .or_else(|| cron.clone())
                .unwrap_or_else(|| words_of(schedule)),
            zone: cron.as_ref().map(|_| schedule.zone.clone()),
            expression: cron.filter(|_| words.is_some()),
        }
    }
}

/// Why a schedule rests, as a sentence around an instant.
#[derive(Debug)]
pub(super) struct PauseNote {
    /// `Paused by ana`.
    pub sentence: String,
    pub since: Moment,
    pub note: Option<String>,
}

impl PauseNote {
    /// `pause`, as seen at `now`.
    pub(super) fn new(pause: &SchedulePauseView, now: DateTime<Utc>) -> Self {
        Self {
            sentence: if pause.cause == "failures" {
                "It paused itself after failures".to_owned()
            } else {
                format!("Paused by {}", pause.paused_by)
            },
            since: Moment::new(pause.paused_at, now),
            note: pause.note.clone(),
        }
    }
}

/// The state of a schedule.
pub(super) fn badge(view: &ScheduleView) -> Badge {
    match view.state {
        ScheduleState::Running => RUNNING,
        ScheduleState::Paused if !view.enabled => DISABLED,
        ScheduleState::Paused => PAUSED,
        ScheduleState::Error => NEEDS_YOU,
        ScheduleState::Active => ACTIVE,
    }
}

/// What a schedule syncs.
pub(super) fn target(schedule: &Schedule) -> String {
    let key = schedule.target_key.as_deref().unwrap_or("deleted");
    match schedule.target {
        TargetKind::Connection => format!("connection {key}"),
        TargetKind::Business => format!("all connections of {key}"),
        TargetKind::Platform => format!(
            "all connections on {}",
            schedule.platform.as_deref().unwrap_or_default()
        ),
        TargetKind::Everything => "all connections".to_owned(),
    }
}

/// A policy in a few words, and what comes of it.
pub(super) type Choice = (&'static str, &'static str);

/// What a tick does on a connection whose run of the same schedule is unfinished.
pub(super) fn overlap(policy: Overlap) -> Choice {
    match policy {
        Overlap::Skip => (
            "Leave it alone",
            "The connection gets no run this time. What is new is read with the next tick.",
        ),
        Overlap::QueueOne => (
            "Let one wait",
            "One run waits for the unfinished one. While one is waiting, no other is made.",
        ),
        Overlap::QueueAll => (
            "Let all wait",
            "Each tick makes a run that waits for those before it. If runs take longer than the time between ticks, more and more wait.",
        ),
        Overlap::CancelRunning => (
            "Cancel it",
            "The unfinished run is cancelled and a new one begins. What has been written stays.",
        ),
    }
}

/// What becomes of moments that passed while nobody was there to run them.
pub(super) fn catch_up(mode: CatchUpMode) -> Choice {
    match mode {
        CatchUpMode::Latest => (
            "Run once",
            "It runs once for all moments that have passed. A sync reads everything since the last one, so one run is enough.",
        ),
        CatchUpMode::All => (
            "Run for each",
            "It runs once for each moment that has passed, the oldest first, up to a limit. For syncs whose every moment matters.",
        ),
        CatchUpMode::Skip => (
            "Let them pass",
            "What is more than a minute late does not run. It goes on with the next moment.",
        ),
    }
}
