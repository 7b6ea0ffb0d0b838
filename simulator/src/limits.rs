//! Call limits as data, and the rolling window that enforces them.
//!
//! A window of W ms that ends at t holds the calls that arrived in (t - W, t]: two calls exactly W apart are never in
//! the same window. The referee counts by the same rule, so "over the limit" here and "more than L in a window"
//! there can be compared. A refused call does not fill the window: whoever keeps knocking is refused again, but is
//! let in as soon as the admitted calls have aged.

use std::collections::VecDeque;

use serde::Serialize;

/// So many calls in any window of so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CallLimit {
    /// Calls that any window may hold; at least 1.
    pub calls: u32,
    /// Length of the window in milliseconds; at least 1.
    pub window_ms: u64,
    /// Value of the Retry-After header of refusals, in seconds; without it the header is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Every call alike.
    Calls,
    /// What each call costs.
    Points,
}

/// Admitted calls that came in together.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    at_us: u64,
    calls: u64,
    points: u64,
}

impl Admitted {
    fn amount(&self, counted: Counted) -> u64 {
        match counted {
            Counted::Calls => self.calls,
            Counted::Points => self.points,
        }
    }
}

/// The calls that one account was granted within the last window.
#[derive(Debug, Default)]
pub(crate) struct RollingWindow {
    admitted: VecDeque<Admitted>,
    calls: u64,
    points: u64,
}

impl RollingWindow {
    /// Admits a call that arrived at this monotonic microsecond, or says that it is over the limit.
    pub(crate) fn admit(&mut self, limit: &CallLimit, arrived_us: u64) -> bool {
        self.age(limit.window_ms, arrived_us);
        let granted = self.used(Counted::Calls) < u64::from(limit.calls);
        if granted {
            self.book(arrived_us, 1, 1);
        }
        granted
    }

    /// Forgets what has left a window of this length that ends at this monotonic microsecond.
    pub(crate) fn age(&mut self, window_ms: u64, now_us: u64) {
        let length_us = window_ms.saturating_mul(1_000);
        let now_us = self.not_before(now_us);
        while let Some(oldest) = self.admitted.front()
            && now_us - oldest.at_us >= length_us
        {
            self.calls = self.calls.saturating_sub(oldest.calls);
            self.points = self.points.saturating_sub(oldest.points);
            self.admitted.pop_front();
        }
    }

    /// Books so many admitted calls, which cost so many points together, whether or not there is room.
    pub(crate) fn book(&mut self, at_us: u64, calls: u64, points: u64) {
        let at_us = self.not_before(at_us);
        self.calls = self.calls.saturating_add(calls);
        self.points = self.points.saturating_add(points);
        self.admitted.push_back(Admitted {
            at_us,
            calls,
            points,
        });
    }

    /// How much of what is counted the window holds, as of when it was last aged.
    pub(crate) fn used(&self, counted: Counted) -> u64 {
        match counted {
            Counted::Calls => self.calls,
            Counted::Points => self.points,
        }
    }

    /// The monotonic microsecond at which the oldest call leaves; `None` when the window is empty.
    pub(crate) fn oldest_leaves_us(&self, window_ms: u64) -> Option<u64> {
        let oldest = self.admitted.front()?;
        Some(leaves_us(oldest, window_ms))
    }

    /// The monotonic microsecond from which on `more` fits, as long as nothing else is admitted; `None` when it fits
    /// as it is. What never fits is told to wait until the window is empty.
    pub(crate) fn room_from_us(
        &self,
        counted: Counted,
        most: u64,
        more: u64,
        window_ms: u64,
    ) -> Option<u64> {
        let mut used = self.used(counted);
        let mut from_us = None;
        for oldest in &self.admitted {
            if used.saturating_add(more) <= most {
                break;
            }
            used = used.saturating_sub(oldest.amount(counted));
            from_us = Some(leaves_us(oldest, window_ms));
        }
        from_us
    }

    /// Calls are stamped before they queue for this window, so neighbours may come in swapped.
    fn not_before(&self, at_us: u64) -> u64 {
        self.admitted
            .back()
            .map_or(at_us, |newest| at_us.max(newest.at_us))
    }
}

fn leaves_us(admitted: &Admitted, window_ms: u64) -> u64 {
    admitted
        .at_us
        .saturating_add(window_ms.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_A_SECOND: CallLimit = CallLimit {
        calls: 2,
        window_ms: 1_000,
        retry_after_s: None,
    };

    #[test]
    fn the_window_rolls_instead_of_starting_anew_each_second() {
        let mut window = RollingWindow::default();
        assert!(window.admit(&TWO_A_SECOND, 900_000));
        assert!(window.admit(&TWO_A_SECOND, 950_000));
        assert!(
            !window.admit(&TWO_A_SECOND, 1_100_000),
            "a calendar second would have let it in"
        );
        assert!(window.admit(&TWO_A_SECOND, 1_900_000));
        assert!(!window.admit(&TWO_A_SECOND, 1_949_999));
        assert!(window.admit(&TWO_A_SECOND, 1_950_000));
    }

    #[test]
    fn refused_calls_do_not_fill_the_window() {
        let mut window = RollingWindow::default();
        let arrivals = [0, 0, 100_000, 500_000, 999_999, 1_000_000, 1_000_001];
        let granted = arrivals.map(|at| window.admit(&TWO_A_SECOND, at));
        assert_eq!(granted, [true, true, false, false, false, true, true]);
    }

    #[test]
    fn room_is_there_when_enough_has_left() {
        let mut window = RollingWindow::default();
        window.book(0, 1, 5);
        window.book(100_000, 1, 2);
        window.book(200_000, 4, 3);
        let room = |counted, most, more| window.room_from_us(counted, most, more, 1_000);
        assert_eq!(room(Counted::Points, 12, 2), None);
        assert_eq!(room(Counted::Points, 10, 1), Some(1_000_000));
        assert_eq!(room(Counted::Points, 10, 6), Some(1_100_000));
        assert_eq!(room(Counted::Points, 10, 11), Some(1_200_000), "never fits");
        assert_eq!(room(Counted::Calls, 6, 1), Some(1_000_000));
        assert_eq!(room(Counted::Calls, 3, 1), Some(1_200_000), "overfull");
        assert_eq!(window.oldest_leaves_us(1_000), Some(1_000_000));
        window.age(1_000, 1_100_000);
        assert_eq!(window.used(Counted::Points), 3);
        assert_eq!(window.used(Counted::Calls), 4);
    }
}
