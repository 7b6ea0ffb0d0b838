//! Policies: what a schedule does about lateness, overlap and failure. Plain values; [`super::due`] applies the first kind.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::TriggerError;
use crate::words::words;

words! {
    /// What fires of the due moments that are inside the catch-up window, if there are several, as after an outage.
    pub enum CatchUpMode {
        /// The latest; it stands in for the others. A sync reads everything since the last one, so one run is enough.
        Latest = "latest",
        /// Each, up to a cap, oldest first. For schedules whose every moment matters.
        All = "all",
        /// Only what is on time, that is at most a minute late. What is later than that is missed.
        Skip = "none",
    }
}

words! {
    /// What a tick does when a run of the same schedule on the same connection is unfinished.
    pub enum Overlap {
        /// It makes no run for that connection.
        Skip = "skip",
        /// It makes one that waits for the other; when one is waiting already, it makes none.
        QueueOne = "queue_one",
        /// It makes one that waits, whatever number is waiting.
        QueueAll = "queue_all",
        /// It cancels the unfinished run and makes a new one.
        CancelRunning = "cancel_running",
    }
}

/// Shortest catch-up window in seconds: a scheduler that takes over from another may be that late.
pub const MIN_CATCH_UP_WINDOW: i64 = 10;
/// Longest catch-up window in seconds: ten years.
pub const MAX_CATCH_UP_WINDOW: i64 = 3660 * 86_400;
/// Most moments that fire after one outage.
pub const MAX_CATCH_UP_CAP: u32 = 1000;
/// Longest jitter and longest spread in seconds: a day.
pub const MAX_DELAY_SECONDS: u32 = 86_400;
/// Most runs and most failures that can be asked for.
pub const MAX_COUNT: u32 = 1_000_000_000;

/// What becomes of moments that passed while nobody decided them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatchUp {
    /// Moments that were due longer ago than this many seconds are missed.
    ///
    /// 365 days by default, as in Temporal. With `latest` an outage of any length costs one run, so a short window protects
    /// from nothing, and a monthly schedule whose moment falls into an outage of two days would lose a month.
    pub window_seconds: i64,
    /// What fires of those inside the window.
    pub mode: CatchUpMode,
    /// With `all`, how many moments fire after one outage, the newest of them. 100 by default.
    pub cap: u32,
}

/// All policies of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What becomes of moments that passed while nobody decided them.
    pub catch_up: CatchUp,
    /// What a tick does when its predecessor is unfinished.
    pub overlap: Overlap,
    /// Each tick is due up to this many seconds after its moment, but before the next moment.
    pub jitter_seconds: u32,
    /// The runs of a tick are spread over this many seconds.
    pub spread_seconds: u32,
    /// The first instant that may be a moment.
    pub start_at: Option<DateTime<Utc>>,
    /// The last instant that may be a moment.
    pub end_at: Option<DateTime<Utc>>,
    /// After this many fired ticks the schedule has ended.
    pub max_runs: Option<u32>,
    /// After this many failed batches in a row the schedule pauses itself.
    pub pause_after_failures: Option<u32>,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self {
            window_seconds: 365 * 86_400,
            mode: CatchUpMode::Latest,
            cap: 100,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            catch_up: CatchUp::default(),
            overlap: Overlap::Skip,
            jitter_seconds: 0,
            spread_seconds: 0,
            start_at: None,
            end_at: None,
            max_runs: None,
            pause_after_failures: None,
        }
    }
}

