//! Triggers: rules that name instants, called moments.
//!
//! A trigger is asked three questions: what comes next, what came last, and how many there are in a span. All are exact
//! and quick for any span, since after an outage of a year nobody has the time to walk through it. Nothing here knows what time it
//! is.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::cron::CronTrigger;

/// The longest interval: 366 days.
pub const MAX_INTERVAL_SECONDS: i64 = 366 * 24 * 3600;

/// A rule that names instants.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// Local times that match cron fields; [`super::cron`] has the rule for changes of the clock.
    Cron(Box<CronTrigger>),
    /// `anchor + n * every`, for whole n.
    Interval {
        /// Length in seconds, 1 to [`MAX_INTERVAL_SECONDS`].
        every_seconds: i64,
        /// One of the instants.
        anchor: DateTime<Utc>,
    },
    /// One instant.
    Once {
        /// The instant.
        at: DateTime<Utc>,
    },
    /// No instant: it runs when somebody asks for it.
    Manual,
}

/// Why a trigger, a preset or a policy was refused. Names the field, the value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value:?} is not usable: {problem}")]
pub struct TriggerError {
    /// The field of the schedule.
    pub field: &'static str,
    /// What it held.
    pub value: String,
    /// What is wrong with it, and what is allowed.
    pub problem: String,
}

/// Reads an IANA time zone.
pub fn parse_zone(zone: &str) -> Result<Tz, TriggerError> {
    zone.parse().map_err(|_| TriggerError {
        field: "zone",
        value: zone.to_owned(),
        problem: "it is no IANA time zone; examples: UTC, Europe/Berlin, America/New_York"
            .to_owned(),
    })
}

impl Trigger {
    /// Reads a cron expression: five fields, six with seconds first, or an alias such as `@hourly`.
    pub fn cron(expression: &str, zone: &str) -> Result<Self, TriggerError> {
        let zone = parse_zone(zone)?;
        Ok(Self::Cron(Box::new(CronTrigger::parse(expression, zone)?)))
    }

    /// An interval of whole seconds.
    pub fn interval(every_seconds: i64, anchor: DateTime<Utc>) -> Result<Self, TriggerError> {
        if !(1..=MAX_INTERVAL_SECONDS).contains(&every_seconds) {
            return Err(TriggerError {
                field: "every_seconds",
                value: every_seconds.to_string(),
                problem: format!("it must be 1 to {MAX_INTERVAL_SECONDS} seconds"),
            });
        }
        Ok(Self::Interval {
            every_seconds,
            anchor,
        })
    }

    /// The first moment later than `after`; `None` when there is none.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => at_second(cron.next(after.timestamp().checked_add(1)?)?),
            Self::Interval {
                every_seconds,
                anchor,
            } => {
                let passed = steps(*anchor, after, *every_seconds)?;
                step(*anchor, passed + 1, *every_seconds)
            }
            Self::Once { at } => Some(*at).filter(|at| *at > after),
            Self::Manual => None,
        }
    }

    /// The first moment that is not before `from`.
    pub fn next_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.next_after(from.checked_sub_signed(INSTANT)?)
    }

    /// The last moment that is not later than `to`; `None` when there is none.
    pub fn last_at_or_before(&self, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => at_second(cron.previous(to.timestamp())?),
            Self::Interval {
                every_seconds,
                anchor,
            } => step(*anchor, steps(*anchor, to, *every_seconds)?, *every_seconds),
            Self::Once { at } => Some(*at).filter(|at| *at <= to),
            Self::Manual => None,
        }
    }

    /// The last moment earlier than `before`; `None` when there is none.
    pub fn last_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.last_at_or_before(before.checked_sub_signed(INSTANT)?)
    }

    /// How many moments lie between two instants, those two included.
    pub fn count_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
        if from > to {
            return 0;
        }
        match self {
            Self::Cron(cron) => {
                let has_begun = from.timestamp_subsec_nanos() > 0;
                cron.count(
                    from.timestamp().saturating_add(i64::from(has_begun)),
                    to.timestamp(),
                )
            }
            Self::Interval {
                every_seconds,
                anchor,
            } => {
                let before_from = from
                    .checked_sub_signed(INSTANT)
                    .and_then(|before| steps(*anchor, before, *every_seconds));
                let until_to = steps(*anchor, to, *every_seconds);
                match (before_from, until_to) {
                    (Some(before), Some(until)) => u64::try_from(until - before).unwrap_or(0),
                    _ => 0,
                }
            }
            Self::Once { at } => u64::from((from..=to).contains(at)),
            Self::Manual => 0,
        }
    }
}

/// The smallest distance of two instants.
const INSTANT: TimeDelta = TimeDelta::nanoseconds(1);

fn at_second(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0)
}

