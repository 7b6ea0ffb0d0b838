//! Triggers: cron expressions in a time zone, and anchored intervals.
//!
//! Cron fields are matched against local wall-clock time, and each match is then placed on the time line:
//! a local time that daylight saving skips runs at the first valid instant after the gap, a local time that it repeats runs
//! once, at its first pass. The result of [`Trigger::next_after`] is always strictly later than its argument.
//!
//! The field syntax is croner's (Vixie cron with names, steps, `L`, `W`, `#`). Its own zone handling is not used: the
//! rule above is ours to keep, whatever a version of the library does.

use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// The longest interval: 366 days.
pub const MAX_INTERVAL_SECONDS: i64 = 366 * 24 * 3600;

/// A rule that names instants.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// Local times that match cron fields.
    Cron {
        /// The fields.
        cron: Box<Cron>,
        /// The zone they are read in.
        zone: Tz,
    },
    /// `anchor + n * every`, for whole n.
    Interval {
        /// Length, at least one second.
        every: Duration,
        /// One of the instants.
        anchor: DateTime<Utc>,
    },
}

/// Why a trigger was refused. Names the field, the value and what is allowed.
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
        let refused = |problem: String| TriggerError {
            field: "cron",
            value: expression.to_owned(),
            problem,
        };
        let cron = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build()
            .parse(expression)
            .map_err(|error| {
                refused(format!(
                    "{error}; allowed: minute hour day month weekday, for example \"30 2 * * 1-5\", \
                     a field for seconds before them, or @hourly, @daily, @weekly, @monthly, @yearly"
                ))
            })?;
        let trigger = Self::Cron {
            cron: Box::new(cron),
            zone,
        };
        // Any expression that can match does so within a cycle of the calendar (28 years, 40 around 2100).
        if trigger.next_after(DateTime::UNIX_EPOCH).is_none() {
            return Err(refused(
                "it never matches, such as the 30th of February".to_owned(),
            ));
        }
        Ok(trigger)
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
            every: Duration::seconds(every_seconds),
            anchor,
        })
    }

    /// The first instant later than `after`; `None` when there is none.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron { cron, zone } => next_cron(cron, *zone, after),
            Self::Interval { every, anchor } => {
                let every_ms = every.num_milliseconds().max(1);
                let passed = (after - *anchor).num_milliseconds().div_euclid(every_ms);
                let mut next = anchor
                    .checked_add_signed(Duration::milliseconds(passed.checked_mul(every_ms)?))?;
                while next <= after {
                    next = next.checked_add_signed(*every)?;
                }
                Some(next)
            }
        }
    }
}

fn next_cron(cron: &Cron, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut local = after.with_timezone(&zone).naive_local();
    loop {
        // Fields are matched on a time line without a zone, for which UTC serves.
        local = cron
            .find_next_occurrence(&local.and_utc(), false)
            .ok()?
            .naive_utc();
        let instant = place(zone, local)?;
        // Earlier than `after`: the first pass of a repeated hour whose second pass is under way.
        if instant > after {
            return Some(instant);
        }
    }
}

/// The instant of a local time: the first valid one after a gap, the first pass of a repeated time.
fn place(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) => Some(instant.with_timezone(&Utc)),
        LocalResult::Ambiguous(first, second) => Some(first.min(second).with_timezone(&Utc)),
        LocalResult::None => end_of_gap(zone, local),
    }
}

