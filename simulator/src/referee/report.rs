//! What the referee answers: the fullest windows of a key, and its calls at length or in short.

use serde::Serialize;

use super::{Answer, CallRecord, KeyTotals, Referee};

/// The window of a key's timeline that holds most calls.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MostCalls {
    window_ms: u64,
    calls: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_us: Option<u64>,
    /// False when the timeline has lost calls of this key: the true maximum may be higher.
    pub(super) exact: bool,
}

/// The window of a key's timeline that holds most points.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MostPoints {
    window_ms: u64,
    points: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_us: Option<u64>,
    exact: bool,
}

/// Both for one length of window; they need not be the same stretch of time.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FullestWindows {
    window_ms: u64,
    calls: u64,
    points: u64,
    /// First call of the window that holds most calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_us: Option<u64>,
    /// First call of the window that holds most points.
    #[serde(skip_serializing_if = "Option::is_none")]
    points_from_us: Option<u64>,
    exact: bool,
}

/// Everything the referee knows about one key.
#[derive(Debug, Serialize)]
pub(crate) struct KeyReport {
    key: String,
    #[serde(flatten)]
    pub(super) totals: KeyTotals,
    /// For the first length of window that was asked for.
    pub(super) max_in_window: MostCalls,
    /// Likewise.
    max_points_in_window: MostPoints,
    /// For each length of window that was asked for, in that order.
    windows: Vec<FullestWindows>,
    pub(super) timeline: Vec<CallRecord>,
}

/// A call in short: arrival, points, answer, and when it was answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Arrival(u64, u32, Answer, Option<u64>);

/// The calls of a key that the timeline holds, in short.
#[derive(Debug, Serialize)]
pub(crate) struct CallsInShort {
    key: String,
    /// Now, on the clock of the arrivals.
    now_us: u64,
    /// False when the timeline has lost calls of this key.
    pub(super) exact: bool,
    pub(super) arrivals: Vec<Arrival>,
}

impl Referee {
    /// Counts, fullest rolling windows of these lengths and the newest `newest` calls of a key; a key never seen has
    /// zero calls. Without a length it is a second.
    pub(crate) fn report(&self, key: &str, windows_ms: &[u64], newest: usize) -> KeyReport {
        let book = self.book();
        let totals = book.totals_of(key);
        let exact = totals.timeline_dropped == 0;
        let calls: Vec<&CallRecord> = book.calls_of(key).collect();
        let skipped = calls.len().saturating_sub(newest);
        let timeline = calls.iter().skip(skipped).copied().cloned().collect();
        let by_calls: Vec<_> = calls.iter().map(|call| (call.at_us, 1)).collect();
        let by_points: Vec<_> = calls
            .iter()
            .map(|call| (call.at_us, u64::from(call.points)))
            .collect();
        drop(book);
        let window = |window_ms: u64| {
            let (calls, from_us) = fullest_window(&by_calls, window_ms);
            let (points, points_from_us) = fullest_window(&by_points, window_ms);
            FullestWindows {
                window_ms,
                calls,
                points,
                from_us,
                points_from_us,
                exact,
            }
        };
        let mut windows: Vec<_> = windows_ms.iter().map(|length| window(*length)).collect();
        if windows.is_empty() {
            windows.push(window(1_000));
        }
        let first = &windows[0];
        KeyReport {
            key: key.to_owned(),
            totals,
            max_in_window: MostCalls {
                window_ms: first.window_ms,
                calls: first.calls,
                from_us: first.from_us,
                exact,
            },
            max_points_in_window: MostPoints {
                window_ms: first.window_ms,
                points: first.points,
                from_us: first.points_from_us,
                exact,
            },
            windows,
            timeline,
        }
    }

    /// The calls of a key that came in at this monotonic microsecond or later, in short.
    pub(crate) fn arrivals(&self, key: &str, from_us: u64) -> CallsInShort {
        let book = self.book();
        let arrivals = book
            .calls_of(key)
            .filter(|call| call.at_us >= from_us)
            .map(|call| Arrival(call.at_us, call.points, call.status, call.answered_us))
            .collect();
        CallsInShort {
            key: key.to_owned(),
            now_us: self.clock.now().monotonic_us,
            exact: book.totals_of(key).timeline_dropped == 0,
            arrivals,
        }
    }
}