/// How many whole steps from `anchor` to `until`, rounded down. `None` where instants end.
fn steps(anchor: DateTime<Utc>, until: DateTime<Utc>, every_seconds: i64) -> Option<i64> {
    let distance = until.signed_duration_since(anchor);
    // Whole seconds rounded down, which for a distance below zero is not what chrono does.
    let whole = distance.num_seconds() - i64::from(distance.subsec_nanos() < 0);
    whole.checked_div_euclid(every_seconds)
}

fn step(anchor: DateTime<Utc>, count: i64, every_seconds: i64) -> Option<DateTime<Utc>> {
    let distance = TimeDelta::try_seconds(count.checked_mul(every_seconds)?)?;
    anchor.checked_add_signed(distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn intervals_count_from_their_anchor() {
        let trigger = Trigger::interval(300, utc("2026-01-01T00:01:00Z")).expect("a trigger");
        let next = |after| trigger.next_after(utc(after)).expect("a next instant");
        assert_eq!(next("2026-01-01T00:01:00Z"), utc("2026-01-01T00:06:00Z"));
        assert_eq!(next("2026-01-01T00:05:59.5Z"), utc("2026-01-01T00:06:00Z"));
        assert_eq!(next("2025-12-31T23:00:00Z"), utc("2025-12-31T23:01:00Z"));
        let last = |to| trigger.last_at_or_before(utc(to)).expect("a last instant");
        assert_eq!(last("2026-01-01T00:05:59.5Z"), utc("2026-01-01T00:01:00Z"));
        assert_eq!(last("2025-12-31T23:00:59Z"), utc("2025-12-31T22:56:00Z"));
        let year = trigger.count_between(utc("2026-01-01T00:01:00Z"), utc("2027-01-01T00:01:00Z"));
        assert_eq!(year, 365 * 288 + 1);
    }

    #[test]
    fn once_is_once_and_manual_is_never() {
        let at = utc("2026-01-01T00:00:00.25Z");
        let (before, after) = (at - TimeDelta::hours(1), at + TimeDelta::hours(1));
        let once = Trigger::Once { at };
        assert_eq!(
            (once.next_after(before), once.next_after(at)),
            (Some(at), None)
        );
        assert_eq!(
            (once.last_at_or_before(at), once.last_before(at)),
            (Some(at), None)
        );
        assert_eq!(
            (
                once.count_between(before, after),
                once.count_between(after, after)
            ),
            (1, 0)
        );
        assert_eq!(Trigger::Manual.next_after(before), None);
        assert_eq!(Trigger::Manual.last_at_or_before(before), None);
        assert_eq!(Trigger::Manual.count_between(before, after), 0);
    }

    #[test]
    fn bad_intervals_are_refused_by_field_and_value() {
        for (every, shown) in [(0, "0"), (-5, "-5"), (MAX_INTERVAL_SECONDS + 1, "31622401")] {
            let error = Trigger::interval(every, utc("2026-01-01T00:00:00Z")).expect_err("refused");
            assert_eq!(
                (error.field, error.value.as_str()),
                ("every_seconds", shown)
            );
        }
    }

    proptest! {
        #[test]
        fn intervals_answer_all_questions_alike(
            every in 1..=MAX_INTERVAL_SECONDS, anchor in any::<i32>(), micros in 0_u32..1_000_000,
            after in any::<i32>(), nanos in 0_u32..1_000_000_000, steps in 1_i64..1000,
        ) {
            let anchor = DateTime::from_timestamp(anchor.into(), micros * 1000).expect("an instant");
            let after = DateTime::from_timestamp(after.into(), nanos).expect("an instant");
            let trigger = Trigger::interval(every, anchor).expect("a trigger");
            let next = trigger.next_after(after).expect("a moment");
            prop_assert!(next > after && next - after <= TimeDelta::seconds(every));
            prop_assert_eq!((next - anchor).num_nanoseconds().map(|distance| distance % (every * 1_000_000_000)), Some(0));
            prop_assert_eq!(trigger.last_at_or_before(next), Some(next));
            prop_assert_eq!(trigger.last_before(next), Some(next - TimeDelta::seconds(every)));
            let far = next + TimeDelta::seconds(every * steps);
            prop_assert_eq!(trigger.count_between(next, far), steps.unsigned_abs() + 1);
            prop_assert_eq!(trigger.count_between(next + INSTANT, far - INSTANT), steps.unsigned_abs() - 1);
        }

        #[test]
        fn no_interval_and_no_instant_makes_it_panic(every in 1..=MAX_INTERVAL_SECONDS, far in any::<bool>()) {
            let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
            let trigger = Trigger::interval(every, if far { last } else { first }).expect("a trigger");
            for instant in [first, DateTime::UNIX_EPOCH, last] {
                prop_assert!(trigger.next_after(instant).is_none_or(|next| next > instant));
                prop_assert!(trigger.last_at_or_before(instant).is_none_or(|last| last <= instant));
            }
            trigger.count_between(first, last);
        }
    }
}
