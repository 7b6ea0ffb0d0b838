//! The limits on the calls of one account, and what it has had of them.
//!
//! A call is admitted when all limits have room for it, and then counts in all windows; a refused one counts in none. A
//! window belongs to its length, not to the number that limits it: that number can change without anything being
//! forgotten, and limits of the same length share a window.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::control::input::{Fields, InputError};
use crate::limits::{Counted, RollingWindow};

pub(super) const LONGEST_MS: u64 = 86_400_000;
pub(super) const MOST_CALLS: u64 = 1_000_000;
/// What one is told to wait who has too many calls in flight, when nobody knows when one of them ends.
const WAIT_FOR_AN_ANSWER_US: u64 = 1_000_000;

/// One limit on the calls of each account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedLimit {
    /// So much in any window.
    Window(WindowLimit),
    /// So many admitted calls in flight together.
    AtOnce(u32),
}

/// So many calls or points in any window of so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimit {
    /// Whether calls or points are limited.
    pub counts: Counted,
    /// Calls or points that any window may hold.
    pub most: u32,
    /// Length of the window in milliseconds.
    pub window_ms: u64,
    /// Seconds that refusals tell to wait; without it until there is room.
    pub retry_after_s: Option<u32>,
}

impl Serialize for FeedLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::AtOnce(calls) => map.serialize_entry("at_once", calls)?,
            Self::Window(window) => {
                let name = match window.counts {
                    Counted::Calls => "calls",
                    Counted::Points => "points",
                };
                map.serialize_entry(name, &window.most)?;
                map.serialize_entry("window_ms", &window.window_ms)?;
                if let Some(seconds) = window.retry_after_s {
                    map.serialize_entry("retry_after_s", &seconds)?;
                }
            }
        }
        map.end()
    }
}

impl FeedLimit {
    /// Reads `{calls | points, window_ms, retry_after_s?}` or `{at_once}`.
    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, InputError> {
        let to_u32 = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let calls = fields.number("calls", 1..=MOST_CALLS)?;
        let points = fields.number("points", 1..=MOST_CALLS)?;
        let at_once = fields.number("at_once", 1..=MOST_CALLS)?;
        let (counts, most) = match (calls, points, at_once) {
            (Some(calls), None, None) => (Counted::Calls, to_u32(calls)),
            (None, Some(points), None) => (Counted::Points, to_u32(points)),
            (None, None, Some(calls)) => {
                fields.finish()?;
                return Ok(Self::AtOnce(to_u32(calls)));
            }
            _ => return Err(fields.refused("exactly one of calls, points, at_once")),
        };
        let window_ms = fields.required_number("window_ms", 1..=LONGEST_MS)?;
        let retry_after_s = fields.number("retry_after_s", 0..=86_400)?.map(to_u32);
        fields.finish()?;
        Ok(Self::Window(WindowLimit {
            counts,
            most,
            window_ms,
            retry_after_s,
        }))
    }
}

/// The first window limit in the order of the settings: the one that usage is told of.
pub(super) fn first_window(limits: &[FeedLimit]) -> Option<&WindowLimit> {
    windows(limits).next()
}

fn windows(limits: &[FeedLimit]) -> impl Iterator<Item = &WindowLimit> {
    limits.iter().filter_map(|limit| match limit {
        FeedLimit::Window(window) => Some(window),
        FeedLimit::AtOnce(_) => None,
    })
}

/// How much of a window limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// Calls or points, as the limit counts.
    pub(super) used: u64,
    pub(super) limit: u64,
    /// Microseconds until a call of the same points fits; 0 when it fits now.
    pub(super) room_in_us: u64,
    /// Microseconds until the window gets emptier, or has room if it has none; 0 when it is empty.
    pub(super) resets_in_us: u64,
}

/// What one account was granted.
#[derive(Debug, Default)]
pub(super) struct Granted {
    /// By their length in milliseconds.
    windows: BTreeMap<u64, RollingWindow>,
    /// Admitted calls that are not answered yet.
    in_flight: u32,
}

impl Granted {
    /// Admits a call of so many points, which is in flight then; or tells for how many microseconds to wait.
    pub(super) fn admit(
        &mut self,
        limits: &[FeedLimit],
        points: u32,
        now_us: u64,
    ) -> Result<(), u64> {
        let refusals = limits.iter().filter_map(|limit| match limit {
            FeedLimit::AtOnce(most) => (self.in_flight >= *most).then_some(WAIT_FOR_AN_ANSWER_US),
            FeedLimit::Window(limit) => {
                let room_in_us = self.used(limit, points, now_us).room_in_us;
                let told_us = limit
                    .retry_after_s
                    .map_or(room_in_us, |seconds| u64::from(seconds) * 1_000_000);
                (room_in_us > 0).then_some(told_us)
            }
        });
        if let Some(wait_us) = refusals.max() {
            return Err(wait_us);
        }
        self.book(limits, 1, u64::from(points), now_us);
        self.in_flight += 1;
        Ok(())
    }

    /// Books calls in all windows, whether or not there is room.
    pub(super) fn book(&mut self, limits: &[FeedLimit], calls: u64, points: u64, now_us: u64) {
        let mut lengths: Vec<u64> = windows(limits).map(|limit| limit.window_ms).collect();
        lengths.sort_unstable();
        lengths.dedup();
        for window_ms in lengths {
            let window = self.windows.entry(window_ms).or_default();
            window.age(window_ms, now_us);
            window.book(now_us, calls, points);
        }
    }

