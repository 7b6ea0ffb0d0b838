//! Which moments of a schedule are due, and which of them fires.
//!
//! When several moments are due at once, as after an outage, the latest fires and stands in for the earlier ones, which
//! are recorded as one row: first, last, count.

use chrono::{DateTime, Utc};

use super::Trigger;

/// What is due at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Earlier moments, which the fired one stands in for: first, last, count.
    pub coalesced: Option<(DateTime<Utc>, DateTime<Utc>, u64)>,
    /// The moment that fires.
    pub fires: DateTime<Utc>,
    /// The schedule's next moment after that.
    pub next: Option<DateTime<Utc>>,
}

/// Divides what is due between `next_at`, a moment of the trigger, and `now`.
pub fn due_moments(trigger: &Trigger, next_at: DateTime<Utc>, now: DateTime<Utc>) -> Due {
    let mut passed = 0_u64;
    let mut last_passed = next_at;
    let mut fires = next_at;
    let mut next = trigger.next_after(fires);
    while let Some(moment) = next
        && moment <= now
    {
        passed += 1;
        last_passed = fires;
        fires = moment;
        next = trigger.next_after(moment);
    }
    let coalesced = (passed > 0).then_some((next_at, last_passed, passed));
    Due {
        coalesced,
        fires,
        next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_moment_on_time_fires_alone() {
        let trigger = Trigger::cron("0 * * * *", "UTC").expect("a trigger");
        let due = due_moments(
            &trigger,
            utc("2026-01-01T05:00:00Z"),
            utc("2026-01-01T05:00:01Z"),
        );
        assert_eq!(due.coalesced, None);
        assert_eq!(due.fires, utc("2026-01-01T05:00:00Z"));
        assert_eq!(due.next, Some(utc("2026-01-01T06:00:00Z")));
    }

    #[test]
    fn after_an_outage_the_latest_fires_and_the_rest_are_one_gap() {
        let trigger = Trigger::cron("0 * * * *", "UTC").expect("a trigger");
        let due = due_moments(
            &trigger,
            utc("2026-01-01T05:00:00Z"),
            utc("2026-01-01T09:30:00Z"),
        );
        assert_eq!(
            due.coalesced,
            Some((utc("2026-01-01T05:00:00Z"), utc("2026-01-01T08:00:00Z"), 4))
        );
        assert_eq!(due.fires, utc("2026-01-01T09:00:00Z"));
        assert_eq!(due.next, Some(utc("2026-01-01T10:00:00Z")));
    }
}
