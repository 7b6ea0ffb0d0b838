//! The next ticks, as the form and a schedule's page show them.

use chrono::{DateTime, FixedOffset, Utc};

use crate::handlers::schedules::preview::PreviewTick;
use crate::pages::moment::Moment;

/// A tick to come.
#[derive(Debug)]
pub(super) struct NextTick {
    /// On the schedule's own clock.
    pub local: String,
    pub at: Moment,
    /// What the clocks do there.
    pub note: Option<String>,
}

impl NextTick {
    /// Those of a preview, as seen at `now`.
    pub(super) fn all(ticks: Vec<PreviewTick>, now: DateTime<Utc>) -> Vec<Self> {
        ticks.into_iter().map(|tick| Self::new(tick, now)).collect()
    }

    fn new(tick: PreviewTick, now: DateTime<Utc>) -> Self {
        Self {
            note: tick.note,
            ..Self::at(&tick.local, tick.at, now)
        }
    }

    /// The tick at `at`, which its schedule's clock shows as `local` (RFC 3339).
    pub(super) fn at(local: &str, at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            local: DateTime::parse_from_rfc3339(local).map_or(local.to_owned(), on_its_clock),
            at: Moment::new(at, now),
            note: None,
        }
    }
}

/// `Sat 1 Aug 2026, 02:00 +02:00`.
fn on_its_clock(local: DateTime<FixedOffset>) -> String {
    let form = if local.format("%S").to_string() == "00" {
        "%a %-d %b %Y, %H:%M %:z"
    } else {
        "%a %-d %b %Y, %H:%M:%S %:z"
    };
    local.format(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_shown_where_there_are_some() {
        let show = |text: &str| on_its_clock(text.parse().unwrap());
        assert_eq!(
            show("2026-08-01T02:00:00+02:00"),
            "Sat 1 Aug 2026, 02:00 +02:00"
        );
        assert_eq!(
            show("2026-08-01T02:00:10Z"),
            "Sat 1 Aug 2026, 02:00:10 +00:00"
        );
    }
}