impl Policy {
    /// All that is wrong with it; empty if it can be used.
    pub fn problems(&self) -> Vec<TriggerError> {
        let mut problems = Vec::new();
        let mut check = |field, value: i64, least: i64, most: i64| {
            if !(least..=most).contains(&value) {
                problems.push(TriggerError {
                    field,
                    value: value.to_string(),
                    problem: format!("it must be {least} to {most}"),
                });
            }
        };
        let CatchUp {
            window_seconds,
            cap,
            ..
        } = self.catch_up;
        check(
            "catch_up.window_seconds",
            window_seconds,
            MIN_CATCH_UP_WINDOW,
            MAX_CATCH_UP_WINDOW,
        );
        check("catch_up.cap", cap.into(), 1, MAX_CATCH_UP_CAP.into());
        check(
            "jitter_seconds",
            self.jitter_seconds.into(),
            0,
            MAX_DELAY_SECONDS.into(),
        );
        check(
            "spread_seconds",
            self.spread_seconds.into(),
            0,
            MAX_DELAY_SECONDS.into(),
        );
        if let Some(max_runs) = self.max_runs {
            check("max_runs", max_runs.into(), 1, MAX_COUNT.into());
        }
        if let Some(failures) = self.pause_after_failures {
            check("pause_after_failures", failures.into(), 1, MAX_COUNT.into());
        }
        if let (Some(start), Some(end)) = (self.start_at, self.end_at)
            && end < start
        {
            problems.push(TriggerError {
                field: "end_at",
                value: end.to_rfc3339(),
                problem: format!("it must not be before start_at, {}", start.to_rfc3339()),
            });
        }
        problems
    }

    /// True if a schedule that fired so often has ended.
    pub fn is_exhausted(&self, fired_so_far: u64) -> bool {
        self.max_runs
            .is_some_and(|most| fired_so_far >= u64::from(most))
    }

    /// True if a schedule whose last batches failed, so many in a row, pauses itself.
    pub fn pauses_after(&self, failures_in_a_row: u64) -> bool {
        self.pause_after_failures
            .is_some_and(|most| failures_in_a_row >= u64::from(most))
    }

    pub(super) fn window(&self) -> TimeDelta {
        TimeDelta::seconds(
            self.catch_up
                .window_seconds
                .clamp(MIN_CATCH_UP_WINDOW, MAX_CATCH_UP_WINDOW),
        )
    }

    pub(super) fn jitter(&self) -> TimeDelta {
        TimeDelta::seconds(self.jitter_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_can_be_used_and_is_what_nothing_reads_as() {
        assert_eq!(Policy::default().problems(), []);
        let read: Policy = serde_json::from_str("{}").expect("a policy");
        assert_eq!(read, Policy::default());
        let read: Policy = serde_json::from_str(
            r#"{"catch_up": {"mode": "none"}, "overlap": "queue_one", "max_runs": 3}"#,
        )
        .expect("a policy");
        assert_eq!(
            (read.catch_up.mode, read.catch_up.cap),
            (CatchUpMode::Skip, 100)
        );
        assert_eq!((read.overlap, read.max_runs), (Overlap::QueueOne, Some(3)));
        assert!(serde_json::from_str::<Policy>(r#"{"overlaps": "skip"}"#).is_err());
    }

    #[test]
    fn all_problems_are_told_by_field() {
        let policy = Policy {
            catch_up: CatchUp {
                window_seconds: 9,
                mode: CatchUpMode::All,
                cap: 0,
            },
            jitter_seconds: MAX_DELAY_SECONDS + 1,
            spread_seconds: u32::MAX,
            start_at: Some("2026-01-02T00:00:00Z".parse().expect("an instant")),
            end_at: Some("2026-01-01T00:00:00Z".parse().expect("an instant")),
            max_runs: Some(0),
            pause_after_failures: Some(0),
            ..Policy::default()
        };
        let fields: Vec<_> = policy
            .problems()
            .iter()
            .map(|problem| problem.field)
            .collect();
        let expected = [
            "catch_up.window_seconds",
            "catch_up.cap",
            "jitter_seconds",
            "spread_seconds",
            "max_runs",
            "pause_after_failures",
            "end_at",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn limits_are_reached_at_their_number() {
        let policy = Policy {
            max_runs: Some(3),
            pause_after_failures: Some(2),
            ..Policy::default()
        };
        assert!(!policy.is_exhausted(2) && policy.is_exhausted(3));
        assert!(!policy.pauses_after(1) && policy.pauses_after(2));
        assert!(!Policy::default().is_exhausted(u64::MAX));
        assert!(!Policy::default().pauses_after(u64::MAX));
    }
}
