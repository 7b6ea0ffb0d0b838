//! The simulator's two clocks, handed in so that tests decide what time it is.
//!
//! Rolling windows are measured on the monotonic clock, which no time-server correction can bend; the wall clock
//! is only for people who compare a timeline with a log.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// One instant, told by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since the simulator started, never going back.
    pub monotonic_us: u64,
    /// The same instant by the calendar.
    pub wall: DateTime<Utc>,
}

/// Tells the time to the referee, the call limits and the catalogue's change dates.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Moment;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side begins at zero now.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where this crate reads the wall clock"
    )]
    fn now(&self) -> Moment {
        let elapsed = self.started.elapsed().as_micros();
        Moment {
            monotonic_us: u64::try_from(elapsed).unwrap_or(u64::MAX),
            wall: Utc::now(),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A clock that stands still until a test moves it.

    use std::sync::Mutex;

    use chrono::TimeDelta;

    use super::{Clock, DateTime, Moment};

    pub(crate) struct ManualClock(Mutex<Moment>);

    impl ManualClock {
        pub(crate) fn new() -> Self {
            let wall = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
            Self(Mutex::new(Moment {
                monotonic_us: 0,
                wall,
            }))
        }

        pub(crate) fn advance_ms(&self, ms: u32) {
            let mut moment = self.0.lock().unwrap();
            moment.monotonic_us += u64::from(ms) * 1_000;
            moment.wall += TimeDelta::milliseconds(i64::from(ms));
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Moment {
            *self.0.lock().unwrap()
        }
    }
}
