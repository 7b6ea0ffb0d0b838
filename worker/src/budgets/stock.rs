//! Permits in hand.

use std::collections::VecDeque;
use std::time::Duration;

use syncline_shared::db::budget::Charge;
use tokio::time::Instant;

/// So many permits may wait for their use for half a lease, while others wait; more of them for a quarter of one: who asks for each request
/// alone asks twice, once to learn when to come, but a permit in hand is of no use to anybody.
const FEW_MORE: u32 = 2;

/// Permits that were taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) charge: Charge,
    /// When the database was asked, by this process's clock: the lease runs from there.
    pub(super) asked: Instant,
    /// When it had answered.
    pub(super) answered: Instant,
    /// No request leaves before.
    pub(super) begins: Instant,
    /// For so long they are charged, from when the database counted, the time until they begin included.
    pub(super) length: Duration,
}

impl Lease {
    /// True if a request may still leave, or may leave later.
    pub(super) fn is_valid(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked) < self.length
    }

    /// An instant of this process in milliseconds of the database's clock, never too early: the database was asked before it answered.
    pub(super) fn clock_ms(&self, instant: Instant) -> i64 {
        let after = instant.saturating_duration_since(self.asked);
        self.given_ms(after.as_nanos().div_ceil(1_000_000))
    }

    /// The same, never too late: it had answered before this process knew.
    pub(super) fn clock_ms_at_least(&self, instant: Instant) -> i64 {
        let after = instant.saturating_duration_since(self.answered);
        self.given_ms(after.as_millis())
    }

    /// So many milliseconds after the database's clock when it gave the permits.
    fn given_ms(&self, after: u128) -> i64 {
        let length = i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX / 4);
        let after = i64::try_from(after).unwrap_or(i64::MAX / 4);
        self.charge.at.saturating_sub(length).saturating_add(after)
    }

    /// The last moment at which a request can have left that was answered at this instant.
    pub(super) fn left_by_ms(&self, answered: Instant) -> i64 {
        self.clock_ms(answered).min(self.charge.at)
    }
}

/// The permits in hand for one kind of request.
#[derive(Debug, Default)]
pub(super) struct Stock {
    leases: VecDeque<(Lease, u32)>,
    /// How many were worth taking at the last asking.
    worth: u32,
    /// Used since then.
    used: u32,
    /// How long it takes from the use of one to the wish for the next; new times count for a quarter.
    pace: Option<Duration>,
    taken_at: Option<Instant>,
}

/// What is known when permits are to be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// Requests that wait for one now.
    pub(super) waiting: u32,
    /// So many may be kept in hand. `None`: none.
    pub(super) most: Option<u32>,
    /// For how long they may be kept.
    pub(super) lease: Duration,
    /// Others wait for permits of the same budgets.
    pub(super) others_wait: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) permits: u32,
    /// The time within which those are used that no request waits for now. `None`: as long as the lease allows.
    pub(super) used_within: Option<Duration>,
}

impl Stock {
    /// Takes one.
    pub(super) fn take(&mut self, now: Instant) -> Option<Lease> {
        let (lease, left) = self
            .leases
            .iter_mut()
            .find(|(lease, left)| *left > 0 && lease.begins <= now && lease.is_valid(now))?;
        *left -= 1;
        self.used += 1;
        self.taken_at = Some(now);
        Some(*lease)
    }

    /// When the next permits begin that nobody looks forward to yet: so many do already.
    pub(super) fn next_begins(&self, now: Instant, expecting: u32) -> Option<Instant> {
        let mut expecting = expecting;
        let to_come = self.leases.iter().filter(|(lease, _)| lease.begins > now);
        to_come
            .filter_map(|(lease, left)| {
                let free = left.saturating_sub(expecting);
                expecting = expecting.saturating_sub(*left);
                (free > 0).then_some(lease.begins)
            })
            .min()
    }

    /// Puts in what the database gave.
    pub(super) fn put(&mut self, lease: Lease, count: u32) {
        self.leases.push_back((lease, count));
    }

    /// A request wants one.
    pub(super) fn wanted(&mut self, now: Instant) {
        if let Some(taken) = self.taken_at.take() {
            let gap = now.saturating_duration_since(taken);
            // A single long pause says little of what comes next.
            self.pace = Some(
                self.pace
                    .map_or(gap, |pace| (pace * 3 + gap.min(pace * 4)) / 4),
            );
        }
    }

    /// How many to ask for: more, while the last ones did not suffice; else what was used. While others wait, too, no more than are used
    /// at once or right one after the other.
    pub(super) fn wish(&mut self, demand: Demand) -> Wish {
        let used = std::mem::take(&mut self.used);
        let waiting = demand.waiting.max(1);
        let Some(most) = demand.most else {
            self.worth = waiting;
            return Wish {
                permits: waiting,
                used_within: Some(Duration::ZERO),
            };
        };
        let wish = if demand.others_wait {
            self.in_a_row(waiting, most, demand.lease)
        } else {
            let grown = used.saturating_mul(if used >= self.worth { 2 } else { 1 });
            let permits = grown.max(waiting).min(most);
            Wish {
                permits,
                used_within: (permits <= waiting).then_some(Duration::ZERO),
            }
        };
        self.worth = wish.permits;
        wish
    }