/// Bisects for the first instant whose local time is not before `local`. Gaps are at most a day long (Samoa, 2011).
fn end_of_gap(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let is_after = |instant: DateTime<Utc>| instant.with_timezone(&zone).naive_local() >= local;
    let centre = local.and_utc();
    let mut before = centre.checked_sub_signed(Duration::hours(48))?;
    let mut at = centre.checked_add_signed(Duration::hours(48))?;
    while at - before > Duration::seconds(1) {
        let middle = before + (at - before) / 2;
        if is_after(middle) {
            at = middle;
        } else {
            before = middle;
        }
    }
    DateTime::from_timestamp(at.timestamp(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn next(cron: &str, zone: &str, after: &str) -> String {
        let trigger = Trigger::cron(cron, zone).expect("a trigger");
        trigger
            .next_after(utc(after))
            .expect("a next instant")
            .to_rfc3339()
    }

    #[test]
    fn fields_are_read_in_their_zone() {
        assert_eq!(
            next("0 2 * * *", "UTC", "2026-07-01T02:00:00Z"),
            "2026-07-02T02:00:00+00:00"
        );
        assert_eq!(
            next("0 2 * * *", "Europe/Berlin", "2026-07-01T02:00:00Z"),
            "2026-07-02T00:00:00+00:00"
        );
        assert_eq!(
            next("*/5 * * * * *", "UTC", "2026-07-01T02:00:01Z"),
            "2026-07-01T02:00:05+00:00"
        );
        assert_eq!(
            next("@hourly", "UTC", "2026-07-01T02:00:01Z"),
            "2026-07-01T03:00:00+00:00"
        );
    }

    #[test]
    fn a_skipped_local_time_runs_at_the_first_valid_instant() {
        // Berlin, 29 March 2026: 02:00 CET becomes 03:00 CEST, which is 01:00 UTC.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"),
            "2026-03-29T01:00:00+00:00"
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"),
            "2026-03-30T00:30:00+00:00"
        );
        // Lord Howe moves by half an hour: 02:00 becomes 02:30 on 4 October 2026, 15:30 UTC the day before.
        assert_eq!(
            next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z"),
            "2026-10-03T15:30:00+00:00"
        );
    }

    #[test]
    fn a_repeated_local_time_runs_once() {
        // Berlin, 25 October 2026: 03:00 CEST becomes 02:00 CET, so 02:30 comes at 00:30 and 01:30 UTC.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"),
            "2026-10-25T00:30:00+00:00"
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"),
            "2026-10-26T01:30:00+00:00"
        );
    }

    #[test]
    fn intervals_count_from_their_anchor() {
        let trigger = Trigger::interval(300, utc("2026-01-01T00:01:00Z")).expect("a trigger");
        let next = |after| trigger.next_after(utc(after)).expect("a next instant");
        assert_eq!(next("2026-01-01T00:01:00Z"), utc("2026-01-01T00:06:00Z"));
        assert_eq!(next("2026-01-01T00:05:59.5Z"), utc("2026-01-01T00:06:00Z"));
        assert_eq!(next("2025-12-31T23:00:00Z"), utc("2025-12-31T23:01:00Z"));
    }

    #[test]
    fn bad_triggers_are_refused_by_field_and_value() {
        let error = Trigger::cron("61 * * * *", "UTC").expect_err("refused");
        assert_eq!((error.field, error.value.as_str()), ("cron", "61 * * * *"));
        let error = Trigger::cron("0 0 30 2 *", "UTC").expect_err("refused");
        assert!(error.problem.contains("never matches"));
        let error = Trigger::cron("0 0 * * *", "Mars/Olympus").expect_err("refused");
        assert_eq!(
            (error.field, error.value.as_str()),
            ("zone", "Mars/Olympus")
        );
        assert_eq!(
            Trigger::interval(0, utc("2026-01-01T00:00:00Z"))
                .expect_err("refused")
                .field,
            "every_seconds"
        );
    }

    proptest! {
        #[test]
        fn the_next_instant_is_strictly_later_and_nothing_lies_between(
            minute in 0_u32..60, hour in 0_u32..24, start in 1_500_000_000_i64..2_000_000_000,
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                "America/Sao_Paulo", "Asia/Kathmandu",
            ]),
        ) {
            let trigger = Trigger::cron(&format!("{minute} {hour} * * *"), zone).expect("a trigger");
            let after = DateTime::from_timestamp(start, 0).expect("an instant");
            let first = trigger.next_after(after).expect("a next instant");
            let second = trigger.next_after(first).expect("a next instant");
            prop_assert!(first > after);
            prop_assert!(first - after <= Duration::hours(26));
            prop_assert!(second - first >= Duration::hours(22) && second - first <= Duration::hours(26));
            // Asking from a moment before gives the same answer.
            prop_assert_eq!(trigger.next_after(first - Duration::seconds(1)).expect("a next instant"), first);
        }
    }
}
