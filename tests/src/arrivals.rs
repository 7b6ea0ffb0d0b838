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

/// Points of the arrivals within a stretch of time.
pub fn points_within(arrivals: &[Arrival], stretch: &Range<u64>) -> u64 {
    let inside = arrivals
        .iter()
        .filter(|arrival| stretch.contains(&arrival.at_us));
    inside.map(|arrival| arrival.points).sum()
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
        assert_eq!(points_within(&calls, &(0..1_000_000)), 3);
    }

    #[test]
    fn calls_at_once_are_those_without_an_answer() {
        let calls = arrivals(&[(0, 1, 50), (10, 1, 20), (20, 1, 60), (30, 1, 40)]);
        assert_eq!(breaches(&calls, Window::AtOnce { limit: 3 }), []);
        assert_eq!(breaches(&calls, Window::AtOnce { limit: 2 }).len(), 1);
    }
}
