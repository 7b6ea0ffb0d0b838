//! What is due, and what becomes of it: a pure function of the rule, the policy and the time.
//!
//! Every moment of a schedule is in exactly one row: it fires, or it is in a gap, which is one row for any number of moments
//! that are passed over together. A moment belongs to the schedule if the trigger names it, if it is not outside of `start_at`
//! and `end_at`, and if the schedule had not fired `max_runs` times before.
//!
//! A moment is due at its own time plus its jitter. Jitter never reaches the next moment, so moments are due in their order,
//! and what is due at an instant is all moments up to one of them.

use chrono::{DateTime, TimeDelta, Utc};

use super::{CatchUpMode, Policy, TickOutcome, Trigger, delay};
use crate::ids::ScheduleId;

/// A tick decided more than this after it was due is late.
pub const LATE_AFTER: TimeDelta = TimeDelta::minutes(1);

const INSTANT: TimeDelta = TimeDelta::nanoseconds(1);

/// A schedule, as far as its ticks depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Which one: jitter is a hash of it.
    pub schedule: ScheduleId,
    /// Its rule.
    pub trigger: &'a Trigger,
    /// Its policies.
    pub policy: &'a Policy,
}

/// What is due at an instant, or a part of it that one transaction should decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What does not fire, at most three rows, oldest first. All of it is earlier than what fires.
    pub gaps: Vec<Gap>,
    /// What fires, oldest first.
    pub fires: Vec<Fire>,
    /// The first moment that is not decided here. It may be due as well: then there is more to decide.
    pub following: Option<DateTime<Utc>>,
}

/// Moments that are passed over together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
    /// How many.
    pub count: u64,
    /// [`TickOutcome::Missed`] or [`TickOutcome::Coalesced`].
    pub outcome: TickOutcome,
    /// Why.
    pub reason: String,
}

/// A moment that fires, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fire {
    /// The moment.
    pub nominal: DateTime<Utc>,
    /// The moment and its jitter.
    pub due_at: DateTime<Utc>,
    /// [`TickOutcome::Fired`] or [`TickOutcome::Late`].
    pub outcome: TickOutcome,
}

impl Due {
    /// The schedule's next moment, once it has fired so often in all; `None`: it has ended. What was skipped has not fired.
    pub fn next_at(&self, policy: &Policy, fired_in_all: u64) -> Option<DateTime<Utc>> {
        self.following
            .filter(|_| !policy.is_exhausted(fired_in_all))
    }
}

