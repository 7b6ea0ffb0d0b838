//! Calls as they arrived at the simulator's feed, and what windows they fill.

use std::ops::Range;

use crate::feed::Arrival;

/// A window that must not hold more than so many points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Any stretch of time of so many milliseconds.
    Rolling {
        /// Points.
        limit: u64,
        /// Milliseconds.
        ms: u64,
    },
    /// Calls at once.
    AtOnce {
        /// Calls.
        limit: u64,
    },
}

/// A window that held too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Of which window.
    pub window: Window,
    /// What it held.
    pub held: u64,
    /// From when to when it lay.
    pub at: Range<u64>,
}

/// Every window of these arrivals, in their order, that holds more than it may.
pub fn breaches(arrivals: &[Arrival], window: Window) -> Vec<Breach> {
    let mut found = Vec::new();
    match window {
        Window::Rolling { limit, ms } => {
            let (mut held, mut first) = (0, 0);
            for arrival in arrivals {
                held += arrival.points;
                while arrival.at_us - arrivals[first].at_us >= ms * 1_000 {
                    held -= arrivals[first].points;
                    first += 1;
                }
                if held > limit {
                    let at = arrivals[first].at_us..arrival.at_us;
                    found.push(Breach { window, held, at });
                }
            }
        }
        Window::AtOnce { limit } => {
            for (index, arrival) in arrivals.iter().enumerate() {
                let under_way =
                    |other: &&Arrival| other.answered_us.is_none_or(|at| at > arrival.at_us);
                let held = arrivals[..index].iter().filter(under_way).count() as u64 + 1;
                if held > limit {
                    let at = arrival.at_us..arrival.at_us;
                    found.push(Breach { window, held, at });
                }
            }
        }
    }
    found
}

/// How long it takes from the first arrival of a time on until so many points have arrived and the next one comes, in microseconds. Where
/// calls come in bursts, a stretch of fixed length would hold one more or one less by chance.
pub fn time_of_points(arrivals: &[Arrival], from_us: u64, points: u64) -> Option<u64> {
    let mut later = arrivals.iter().filter(|arrival| arrival.at_us >= from_us);
    let first = later.next()?;
    let mut arrived = first.points;
    for arrival in later {
        if arrived >= points {
            return Some(arrival.at_us - first.at_us);
        }
        arrived += arrival.points;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(list: &[(u64, u64, u64)]) -> Vec<Arrival> {
        let arrival = |(at, points, answered): &(u64, u64, u64)| Arrival {
            at_us: at * 1_000,
            points: *points,
            answer: "200".to_owned(),
            answered_us: Some(answered * 1_000),
        };
        list.iter().map(arrival).collect()
    }

    #[test]
    fn a_window_holds_what_arrives_within_less_than_its_length() {
        let calls = arrivals(&[(0, 2, 1), (999, 1, 1_000), (1_000, 2, 1_001)]);
        let window = |limit| Window::Rolling { limit, ms: 1_000 };
        assert_eq!(breaches(&calls, window(3)), []);
        let found = breaches(&calls, window(2));
        assert_eq!((found.len(), found[0].held, found[1].held), (2, 3, 3));
    }

    #[test]
    fn points_of_bursts_take_as_long_wherever_the_count_begins() {
        // Two calls at once, every second.
        let calls: Vec<_> = (0..20).map(|call| (call / 2 * 1_000, 1, 0)).collect();
        let calls = arrivals(&calls);
        for from in [0, 1, 1_000_000, 1_500_000] {
            assert_eq!(time_of_points(&calls, from, 6), Some(3_000_000));
        }
        assert_eq!(time_of_points(&calls, 0, 20), None);
        let dear = arrivals(&[(0, 3, 0), (10, 3, 0), (20, 1, 0)]);
        assert_eq!(time_of_points(&dear, 0, 5), Some(20_000));
    }

    #[test]
    fn calls_at_once_are_those_without_an_answer() {
        let calls = arrivals(&[(0, 1, 50), (10, 1, 20), (20, 1, 60), (30, 1, 40)]);
        assert_eq!(breaches(&calls, Window::AtOnce { limit: 3 }), []);
        assert_eq!(breaches(&calls, Window::AtOnce { limit: 2 }).len(), 1);
    }
}
