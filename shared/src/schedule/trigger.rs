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