    /// An admitted call was answered, or its client went away.
    pub(super) fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Forgets the windows of lengths that no limit has.
    pub(super) fn keep(&mut self, limits: &[FeedLimit]) {
        self.windows
            .retain(|length, _| windows(limits).any(|limit| limit.window_ms == *length));
    }

    /// How much of a limit is used, for who wants to make one more call of so many points.
    pub(super) fn used(&mut self, limit: &WindowLimit, points: u32, now_us: u64) -> Usage {
        let (counted, window_ms) = (limit.counts, limit.window_ms);
        let more = match counted {
            Counted::Calls => 1,
            Counted::Points => u64::from(points),
        };
        let most = u64::from(limit.most);
        let window = self.windows.entry(window_ms).or_default();
        window.age(window_ms, now_us);
        let used = window.used(counted);
        // An empty window has no call to wait for: what never fits is told to wait for its length.
        let room_from_us = window
            .room_from_us(counted, most, more, window_ms)
            .or_else(|| {
                let leaves_us = now_us.saturating_add(window_ms.saturating_mul(1_000));
                (used.saturating_add(more) > most).then_some(leaves_us)
            });
        let resets_us = room_from_us.or_else(|| window.oldest_leaves_us(window_ms));
        let from_now = |at_us: Option<u64>| at_us.map_or(0, |at_us| at_us.saturating_sub(now_us));
        Usage {
            used,
            limit: most,
            room_in_us: from_now(room_from_us),
            resets_in_us: from_now(resets_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const S: u64 = 1_000_000;

    fn limits(json: &Value) -> Vec<FeedLimit> {
        let json = json!({ "limits": json });
        let mut fields = Fields::of(&json, "").unwrap();
        let all = fields.objects("limits", 16).unwrap().unwrap();
        all.into_iter()
            .map(|limit| FeedLimit::read(limit).unwrap())
            .collect()
    }

    #[test]
    fn all_limits_must_have_room_and_the_longest_wait_is_told() {
        let limits = limits(&json!([
            {"calls": 2, "window_ms": 1_000},
            {"points": 10, "window_ms": 60_000},
        ]));
        let mut granted = Granted::default();
        assert_eq!(granted.admit(&limits, 4, 0), Ok(()));
        assert_eq!(granted.admit(&limits, 4, S / 4), Ok(()));
        assert_eq!(granted.admit(&limits, 2, S / 2), Err(S / 2), "calls");
        assert_eq!(
            granted.admit(&limits, 3, S / 2),
            Err(60 * S - S / 2),
            "both"
        );
        assert_eq!(granted.admit(&limits, 2, S), Ok(()));
        assert_eq!(granted.admit(&limits, 1, 59 * S), Err(S), "points");
        assert_eq!(
            granted.admit(&limits, 11, 61 * S),
            Err(60 * S),
            "never fits"
        );
    }

    #[test]
    fn calls_in_flight_are_limited_until_they_leave() {
        let limits = limits(&json!([{"at_once": 2}]));
        let mut granted = Granted::default();
        assert_eq!(granted.admit(&limits, 1, 0), Ok(()));
        assert_eq!(granted.admit(&limits, 1, 0), Ok(()));
        assert_eq!(granted.admit(&limits, 1, 0), Err(S));
        granted.leave();
        assert_eq!(granted.admit(&limits, 1, 0), Ok(()));
    }

    #[test]
    fn another_number_forgets_nothing_but_another_length_does() {
        let four = limits(&json!([{"calls": 4, "window_ms": 1_000}]));
        let two = limits(&json!([{"calls": 2, "window_ms": 1_000, "retry_after_s": 7}]));
        let longer = limits(&json!([{"calls": 2, "window_ms": 2_000}]));
        let mut granted = Granted::default();
        for at in [0, 100_000, 200_000] {
            assert_eq!(granted.admit(&four, 1, at), Ok(()));
        }
        granted.keep(&two);
        assert_eq!(granted.admit(&two, 1, 200_000), Err(7 * S));
        let FeedLimit::Window(limit) = two[0] else {
            unreachable!("it has a window")
        };
        let used = granted.used(&limit, 1, 200_000);
        assert_eq!((used.used, used.limit), (3, 2));
        assert_eq!(used.room_in_us, 900_000, "two must leave");
        assert_eq!(granted.admit(&two, 1, 1_100_000), Ok(()));
        granted.keep(&longer);
        assert_eq!(granted.admit(&longer, 1, 1_100_000), Ok(()));
        assert_eq!(granted.admit(&longer, 1, 1_100_000), Ok(()));
        assert_eq!(granted.admit(&longer, 1, 1_100_000), Err(2 * S));
    }

    #[test]
    fn a_limit_counts_exactly_one_thing() {
        let refused = |json: Value| {
            let error = FeedLimit::read(Fields::of(&json, "limits[1]").unwrap()).unwrap_err();
            error.field
        };
        assert_eq!(refused(json!({"window_ms": 5})), "limits[1]");
        let both = json!({"calls": 1, "points": 1, "window_ms": 5});
        assert_eq!(refused(both), "limits[1]");
        assert_eq!(refused(json!({"calls": 1})), "limits[1].window_ms");
        let mixed = json!({"at_once": 1, "window_ms": 5});
        assert_eq!(refused(mixed), "limits[1].window_ms");
        assert_eq!(refused(json!({"at_once": 0})), "limits[1].at_once");
    }
}