impl Plan<'_> {
    /// Divides what is due at `now`, from `next_at` on, into gaps and what fires. At most `most` moments fire, at least one: with
    /// `catch_up: all` ask again, from [`Due::next_at`], until nothing is due.
    pub fn decide(
        &self,
        next_at: DateTime<Utc>,
        now: DateTime<Utc>,
        fired_so_far: u64,
        most: u32,
    ) -> Due {
        let mut due = Due {
            gaps: Vec::new(),
            fires: Vec::new(),
            following: None,
        };
        if self.policy.is_exhausted(fired_so_far) {
            return due;
        }
        let Some(first) = self.moment_from(next_at) else {
            return due;
        };
        let Some(last) = self.last_due_by(now).filter(|last| *last >= first) else {
            due.following = Some(first);
            return due;
        };
        let mut undecided = Span {
            first: Some(first),
            last,
        };
        self.pass_over_late(&mut undecided, &mut due, now);
        let Some(first) = undecided.first else {
            due.following = self.moment_after(last);
            return due;
        };
        let fires = match self.policy.catch_up.mode {
            CatchUpMode::Latest | CatchUpMode::Skip => {
                let reason = format!("the tick of {last} stands in for it: they were due at once");
                let before = self.trigger.last_before(last);
                self.pass_over(
                    &mut undecided,
                    &mut due,
                    before,
                    TickOutcome::Coalesced,
                    reason,
                );
                vec![last]
            }
            CatchUpMode::All => {
                let cap = self.policy.catch_up.cap.max(1);
                let reason =
                    format!("more than {cap} ticks were due, and only the latest {cap} fire");
                let before = self.newest(first, last, cap);
                self.pass_over(
                    &mut undecided,
                    &mut due,
                    before,
                    TickOutcome::Missed,
                    reason,
                );
                self.oldest(&undecided, self.left_of(fired_so_far).min(most.max(1)))
            }
        };
        due.following = fires.last().and_then(|fired| self.moment_after(*fired));
        due.fires = fires
            .into_iter()
            .map(|nominal| self.fire(nominal, now))
            .collect();
        due
    }

    /// The next `count` ticks after an instant, as they fire if nothing is in their way.
    pub fn preview(&self, after: DateTime<Utc>, count: u32, fired_so_far: u64) -> Vec<Fire> {
        let first = after
            .checked_add_signed(INSTANT)
            .and_then(|from| self.moment_from(from));
        std::iter::successors(first, |moment| self.moment_after(*moment))
            .take(count.min(self.left_of(fired_so_far)) as usize)
            .map(|nominal| self.fire(nominal, nominal))
            .collect()
    }

    /// The first moment of the schedule that is not before `from`, whatever it has fired.
    pub fn moment_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = self.policy.start_at.map_or(from, |start| start.max(from));
        self.trigger
            .next_from(from)
            .filter(|moment| !self.is_after_end(*moment))
    }

    /// When a moment is due.
    pub fn due_at(&self, nominal: DateTime<Utc>) -> DateTime<Utc> {
        let jitter = self.policy.jitter();
        if jitter.is_zero() {
            return nominal;
        }
        let until_next = self.trigger.next_after(nominal).map(|next| next - nominal);
        let jitter = until_next.map_or(jitter, |until_next| jitter.min(until_next));
        delay::due_at(self.schedule, nominal, jitter)
    }

    fn moment_after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.trigger
            .next_after(moment)
            .filter(|moment| !self.is_after_end(*moment))
    }

    fn is_after_end(&self, moment: DateTime<Utc>) -> bool {
        self.policy.end_at.is_some_and(|end| moment > end)
    }

    /// How often it may still fire.
    fn left_of(&self, fired_so_far: u64) -> u32 {
        let most = self.policy.max_runs.unwrap_or(u32::MAX);
        most.saturating_sub(u32::try_from(fired_so_far).unwrap_or(u32::MAX))
    }

    /// The last moment that is due at `instant`.
    fn last_due_by(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let latest = self.policy.end_at.map_or(instant, |end| end.min(instant));
        let moment = self.trigger.last_at_or_before(latest)?;
        if self.due_at(moment) <= instant {
            return Some(moment);
        }
        // The one before is due before the next moment begins.
        self.trigger.last_before(moment)
    }

    fn fire(&self, nominal: DateTime<Utc>, now: DateTime<Utc>) -> Fire {
        let due_at = self.due_at(nominal);
        let outcome = if now - due_at > LATE_AFTER {
            TickOutcome::Late
        } else {
            TickOutcome::Fired
        };
        Fire {
            nominal,
            due_at,
            outcome,
        }
    }

    /// Passes over what is later than is caught up with.
    fn pass_over_late(&self, undecided: &mut Span, due: &mut Due, now: DateTime<Utc>) {
        let window = self.policy.window();
        let (window, reason) = match self.policy.catch_up.mode {
            CatchUpMode::Skip => (
                window.min(LATE_AFTER),
                "it was late, and the schedule does not catch up".to_owned(),
            ),
            CatchUpMode::Latest | CatchUpMode::All => (
                window,
                format!(
                    "it was late by more than the catch-up window of {} seconds",
                    window.num_seconds()
                ),
            ),
        };
        let until = now
            .checked_sub_signed(window + INSTANT)
            .and_then(|limit| self.last_due_by(limit));
        self.pass_over(undecided, due, until, TickOutcome::Missed, reason);
    }

    /// Makes one gap of the undecided moments up to `until`, a moment.
    fn pass_over(
        &self,
        undecided: &mut Span,
        due: &mut Due,
        until: Option<DateTime<Utc>>,
        outcome: TickOutcome,
        reason: String,
    ) {
        let (Some(first), Some(last)) = (undecided.first, until) else {
            return;
        };
        let last = last.min(undecided.last);
        if last < first {
            return;
        }
        due.gaps.push(Gap {
            first,
            last,
            count: self.trigger.count_between(first, last),
            outcome,
            reason,
        });
        undecided.first = self
            .trigger
            .next_after(last)
            .filter(|next| *next <= undecided.last);
    }

    /// The moment before the newest `count` of `first..=last`.
    fn newest(
        &self,
        first: DateTime<Utc>,
        last: DateTime<Utc>,
        count: u32,
    ) -> Option<DateTime<Utc>> {
        if self.trigger.count_between(first, last) <= u64::from(count) {
            return None;
        }
        let mut moment = last;
        for _ in 0..count {
            moment = self.trigger.last_before(moment)?;
        }
        Some(moment)
    }

    /// The first `count` of what is undecided.
    fn oldest(&self, undecided: &Span, count: u32) -> Vec<DateTime<Utc>> {
        std::iter::successors(undecided.first, |moment| self.trigger.next_after(*moment))
            .take_while(|moment| *moment <= undecided.last)
            .take(count as usize)
            .collect()
    }
}

/// Moments that are due and not decided yet.
struct Span {
    first: Option<DateTime<Utc>>,
    last: DateTime<Utc>,
}
