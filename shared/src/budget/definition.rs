//! What a budget allows.

use std::time::Duration;

/// Slots of a window: the coarser, the less is stored, and the later a charge is forgotten.
const SLOTS: i64 = 50;
/// The guard, as a fraction of a rolling window: `1 / GUARD`.
const GUARD: i64 = 20;
/// Of counters that the platform resets the guard is no longer than this: only the clocks and the way differ.
const LONGEST_RESET_GUARD_MS: i64 = 10_000;
/// Nor shorter than this: resets are told in whole seconds.
const SHORTEST_RESET_GUARD_MS: i64 = 2_000;
/// In shorter windows resets are not believed (`syncline.correct_budget`).
const SHORTEST_RESET_MS: i64 = 10_000;
/// The guard around midnight of a calendar.
const CALENDAR_GUARD_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// A platform's limits for one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetDefinition {
    /// The platform.
    pub platform: String,
    /// The budget's name in the manifest.
    pub name: String,
    /// Whose budget it is: the account part of its key.
    pub scope: String,
    /// All of them hold. No two are of one kind and length.
    pub windows: Vec<BudgetWindow>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetWindow {
    /// What is counted.
    pub kind: BudgetWindowKind,
    /// Points, or requests at once; at least 1.
    pub limit: u32,
}

/// What a limit counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BudgetWindowKind {
    /// Points in any stretch of time of this length.
    Rolling(Duration),
    /// Points between two resets of the platform's counter, this far apart. Where the platform has not told when they are, it is
    /// taken for a rolling window.
    Fixed(Duration),
    /// Points of a day in this time zone (IANA name).
    Day(String),
    /// Points of a month in this time zone (IANA name).
    Month(String),
    /// Requests that are under way, whatever they cost.
    Concurrent,
}

impl BudgetDefinition {
    /// `platform/name/scope`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.platform, self.name, self.scope)
    }

    /// The shortest window of time.
    pub fn shortest(&self) -> Option<Duration> {
        self.windows
            .iter()
            .filter_map(|window| window.kind.length())
            .min()
    }

    /// True if one of its windows counts requests that are under way.
    pub fn counts_concurrency(&self) -> bool {
        self.windows
            .iter()
            .any(|window| window.kind == BudgetWindowKind::Concurrent)
    }
}

impl BudgetWindowKind {
    /// The length of a window of time; of a month the longest.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Self::Rolling(per) | Self::Fixed(per) => Some(*per),
            Self::Day(_) => Some(Duration::from_hours(24)),
            Self::Month(_) => Some(Duration::from_hours(24 * 31)),
            Self::Concurrent => None,
        }
    }

    /// Kind and length as one word, by which a window of a budget is known.
    pub fn word(&self) -> String {
        match self {
            Self::Rolling(per) => format!("rolling {}ms", whole_ms(*per)),
            Self::Fixed(per) => format!("fixed {}ms", whole_ms(*per)),
            Self::Day(zone) => format!("day {zone}"),
            Self::Month(zone) => format!("month {zone}"),
            Self::Concurrent => "concurrent".to_owned(),
        }
    }

    /// The kind, as it is stored.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rolling(_) => "rolling",
            Self::Fixed(_) => "fixed",
            Self::Day(_) => "day",
            Self::Month(_) => "month",
            Self::Concurrent => "concurrent",
        }
    }

    /// The zone of a calendar.
    pub(crate) fn zone(&self) -> Option<String> {
        match self {
            Self::Day(zone) | Self::Month(zone) => Some(zone.clone()),
            Self::Rolling(_) | Self::Fixed(_) | Self::Concurrent => None,
        }
    }

    /// The length in milliseconds; 0 without one.
    pub(crate) fn per_ms(&self) -> i64 {
        self.length().map_or(0, whole_ms)
    }

    /// For how many milliseconds longer than the window a charge counts.
    pub(crate) fn guard_ms(&self) -> i64 {
        let part = self.per_ms() / GUARD + 1;
        match self {
            Self::Rolling(_) => part,
            Self::Fixed(per) if whole_ms(*per) < SHORTEST_RESET_MS => part,
            Self::Fixed(_) => part.clamp(SHORTEST_RESET_GUARD_MS, LONGEST_RESET_GUARD_MS),
            Self::Day(_) | Self::Month(_) => CALENDAR_GUARD_MS,
            Self::Concurrent => 0,
        }
    }

    /// The length of a slot in milliseconds.
    pub(crate) fn slot_ms(&self) -> i64 {
        match self {
            Self::Rolling(per) | Self::Fixed(per) => (whole_ms(*per) / SLOTS).max(1),
            Self::Day(_) => DAY_MS / 48,
            Self::Month(_) => DAY_MS,
            Self::Concurrent => 1,
        }
    }
}

/// Milliseconds, rounded up, at least one.
fn whole_ms(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(1_000_000))
        .unwrap_or(i64::MAX / 4)
        .clamp(1, i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_known_by_kind_and_length() {
        let window = |kind, limit| BudgetWindow { kind, limit };
        let definition = BudgetDefinition {
            platform: "g2a".to_owned(),
            name: "export".to_owned(),
            scope: "abc".to_owned(),
            windows: vec![
                window(BudgetWindowKind::Rolling(Duration::from_secs(1)), 10),
                window(BudgetWindowKind::Day("Europe/Berlin".to_owned()), 200),
                window(BudgetWindowKind::Concurrent, 4),
            ],
        };
        assert_eq!(definition.key(), "g2a/export/abc");
        let words: Vec<_> = definition
            .windows
            .iter()
            .map(|window| window.kind.word())
            .collect();
        assert_eq!(words, ["rolling 1000ms", "day Europe/Berlin", "concurrent"]);
        assert_eq!(definition.shortest(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_charge_counts_for_the_window_and_its_guard() {
        let second = BudgetWindowKind::Rolling(Duration::from_secs(1));
        assert_eq!((second.guard_ms(), second.slot_ms()), (51, 20));
        let quarter = BudgetWindowKind::Fixed(Duration::from_mins(15));
        assert_eq!((quarter.guard_ms(), quarter.slot_ms()), (10_000, 18_000));
        let guard_of = |seconds| BudgetWindowKind::Fixed(Duration::from_secs(seconds)).guard_ms();
        assert_eq!(
            (guard_of(9), guard_of(10), guard_of(60)),
            (451, 2_000, 3_001)
        );
    }
}