    fn in_a_row(&self, waiting: u32, most: u32, lease: Duration) -> Wish {
        let pace = self.pace.unwrap_or(lease).max(Duration::from_micros(100));
        let within =
            |time: Duration| u32::try_from(time.as_micros() / pace.as_micros()).unwrap_or(u32::MAX);
        let more = within(lease / 4).max(within(lease / 2).min(FEW_MORE));
        let permits = waiting.saturating_add(more).min(most.max(1));
        let more = permits.saturating_sub(waiting);
        Wish {
            permits,
            used_within: Some((pace * 2).saturating_mul(more)),
        }
    }

    /// Takes out what is no longer valid, or all that is left.
    pub(super) fn remove(&mut self, now: Instant, all: bool) -> Vec<(Lease, u32)> {
        let mut removed = Vec::new();
        self.leases.retain(|(lease, left)| {
            let stays = *left > 0 && lease.is_valid(now) && !all;
            if !stays && *left > 0 {
                removed.push((*lease, *left));
            }
            stays
        });
        removed
    }

    /// True if there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(asked: Instant) -> Lease {
        Lease {
            charge: Charge {
                at: 10_100,
                until: 20_000,
            },
            asked,
            answered: asked + Duration::from_millis(30),
            begins: asked,
            length: Duration::from_millis(100),
        }
    }

    #[test]
    fn permits_are_used_within_their_lease_and_the_rest_is_given_back() {
        let began = Instant::now();
        let mut stock = Stock::default();
        stock.put(lease(began), 3);
        assert!(stock.take(began + Duration::from_millis(99)).is_some());
        assert!(stock.take(began + Duration::from_millis(100)).is_none());
        let removed = stock.remove(began + Duration::from_millis(100), false);
        assert_eq!(removed, [(lease(began), 2)]);
        assert!(stock.is_empty());
    }

    #[test]
    fn permits_that_begin_later_are_looked_forward_to_and_used_then() {
        let began = Instant::now();
        let ms = |ms| began + Duration::from_millis(ms);
        let mut stock = Stock::default();
        let early = Lease {
            begins: ms(50),
            ..lease(began)
        };
        stock.put(early, 2);
        assert_eq!(stock.take(ms(49)), None);
        assert_eq!(stock.next_begins(ms(49), 1), Some(ms(50)));
        assert_eq!(stock.next_begins(ms(49), 2), None);
        assert_eq!(stock.next_begins(ms(50), 0), None);
        assert_eq!(stock.take(ms(50)), Some(early));
        assert_eq!(stock.remove(ms(50), true), [(early, 1)]);
    }

    fn demand(waiting: u32, most: Option<u32>, others_wait: bool) -> Demand {
        Demand {
            waiting,
            most,
            lease: Duration::from_millis(100),
            others_wait,
        }
    }

    #[test]
    fn more_is_asked_for_while_it_does_not_suffice() {
        let began = Instant::now();
        let mut stock = Stock::default();
        let mut asked = Vec::new();
        for _ in 0..6 {
            let wish = stock.wish(demand(1, Some(20), false));
            asked.push(wish.permits);
            stock.put(lease(began), wish.permits);
            while stock.take(began).is_some() {}
        }
        assert_eq!(asked, [1, 2, 4, 8, 16, 20]);
        // Three of twenty were used.
        stock.put(lease(began), 20);
        stock.wish(demand(0, Some(20), false));
        for _ in 0..3 {
            stock.take(began);
        }
        assert_eq!(stock.wish(demand(1, Some(20), false)).permits, 3);
        assert_eq!(stock.wish(demand(2, None, false)).permits, 2);
    }

    #[test]
    fn while_others_wait_only_those_are_asked_for_that_are_used_one_after_the_other() {
        let mut now = Instant::now();
        let mut stock = Stock::default();
        // Nothing is known yet of how fast they are used.
        let first = stock.wish(demand(2, Some(20), true));
        assert_eq!(
            (first.permits, first.used_within),
            (2, Some(Duration::ZERO))
        );
        for _ in 0..9 {
            stock.put(lease(now), 1);
            stock.take(now).unwrap();
            now += Duration::from_millis(10);
            stock.wanted(now);
        }
        // Each ten milliseconds one.
        let wish = stock.wish(demand(1, Some(20), true));
        assert_eq!(
            (wish.permits, wish.used_within),
            (3, Some(Duration::from_millis(40)))
        );
        let of_a_second = Demand {
            lease: Duration::from_secs(1),
            ..demand(1, Some(50), true)
        };
        assert_eq!(stock.wish(of_a_second).permits, 26);
        assert_eq!(stock.wish(demand(1, Some(2), true)).permits, 2);
        assert_eq!(stock.wish(demand(1, None, true)).permits, 1);
        // A pause does not change much, several do.
        for permits in [3, 2, 1] {
            stock.put(lease(now), 1);
            stock.take(now).unwrap();
            now += Duration::from_secs(9);
            stock.wanted(now);
            assert_eq!(stock.wish(demand(1, Some(20), true)).permits, permits);
        }
    }

    #[test]
    fn instants_are_told_by_the_databases_clock_never_too_early_or_never_too_late() {
        let began = Instant::now();
        let lease = lease(began);
        assert_eq!(lease.clock_ms(began), 10_000);
        assert_eq!(lease.clock_ms(began + Duration::from_micros(1)), 10_001);
        assert_eq!(lease.clock_ms(began + Duration::from_secs(9)), 19_000);
        assert_eq!(lease.left_by_ms(began + Duration::from_secs(9)), 10_100);
        assert_eq!(lease.clock_ms_at_least(began), 10_000);
        assert_eq!(
            lease.clock_ms_at_least(began + Duration::from_micros(90_900)),
            10_060
        );
    }
}
