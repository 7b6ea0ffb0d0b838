//! What is to be told of permits that were used, or not.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use syncline_shared::db::budget::{Charge, Cost, Settled};
use tokio::time::Instant;

use super::draw::{Draw, points_of};
use super::lock;
use super::stock::Lease;

/// A request counts as under way for so long, unless it is told anew.
pub(super) const HOLD: Duration = Duration::from_secs(15);
/// It is told anew when so much is left.
const RENEW_BELOW: Duration = Duration::from_secs(10);

/// What is settled of a window is told within this part of it, ...
const TELL_WITHIN: u32 = 20;
/// ... but never later than this, and no sooner than the keeper looks.
const TELL_AT_LATEST: Duration = Duration::from_secs(2);

/// Collects what is to be told with the next question.
#[derive(Debug, Default)]
pub(super) struct Settlements {
    pending: Mutex<Pending>,
    /// Requests under way on budgets that count them, by number.
    under_way: Mutex<HashMap<u64, UnderWay>>,
}

#[derive(Debug, Default)]
struct Pending {
    costs: Vec<Cost>,
    /// When they are to be told, also if nobody asks for permits before.
    due: Option<Instant>,
}

#[derive(Debug)]
struct UnderWay {
    draw: Draw,
    lease: Lease,
    /// Until when it counts, by the database's clock.
    until: i64,
}

impl Settlements {
    /// A request is about to leave: from now on it is kept under way until it is settled.
    pub(super) fn begin(&self, number: u64, draw: &Draw, lease: Lease) {
        if draw.counts_concurrency() {
            let entry = UnderWay {
                draw: draw.clone(),
                lease,
                until: lease.charge.until,
            };
            lock(&self.under_way).insert(number, entry);
        }
    }

    /// Settles permits of one lease. `costs`: what the platform told of a budget's cost, by policy.
    pub(super) fn settle(
        &self,
        number: Option<u64>,
        draw: &Draw,
        lease: Lease,
        permits: u32,
        settled: impl Fn(i64, &str) -> Settled,
    ) {
        let ended = number.and_then(|number| lock(&self.under_way).remove(&number));
        let charge = Charge {
            at: lease.charge.at,
            until: ended.map_or(lease.charge.until, |entry| entry.until),
        };
        let entries = draw.drawn().iter().map(|drawn| {
            let points = points_of(drawn) * i64::from(permits);
            Cost {
                key: drawn.budget.key(),
                charge,
                permits: i64::from(permits),
                points,
                settled: settled(points, &drawn.budget.name),
            }
        });
        let mut pending = lock(&self.pending);
        pending.costs.extend(entries);
        let within = draw.shortest().map_or(Duration::ZERO, |shortest| {
            (shortest / TELL_WITHIN).min(TELL_AT_LATEST)
        });
        let due = Instant::now() + within;
        pending.due = Some(pending.due.map_or(due, |before| before.min(due)));
    }

    /// Requests that are still under way count for longer.
    pub(super) fn renew(&self, now: Instant) {
        let mut renewed = Vec::new();
        for entry in lock(&self.under_way).values_mut() {
            let clock = entry.lease.clock_ms(now);
            if entry.until - clock > ms(RENEW_BELOW) {
                continue;
            }
            let charge = Charge {
                at: entry.lease.charge.at,
                until: entry.until,
            };
            entry.until = clock + ms(HOLD);
            let counted = entry
                .draw
                .drawn()
                .iter()
                .filter(|drawn| drawn.budget.counts_concurrency());
            renewed.extend(counted.map(|drawn| Cost {
                key: drawn.budget.key(),
                charge,
                permits: 1,
                points: points_of(drawn),
                settled: Settled::UnderWay { until: entry.until },
            }));
        }
        if !renewed.is_empty() {
            let mut pending = lock(&self.pending);
            pending.costs.extend(renewed);
            pending.due = Some(now);
        }
    }

    /// True if something is to be told now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        lock(&self.pending).due.is_some_and(|due| due <= now)
    }

    /// All that is to be told. It is not told again if the answer is lost: what is settled twice frees what others have used.
    pub(super) fn take(&self) -> Vec<Cost> {
        std::mem::take(&mut *lock(&self.pending)).costs
    }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::json;

    fn draw() -> Draw {
        let windows = json!([{"limit": 9, "per_seconds": 1}, {"limit": 4, "at_once": true}]);
        testing::draw(&windows, 2)
    }

    #[test]
    fn a_long_request_is_kept_under_way_and_settled_where_it_is_charged_last() {
        let asked = Instant::now();
        let lease = Lease {
            charge: Charge {
                at: 10_100,
                until: 25_100,
            },
            asked,
            answered: asked,
            begins: asked,
            length: Duration::from_millis(100),
        };
        let settlements = Settlements::default();
        settlements.begin(1, &draw(), lease);
        settlements.renew(asked + Duration::from_secs(2));
        assert_eq!(settlements.take(), []);
        settlements.renew(asked + Duration::from_secs(6));
        let told = settlements.take();
        assert_eq!(told[0].settled, Settled::UnderWay { until: 31_000 });
        assert_eq!((told[0].charge.until, told[0].points), (25_100, 2));
        let sent = |points, _: &str| Settled::Sent {
            at: 10_050,
            cost: points,
        };
        settlements.settle(Some(1), &draw(), lease, 1, sent);
        let told = settlements.take();
        assert_eq!((told[0].charge.at, told[0].charge.until), (10_100, 31_000));
        settlements.renew(asked + Duration::from_mins(1));
        assert_eq!(settlements.take(), []);
    }
}
