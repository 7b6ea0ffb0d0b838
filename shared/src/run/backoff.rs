//! How long a failed run waits before it is tried again.
//!
//! Exponential with full jitter: a uniform draw between zero and `base * factor^(failures - 1)`, capped. Full jitter spreads
//! the retries of many runs that failed together, where a fixed or narrowly jittered wait would bring them back together
//! (Brooker, "Exponential Backoff And Jitter", 2015). A floor keeps a draw near zero from hammering.

use std::time::Duration;

/// A backoff policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub base: Duration,
    /// What each further failure multiplies the bound by.
    pub factor: f64,
    /// No bound is higher.
    pub cap: Duration,
    /// The part of the wait that is drawn at random: 1 is full jitter, 0 none.
    pub jitter: f64,
    /// No wait is shorter.
    pub floor: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(5),
            factor: 2.0,
            cap: Duration::from_mins(10),
            jitter: 1.0,
            floor: Duration::from_millis(250),
        }
    }
}

impl Backoff {
    /// The wait after the given number of failures (1 after the first). `draw` is uniform in [0, 1).
    pub fn wait(&self, failures: u32, draw: f64) -> Duration {
        let exponent = failures.saturating_sub(1).min(64);
        let bound = self.base.as_secs_f64() * self.factor.powi(exponent.cast_signed());
        let bound = bound.min(self.cap.as_secs_f64());
        let drawn = 1.0 - self.jitter * (1.0 - draw.clamp(0.0, 1.0));
        Duration::from_secs_f64(bound * drawn).max(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_lies_between_floor_and_cap(failures in 0_u32..10_000, draw in 0.0_f64..1.0) {
            let backoff = Backoff::default();
            let wait = backoff.wait(failures, draw);
            prop_assert!(wait >= backoff.floor && wait <= backoff.cap);
        }

        #[test]
        fn the_bound_never_shrinks_with_more_failures(failures in 1_u32..1_000) {
            let backoff = Backoff::default();
            prop_assert!(backoff.wait(failures + 1, 0.999) >= backoff.wait(failures, 0.999));
        }
    }

    #[test]
    fn the_bounds_double_from_five_seconds_to_ten_minutes() {
        let bounds: Vec<u64> = (1..=9)
            .map(|failures| Backoff::default().wait(failures, 1.0).as_secs())
            .collect();
        assert_eq!(bounds, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    }
}
