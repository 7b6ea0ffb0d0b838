//! Limits that people set in place of a manifest's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{BudgetWindow, BudgetWindowKind};

/// Limits by the name of the budget, as a platform or a connection has them: `{"requests": {"limit": 100, "per_seconds": 1}}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits(pub BTreeMap<String, Limit>);

/// The limits of one budget. What is given replaces all windows of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// One window.
    One(LimitWindow),
    /// Several windows, all of which hold.
    Several {
        /// None: the budget has no limit.
        windows: Vec<LimitWindow>,
        /// So many percent of each window are kept for runs that a person started; the manifest's without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manual_reserve_percent: Option<u8>,
    },
}

/// At most so many points in a window. Exactly one of `per_seconds`, `per` and `at_once` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitWindow {
    /// Points, at least 1.
    pub limit: u32,
    /// In any so many seconds.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_seconds"
    )]
    pub per_seconds: Option<f64>,
    /// True: so many seconds lie between two resets of the platform's counter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
    /// In each `day` or `month` of the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<CalendarUnit>,
    /// The zone of the calendar; UTC without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// True: of requests that are under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
}

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    /// From midnight to midnight.
    Day,
    /// From the first to the first.
    Month,
}

impl Limits {
    /// Reads stored limits; what cannot be read, because a later release wrote it, is left out.
    pub fn read(stored: &Value) -> Self {
        let members = stored.as_object().into_iter().flatten();
        Self(
            members
                .filter_map(|(name, limit)| Some((name.clone(), Limit::deserialize(limit).ok()?)))
                .collect(),
        )
    }
}

impl Limit {
    /// Its windows.
    pub fn windows(&self) -> Vec<BudgetWindow> {
        match self {
            Self::One(window) => window.window().into_iter().collect(),
            Self::Several { windows, .. } => {
                windows.iter().filter_map(LimitWindow::window).collect()
            }
        }
    }

    /// The percentage that is kept for runs that a person started, if it says so.
    pub fn manual_reserve_percent(&self) -> Option<u8> {
        match self {
            Self::One(_) => None,
            Self::Several {
                manual_reserve_percent,
                ..
            } => *manual_reserve_percent,
        }
    }
}

impl LimitWindow {
    /// The window, if it says one.
    pub fn window(&self) -> Option<BudgetWindow> {
        let zone = || self.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
        let kind = match (self.per_seconds, self.per, self.at_once) {
            (Some(seconds), None, false) => {
                let per = Duration::try_from_secs_f64(seconds).ok()?;
                if self.fixed {
                    BudgetWindowKind::Fixed(per)
                } else {
                    BudgetWindowKind::Rolling(per)
                }
            }
            (None, Some(CalendarUnit::Day), false) => BudgetWindowKind::Day(zone()),
            (None, Some(CalendarUnit::Month), false) => BudgetWindowKind::Month(zone()),
            (None, None, true) => BudgetWindowKind::Concurrent,
            _ => return None,
        };
        let limit = self.limit.max(1);
        Some(BudgetWindow { kind, limit })
    }
}

/// Whole seconds are written as whole numbers, as people write them.
#[expect(
    clippy::ref_option,
    clippy::cast_possible_truncation,
    reason = "serde gives a reference to the field; only whole numbers within 53 bits are cast"
)]
fn write_seconds<S: Serializer>(seconds: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    match seconds {
        Some(seconds) if seconds.fract() == 0.0 && seconds.abs() < 9e15 => {
            to.serialize_i64(*seconds as i64)
        }
        other => other.serialize(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(limit: &Limit) -> Vec<String> {
        let word = |window: BudgetWindow| format!("{} {}", window.limit, window.kind.word());
        limit.windows().into_iter().map(word).collect()
    }

    #[test]
    fn one_window_and_several_are_read_in_the_form_in_which_they_are_written() {
        let stored = json!({
            "requests": {"limit": 100, "per_seconds": 0.5},
            "reports": {"limit": 5, "per_seconds": 60, "fixed": true},
            "operations": {
                "windows": [
                    {"limit": 15_000, "per": "day", "time_zone": "America/Los_Angeles"},
                    {"limit": 4, "at_once": true},
                ],
                "manual_reserve_percent": 10,
            },
        });
        let limits = Limits::read(&stored);
        assert_eq!(words(&limits.0["requests"]), ["100 rolling 500ms"]);
        assert_eq!(words(&limits.0["reports"]), ["5 fixed 60000ms"]);
        assert_eq!(
            words(&limits.0["operations"]),
            ["15000 day America/Los_Angeles", "4 concurrent"]
        );
        assert_eq!(limits.0["operations"].manual_reserve_percent(), Some(10));
        assert_eq!(serde_json::to_value(&limits).ok(), Some(stored));
    }

    #[test]
    fn no_window_is_no_limit() {
        let limits = Limits::read(&json!({"requests": {"windows": []}}));
        assert_eq!(limits.0["requests"].windows(), []);
    }

    #[test]
    fn what_a_later_release_wrote_is_left_out() {
        let limits = Limits::read(&json!({"a": {"limit": 1, "per_moons": 1}, "b": 7}));
        assert_eq!(limits, Limits::default());
    }
}
