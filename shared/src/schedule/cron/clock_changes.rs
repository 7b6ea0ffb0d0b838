//! Changes of a zone's offset: daylight saving, and decrees.
//!
//! chrono-tz keeps its list of changes to itself, so it is asked for the offset once a day and a change is narrowed down from
//! there. Two changes that undo each other within a day would be overlooked; the zone database has none since 1970.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::fields::Local;

/// Seconds since 1970-01-01 00:00:00 UTC.
pub(super) type Instant = i64;

/// The furthest back that a change before an instant still matters for it: no clock has been set back by more than a day.
pub(super) const REACH: i64 = 2 * STEP;

const STEP: i64 = 86_400;

/// A change of offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// The first instant of the new offset.
    pub(super) at: Instant,
    /// Seconds east of UTC before it.
    pub(super) before: i64,
    /// Seconds east of UTC from then on.
    pub(super) after: i64,
}

impl Change {
    /// What the clock would have shown at the change, had it not been changed.
    pub(super) fn old_local(self) -> Local {
        self.at + self.before
    }

    /// What the clock shows at the change.
    pub(super) fn new_local(self) -> Local {
        self.at + self.after
    }

    /// True if local times are skipped, those from [`Self::old_local`] up to [`Self::new_local`]. Else the times from
    /// [`Self::new_local`] up to [`Self::old_local`] are repeated.
    pub(super) fn skips(self) -> bool {
        self.after > self.before
    }
}

/// Seconds east of UTC.
pub(super) fn offset_at(zone: Tz, instant: Instant) -> i64 {
    let Some(at) = DateTime::from_timestamp(instant, 0) else {
        return 0;
    };
    i64::from(
        zone.offset_from_utc_datetime(&at.naive_utc())
            .fix()
            .local_minus_utc(),
    )
}

/// The first change with `after < at <= until`.
pub(super) fn next_change(zone: Tz, after: Instant, until: Instant) -> Option<Change> {
    let mut low = after;
    let before = offset_at(zone, low);
    while low < until {
        let high = until.min(low + STEP);
        if offset_at(zone, high) != before {
            return Some(narrow(zone, low, high));
        }
        low = high;
    }
    None
}

/// The last change with `not_before < at <= until`.
pub(super) fn last_change(zone: Tz, not_before: Instant, until: Instant) -> Option<Change> {
    let mut high = until;
    let after = offset_at(zone, high);
    while high > not_before {
        let low = not_before.max(high - STEP);
        if offset_at(zone, low) != after {
            return Some(narrow(zone, low, high));
        }
        high = low;
    }
    None
}

/// Bisects for the change in `low < at <= high`, whose offsets differ.
fn narrow(zone: Tz, mut low: Instant, mut high: Instant) -> Change {
    let before = offset_at(zone, low);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset_at(zone, middle) == before {
            low = middle;
        } else {
            high = middle;
        }
    }
    Change {
        at: high,
        before,
        after: offset_at(zone, high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_AGO: Instant = 0;
    const FAR_OFF: Instant = 4_102_444_800;

    fn at(text: &str) -> Instant {
        text.parse::<DateTime<chrono::Utc>>()
            .expect("an instant")
            .timestamp()
    }

    #[test]
    fn both_changes_of_a_year_are_found_from_either_side() {
        let spring = Change {
            at: at("2026-03-29T01:00:00Z"),
            before: 3600,
            after: 7200,
        };
        let autumn = Change {
            at: at("2026-10-25T01:00:00Z"),
            before: 7200,
            after: 3600,
        };
        let berlin = Tz::Europe__Berlin;
        assert_eq!(
            next_change(berlin, at("2026-01-01T00:00:00Z"), FAR_OFF),
            Some(spring)
        );
        assert_eq!(next_change(berlin, spring.at - 1, spring.at), Some(spring));
        assert_eq!(next_change(berlin, spring.at, autumn.at - 1), None);
        assert_eq!(next_change(berlin, spring.at, FAR_OFF), Some(autumn));
        assert_eq!(
            last_change(berlin, LONG_AGO, at("2026-12-31T00:00:00Z")),
            Some(autumn)
        );
        assert_eq!(last_change(berlin, LONG_AGO, autumn.at), Some(autumn));
        assert_eq!(
            last_change(berlin, spring.at - 1, autumn.at - 1),
            Some(spring)
        );
        assert_eq!(last_change(berlin, spring.at, autumn.at - 1), None);
    }

    /// What the daily question rests on.
    #[test]
    fn no_zone_changes_twice_within_a_day() {
        const HALF: i64 = STEP / 2;
        for zone in chrono_tz::TZ_VARIANTS {
            let mut last = -REACH;
            let mut offset = offset_at(zone, 0);
            // To the year 2038, after which the rules only go on.
            for instant in (0..i64::from(i32::MAX) / HALF).map(|half| half * HALF) {
                let now = offset_at(zone, instant);
                if now != offset {
                    assert!(instant - last > STEP + HALF, "{zone} at {instant}");
                    assert!((now - offset).abs() <= STEP, "{zone} at {instant}");
                    (last, offset) = (instant, now);
                }
            }
        }
    }
}
