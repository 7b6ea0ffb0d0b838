//! Statuses as people see them: icon, word and colour, never the colour alone. The icons are in `templates/ui.html`.

use syncline_shared::run::{AttemptOutcome, RunStatus, StreamStatus};
use syncline_shared::schedule::TickOutcome;

/// How a status is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Badge {
    /// `gray`, `blue`, `green`, `amber` or `red`.
    pub tone: &'static str,
    /// An icon of the macro `icon`.
    pub icon: &'static str,
    /// The word.
    pub word: &'static str,
}

const fn badge(tone: &'static str, icon: &'static str, word: &'static str) -> Badge {
    Badge { tone, icon, word }
}

/// Everything about it is as it should be.
pub(super) const UP_TO_DATE: Badge = badge("green", "check", "Up to date");
/// Nothing has happened yet.
pub(super) const NEW: Badge = badge("gray", "new", "New");
/// Switched off by a person.
pub(super) const DISABLED: Badge = badge("gray", "pause", "Disabled");
/// It has unfinished runs.
pub(super) const RUNNING: Badge = badge("blue", "ring", "Running");
/// Rests until somebody resumes it.
pub(super) const PAUSED: Badge = badge("gray", "pause", "Paused");
/// Waits for its next moment, or to be asked for.
pub(super) const ACTIVE: Badge = badge("green", "check", "Active");
/// Data is being read.
pub(super) const SYNCING: Badge = badge("blue", "ring", "Syncing");
/// A person must act.
pub(super) const NEEDS_YOU: Badge = badge("red filled", "key", "Needs you");
/// A stream whose reading was begun, in a run that is not under way.
pub(super) const BEGUN: Badge = badge("gray", "half", "Begun");
/// A process that was heard of lately.
pub(super) const UP: Badge = badge("blue", "up", "Up");

/// A budget that gives permits.
pub(super) const BUDGET_OPEN: Badge = badge("green", "check", "Open");
/// A budget that gives nothing before the platform's wait is over.
pub(super) const BUDGET_PAUSED: Badge = badge("gray", "hourglass", "Paused");
/// A budget of which nothing is left for now.
pub(super) const BUDGET_USED_UP: Badge = badge("blue", "half", "Used up");
/// A budget that gives less than its limit, since the platform refused or told a lower one.
pub(super) const BUDGET_LOWERED: Badge = badge("amber", "drained", "Lowered");

impl From<RunStatus> for Badge {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Queued => badge("gray", "hollow", "Queued"),
            RunStatus::Running => badge("blue", "ring", "Running"),
            RunStatus::Waiting => badge("gray", "hourglass", "Waiting"),
            RunStatus::Retrying => badge("amber", "retry", "Retrying"),
            RunStatus::Succeeded => badge("green", "check", "Succeeded"),
            RunStatus::Partial => badge("amber", "half", "Partial"),
            RunStatus::Failed => badge("red", "cross", "Failed"),
            RunStatus::Cancelled => badge("gray", "slash", "Cancelled"),
        }
    }
}

impl From<StreamStatus> for Badge {
    fn from(status: StreamStatus) -> Self {
        match status {
            StreamStatus::Pending => badge("gray", "hollow", "Pending"),
            StreamStatus::Reading => badge("blue", "ring", "Reading"),
            StreamStatus::Done => badge("green", "check", "Done"),
            StreamStatus::Failed => badge("red", "cross", "Failed"),
        }
    }
}

impl From<TickOutcome> for Badge {
    fn from(outcome: TickOutcome) -> Self {
        match outcome {
            TickOutcome::Fired => badge("blue", "fired", "Fired"),
            TickOutcome::Late => badge("amber", "clock", "Late"),
            TickOutcome::Coalesced => badge("gray", "coalesced", "Coalesced"),
            TickOutcome::Skipped => badge("gray", "skipped", "Skipped"),
            TickOutcome::Missed => badge("red", "missed", "Missed"),
        }
    }
}

impl From<Option<AttemptOutcome>> for Badge {
    /// `None`: the attempt is under way.
    fn from(outcome: Option<AttemptOutcome>) -> Self {
        match outcome {
            None => RunStatus::Running.into(),
            Some(AttemptOutcome::Succeeded) => RunStatus::Succeeded.into(),
            Some(AttemptOutcome::Partial) => RunStatus::Partial.into(),
            Some(AttemptOutcome::Failed) => RunStatus::Failed.into(),
            Some(AttemptOutcome::Cancelled) => RunStatus::Cancelled.into(),
            Some(AttemptOutcome::Retry) => badge("amber", "retry", "To be retried"),
            Some(AttemptOutcome::Limited) => badge("gray", "hourglass", "Gave way to a limit"),
            Some(AttemptOutcome::Yielded) => badge("gray", "skipped", "Yielded"),
            Some(AttemptOutcome::Paused) => badge("gray", "drained", "Paused"),
            Some(AttemptOutcome::Stalled) => badge("amber", "broken", "Stood still"),
            Some(AttemptOutcome::Drained) => badge("gray", "drained", "Drained"),
            Some(AttemptOutcome::Lost) => badge("red", "broken", "Lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_run_statuses_share_an_icon_or_a_word() {
        let badges: Vec<Badge> = RunStatus::ALL
            .iter()
            .map(|status| (*status).into())
            .collect();
        for (at, one) in badges.iter().enumerate() {
            for other in &badges[at + 1..] {
                assert!(
                    one.icon != other.icon && one.word != other.word,
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn waiting_is_never_a_warning() {
        assert_eq!(Badge::from(RunStatus::Waiting).tone, "gray");
        assert_eq!(Badge::from(Some(AttemptOutcome::Limited)).tone, "gray");
    }
}
