//! Counts what an attempt costs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use syncline_shared::run::Spent;

/// Counts requests, their points, and the time for which permits were waited for.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    calls: AtomicI64,
    points: AtomicI64,
    waited_ms: AtomicI64,
}

impl Meter {
    /// A request is sent that costs so many points.
    pub(crate) fn sends(&self, points: i64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.points.fetch_add(points, Ordering::Relaxed);
    }

    /// What was sent cost so many points in truth, in place of those that were counted for it.
    pub(super) fn cost(&self, counted: i64, cost: i64) {
        self.points.fetch_add(cost - counted, Ordering::Relaxed);
    }

    /// It was not sent after all.
    pub(super) fn did_not_send(&self, points: i64) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
        self.points.fetch_sub(points, Ordering::Relaxed);
    }

    /// A permit was waited for.
    pub(super) fn waited(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap_or(0);
        self.waited_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn spent(&self) -> Spent {
        Spent {
            calls: self.calls.load(Ordering::Relaxed),
            points: self.points.load(Ordering::Relaxed),
            waited_ms: self.waited_ms.load(Ordering::Relaxed),
        }
    }
}
