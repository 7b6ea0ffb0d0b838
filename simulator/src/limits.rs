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

/// The calls that one account was granted within the last window.
#[derive(Debug, Default)]
pub(crate) struct RollingWindow {
    admitted_us: VecDeque<u64>,
}

impl RollingWindow {
    /// Admits a call that arrived at this monotonic microsecond, or says that it is over the limit.
    pub(crate) fn admit(&mut self, limit: &CallLimit, arrived_us: u64) -> bool {
        // Calls are stamped before they queue for this window, so neighbours may come in swapped.
        let arrived_us = self
            .admitted_us
            .back()
            .map_or(arrived_us, |last| arrived_us.max(*last));
        let window_us = limit.window_ms.saturating_mul(1_000);
        while self
            .admitted_us
            .front()
            .is_some_and(|at| arrived_us - at >= window_us)
        {
            self.admitted_us.pop_front();
        }
        let calls = usize::try_from(limit.calls).unwrap_or(usize::MAX);
        let granted = self.admitted_us.len() < calls;
        if granted {
            self.admitted_us.push_back(arrived_us);
        }
        granted
    }
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
}
