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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::CatchUp;
    use uuid::Uuid;

    const SCHEDULE: ScheduleId = ScheduleId(Uuid::from_u128(1));

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn hourly() -> Trigger {
        Trigger::cron("0 * * * *", "UTC").expect("a trigger")
    }

    fn catch_up(mode: CatchUpMode, window_seconds: i64, cap: u32) -> Policy {
        Policy {
            catch_up: CatchUp {
                window_seconds,
                mode,
                cap,
            },
            ..Policy::default()
        }
    }

    /// What is due on 1 January 2026 from 05:00 to a time: gaps as `first-last count outcome`, then what fires, then what follows.
    fn decide(
        policy: &Policy,
        now: &str,
        fired_so_far: u64,
        most: u32,
    ) -> (Vec<String>, Vec<String>, String) {
        let trigger = hourly();
        let plan = Plan {
            schedule: SCHEDULE,
            trigger: &trigger,
            policy,
        };
        let now = utc(&format!("2026-01-01T{now}Z"));
        let due = plan.decide(utc("2026-01-01T05:00:00Z"), now, fired_so_far, most);
        let hour = |at: DateTime<Utc>| at.format("%H:%M").to_string();
        let gaps = due.gaps.iter().map(|gap| {
            format!(
                "{}-{} {} {}",
                hour(gap.first),
                hour(gap.last),
                gap.count,
                gap.outcome
            )
        });
        let fires = due
            .fires
            .iter()
            .map(|fire| format!("{} {}", hour(fire.nominal), fire.outcome));
        let following = due.following.map(hour).unwrap_or_default();
        (gaps.collect(), fires.collect(), following)
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let nothing = (vec![], vec![], "05:00".to_owned());
        assert_eq!(decide(&Policy::default(), "04:59:59.999", 0, 1), nothing);
    }

    #[test]
    fn a_moment_on_time_fires_alone_and_a_minute_is_the_bound() {
        for (now, outcome) in [
            ("05:00:00", "fired"),
            ("05:01:00", "fired"),
            ("05:01:00.001", "late"),
        ] {
            let expected = (vec![], vec![format!("05:00 {outcome}")], "06:00".to_owned());
            assert_eq!(decide(&Policy::default(), now, 0, 1), expected);
        }
    }

    #[test]
    fn after_an_outage_the_latest_fires_and_the_rest_are_one_gap() {
        let expected = (
            strings(&["05:00-08:00 4 coalesced"]),
            strings(&["09:00 late"]),
            "10:00".to_owned(),
        );
        assert_eq!(decide(&Policy::default(), "09:30:00", 0, 1), expected);
    }

    #[test]
    fn what_is_older_than_the_window_is_missed() {
        let policy = catch_up(CatchUpMode::Latest, 2 * 3600, 100);
        let gaps = ["05:00-07:00 3 missed", "08:00-08:00 1 coalesced"];
        let expected = (strings(&gaps), strings(&["09:00 late"]), "10:00".to_owned());
        assert_eq!(decide(&policy, "09:30:00", 0, 1), expected);
        // A moment exactly as old as the window is inside.
        let gaps = ["05:00-06:00 2 missed", "07:00-08:00 2 coalesced"];
        let expected = (
            strings(&gaps),
            strings(&["09:00 fired"]),
            "10:00".to_owned(),
        );
        assert_eq!(decide(&policy, "09:00:00", 0, 1), expected);
        let policy = catch_up(CatchUpMode::Latest, 600, 100);
        let expected = (
            strings(&["05:00-09:00 5 missed"]),
            vec![],
            "10:00".to_owned(),
        );
        assert_eq!(decide(&policy, "09:30:00", 0, 1), expected);
    }

    #[test]
    fn without_catch_up_only_what_is_on_time_fires() {
        let policy = catch_up(CatchUpMode::Skip, 365 * 86_400, 100);
        let expected = (
            strings(&["05:00-09:00 5 missed"]),
            vec![],
            "10:00".to_owned(),
        );
        assert_eq!(decide(&policy, "09:30:00", 0, 1), expected);
        let expected = (
            strings(&["05:00-08:00 4 missed"]),
            strings(&["09:00 fired"]),
            "10:00".to_owned(),
        );
        assert_eq!(decide(&policy, "09:01:00", 0, 1), expected);
    }

    #[test]
    fn all_fire_in_their_order_a_part_at_a_time() {
        let policy = catch_up(CatchUpMode::All, 365 * 86_400, 100);
        let expected = (
            vec![],
            strings(&["05:00 late", "06:00 late"]),
            "07:00".to_owned(),
        );
        assert_eq!(decide(&policy, "09:00:30", 0, 2), expected);
        let all = [
            "05:00 late",
            "06:00 late",
            "07:00 late",
            "08:00 late",
            "09:00 fired",
        ];
        let expected = (vec![], strings(&all), "10:00".to_owned());
        assert_eq!(decide(&policy, "09:00:30", 0, 50), expected);
        assert_eq!(
            decide(&policy, "09:00:30", 0, 0).1,
            strings(&["05:00 late"]),
            "at least one"
        );
    }

    #[test]
    fn more_than_the_cap_is_one_gap() {
        let policy = catch_up(CatchUpMode::All, 3 * 3600 + 1800, 2);
        let gaps = ["05:00-05:00 1 missed", "06:00-07:00 2 missed"];
        let expected = (
            strings(&gaps),
            strings(&["08:00 late", "09:00 late"]),
            "10:00".to_owned(),
        );
        assert_eq!(decide(&policy, "09:30:00", 0, 50), expected);
    }

    #[test]
    fn a_schedule_ends_with_its_last_run() {
        let policy = Policy {
            max_runs: Some(3),
            ..catch_up(CatchUpMode::All, 365 * 86_400, 100)
        };
        let expected = (
            vec![],
            strings(&["05:00 late", "06:00 late"]),
            "07:00".to_owned(),
        );
        assert_eq!(decide(&policy, "09:30:00", 1, 50), expected);
        assert_eq!(
            decide(&policy, "09:30:00", 3, 50),
            (vec![], vec![], String::new())
        );

        let trigger = hourly();
        let plan = Plan {
            schedule: SCHEDULE,
            trigger: &trigger,
            policy: &policy,
        };
        let due = plan.decide(
            utc("2026-01-01T05:00:00Z"),
            utc("2026-01-01T05:00:00Z"),
            2,
            50,
        );
        assert_eq!(due.next_at(&policy, 3), None);
        // It was skipped, since its predecessor was unfinished: it has not fired.
        assert_eq!(due.next_at(&policy, 2), Some(utc("2026-01-01T06:00:00Z")));
    }

    #[test]
    fn moments_lie_between_start_and_end() {
        let policy = Policy {
            start_at: Some(utc("2026-01-01T06:00:00Z")),
            end_at: Some(utc("2026-01-01T08:00:00Z")),
            ..Policy::default()
        };
        let expected = (
            strings(&["06:00-07:00 2 coalesced"]),
            strings(&["08:00 late"]),
            String::new(),
        );
        assert_eq!(decide(&policy, "09:30:00", 0, 1), expected);
        let nothing = (vec![], vec![], "06:00".to_owned());
        assert_eq!(decide(&policy, "05:30:00", 0, 1), nothing);
    }

    #[test]
    fn a_stored_instant_that_is_no_moment_any_more_is_corrected() {
        let trigger = hourly();
        let policy = Policy::default();
        let plan = Plan {
            schedule: SCHEDULE,
            trigger: &trigger,
            policy: &policy,
        };
        let due = plan.decide(
            utc("2026-01-01T05:30:00Z"),
            utc("2026-01-01T05:45:00Z"),
            0,
            1,
        );
        assert_eq!((due.gaps, due.fires), (vec![], vec![]));
        assert_eq!(due.following, Some(utc("2026-01-01T06:00:00Z")));
    }

    #[test]
    fn jitter_moves_when_a_moment_is_due_and_never_to_the_next() {
        let trigger = Trigger::interval(10, DateTime::UNIX_EPOCH).expect("a trigger");
        let policy = Policy {
            jitter_seconds: 3600,
            ..Policy::default()
        };
        let plan = Plan {
            schedule: SCHEDULE,
            trigger: &trigger,
            policy: &policy,
        };
        let first = utc("2026-01-01T00:00:00Z");
        let ticks = plan.preview(first, 500, 0);
        assert_eq!(ticks.len(), 500);
        for tick in &ticks {
            let delay = tick.due_at - tick.nominal;
            assert!(delay >= TimeDelta::zero() && delay < TimeDelta::seconds(10));
            let just_before =
                plan.decide(tick.nominal, tick.due_at - TimeDelta::nanoseconds(1), 0, 1);
            assert_eq!(
                (just_before.fires, just_before.following),
                (vec![], Some(tick.nominal))
            );
            assert_eq!(plan.decide(tick.nominal, tick.due_at, 0, 1).fires, [*tick]);
        }
        assert!(
            ticks
                .iter()
                .any(|tick| tick.due_at - tick.nominal > TimeDelta::seconds(9))
        );
    }

    #[test]
    fn a_year_of_ten_seconds_is_one_gap_and_one_late_tick() {
        for trigger in [
            Trigger::interval(10, DateTime::UNIX_EPOCH).expect("a trigger"),
            Trigger::cron("*/10 * * * * *", "Europe/Berlin").expect("a trigger"),
        ] {
            let policy = Policy::default();
            let plan = Plan {
                schedule: SCHEDULE,
                trigger: &trigger,
                policy: &policy,
            };
            let (from, to) = (utc("2026-01-01T00:00:00Z"), utc("2027-01-01T00:00:00Z"));
            let due = plan.decide(from, to, 0, 1);
            let [gap] = due.gaps.as_slice() else {
                panic!("{:?}", due.gaps);
            };
            assert_eq!(
                (gap.first, gap.count, gap.outcome),
                (from, 3_153_600, TickOutcome::Coalesced)
            );
            assert_eq!(gap.last, to - TimeDelta::seconds(10));
            assert_eq!(
                due.fires
                    .iter()
                    .map(|fire| fire.nominal)
                    .collect::<Vec<_>>(),
                [to]
            );
        }
    }
}