/// How much the fullest window of this length holds of these arrivals (ascending microseconds, each with what it adds),
/// and its first arrival.
fn fullest_window(arrivals: &[(u64, u64)], window_ms: u64) -> (u64, Option<u64>) {
    let length_us = window_ms.saturating_mul(1_000);
    let (mut fullest, mut from_us) = (0, None);
    let (mut oldest, mut held) = (0, 0);
    for (newest, (at, amount)) in arrivals.iter().enumerate() {
        held += amount;
        while at - arrivals[oldest].0 >= length_us && oldest < newest {
            held -= arrivals[oldest].1;
            oldest += 1;
        }
        if held > fullest {
            (fullest, from_us) = (held, Some(arrivals[oldest].0));
        }
    }
    (fullest, from_us)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::testing::ManualClock;

    fn arrivals(ms: &[u64]) -> Vec<(u64, u64)> {
        ms.iter().map(|at| (at * 1_000, 1)).collect()
    }

    #[test]
    fn the_fullest_window_is_found_wherever_it_begins() {
        let many = arrivals(&[0, 900, 950, 1_000, 1_899, 1_900, 5_000]);
        assert_eq!(fullest_window(&many, 1_000), (4, Some(900_000)));
        let three = arrivals(&[0, 1_000, 2_000]);
        assert_eq!(fullest_window(&three, 1_000).0, 1);
        assert_eq!(fullest_window(&three, 1_001).0, 2);
        assert_eq!(fullest_window(&[], 1_000), (0, None));
        let weighty = [(0, 1), (1_000, 1), (2_000, 1), (3_000_000, 7)];
        assert_eq!(fullest_window(&weighty, 1_000), (7, Some(3_000_000)));
    }

    #[test]
    fn the_fullest_window_agrees_with_counting_by_hand() {
        let mut draw = crate::seeded::Draw::keyed(&[3]);
        let mut at = 0;
        let arrivals: Vec<(u64, u64)> = (0..500)
            .map(|_| {
                at += draw.below(40_000);
                (at, draw.below(5))
            })
            .collect();
        let by_hand = arrivals
            .iter()
            .map(|(from, _)| {
                arrivals
                    .iter()
                    .filter(|(at, _)| at >= from && *at < from + 100_000)
                    .map(|(_, amount)| amount)
                    .sum()
            })
            .max();
        assert_eq!(by_hand, Some(fullest_window(&arrivals, 100).0));
    }

    #[test]
    fn points_are_counted_beside_calls_for_each_length_of_window() {
        let clock = Arc::new(ManualClock::new());
        let referee = Arc::new(Referee::new(Arc::clone(&clock) as _, 10));
        for points in [1, 1, 5] {
            let call = referee.arrive("feed/one", points, None, None);
            clock.advance_ms(600);
            call.answer(Answer::Status(200));
        }
        let report = referee.report("feed/one", &[1_000, 500], 1);
        assert_eq!(report.totals.total_points, 7);
        let shown = serde_json::to_value(&report).unwrap();
        assert_eq!(
            shown["windows"],
            serde_json::json!([
                {"window_ms": 1_000, "calls": 2, "points": 6, "from_us": 0, "points_from_us": 600_000, "exact": true},
                {"window_ms": 500, "calls": 1, "points": 5, "from_us": 0, "points_from_us": 1_200_000, "exact": true},
            ])
        );
        assert_eq!(
            shown["max_points_in_window"],
            serde_json::json!({"window_ms": 1_000, "points": 6, "from_us": 600_000, "exact": true})
        );
        assert_eq!(shown["timeline"][0]["answered_us"], 1_800_000);
        assert_eq!(
            serde_json::to_value(referee.arrivals("feed/one", 600_000)).unwrap(),
            serde_json::json!({
                "key": "feed/one",
                "now_us": 1_800_000,
                "exact": true,
                "arrivals": [[600_000, 1, 200, 1_200_000], [1_200_000, 5, 200, 1_800_000]],
            })
        );
    }
}
