//! What was sent on one budget: how long the next request has to wait.
//!
//! Counted in memory, for this process alone, from its start: enough to try a connector without running into its platform's
//! limits. Calendar windows and windows that the platform resets are kept as rolling ones of their length, which is never less
//! careful.

use std::time::Duration;

use syncline_engine::{BudgetTold, BudgetWindow, WindowKind};
use tokio::time::Instant;

const DAY: Duration = Duration::from_hours(24);
/// The longest month.
const MONTH: Duration = Duration::from_hours(24 * 31);

#[derive(Debug)]
pub(super) struct Ledger {
    windows: Vec<BudgetWindow>,
    calls: Vec<Call>,
    /// The platform said to stay away until then.
    paused_until: Option<Instant>,
    next_id: u64,
}

#[derive(Debug)]
struct Call {
    id: u64,
    points: u64,
    /// When its answer was there; `None` while it is under way.
    answered: Option<Instant>,
}

/// Why a request has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    For(Duration),
    /// Until a request that is under way has its answer.
    ForAnAnswer,
}

impl Ledger {
    pub(super) fn new(windows: Vec<BudgetWindow>) -> Ledger {
        Ledger {
            windows,
            calls: Vec::new(),
            paused_until: None,
            next_id: 0,
        }
    }

    /// What a request of so many points has to wait for now; `None`: it may be sent.
    pub(super) fn wait(&mut self, points: u32, now: Instant) -> Option<Wait> {
        self.forget(now);
        let pause = self.paused_until.filter(|until| *until > now);
        let mut longest = pause.map(|until| Wait::For(until - now));
        for window in &self.windows {
            // A request that costs more than the window holds waits until the window is empty.
            let points = u64::from(points).min(window.limit);
            let Some(wait) = self.wait_for(window, points, now) else {
                continue;
            };
            longest = Some(match (longest, wait) {
                (Some(Wait::For(known)), Wait::For(wait)) => Wait::For(known.max(wait)),
                (Some(known @ Wait::For(_)), Wait::ForAnAnswer) => known,
                (_, wait) => wait,
            });
        }
        longest
    }

    fn wait_for(&self, window: &BudgetWindow, points: u64, now: Instant) -> Option<Wait> {
        let length = match &window.kind {
            WindowKind::Concurrent => {
                let under_way = self.calls.iter().filter(|call| call.answered.is_none());
                let used: u64 = under_way.map(|_| 1).sum();
                return (used + 1 > window.limit).then_some(Wait::ForAnAnswer);
            }
            WindowKind::Rolling(length) | WindowKind::Fixed(length) => *length,
            WindowKind::Day(_) => DAY,
            WindowKind::Month(_) => MONTH,
        };
        let counted = |call: &&Call| call.answered.is_none_or(|at| at + length > now);
        let used: u64 = self
            .calls
            .iter()
            .filter(counted)
            .map(|call| call.points)
            .sum();
        let mut over = (used + points).saturating_sub(window.limit);
        if over == 0 {
            return None;
        }
        let mut answered: Vec<(Instant, u64)> = self
            .calls
            .iter()
            .filter(counted)
            .filter_map(|call| Some((call.answered?, call.points)))
            .collect();
        answered.sort_by_key(|(at, _)| *at);
        for (at, points) in answered {
            over = over.saturating_sub(points);
            if over == 0 {
                return Some(Wait::For((at + length).saturating_duration_since(now)));
            }
        }
        Some(Wait::ForAnAnswer)
    }

    /// Charges a request; its number tells it apart later.
    pub(super) fn charge(&mut self, points: u32) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.calls.push(Call {
            id,
            points: u64::from(points),
            answered: None,
        });
        id
    }

    /// A request has its answer. It is counted from now on: it reached the platform at some time before.
    pub(super) fn settle(&mut self, id: u64, told: Option<&BudgetTold>, now: Instant) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.id == id) {
            call.answered = Some(now);
            if let Some(cost) = told.and_then(|told| told.cost) {
                call.points = u64::from(cost);
            }
        }
        let Some(told) = told else {
            return;
        };
        let until_reset = told.resets_in.filter(|_| told.remaining == Some(0));
        if let Some(wait) = told.wait.max(until_reset) {
            self.paused_until = self.paused_until.max(now.checked_add(wait));
        }
    }

    /// A request was not sent after all.
    pub(super) fn cancel(&mut self, id: u64) {
        self.calls.retain(|call| call.id != id);
    }

    /// Drops what no window counts any more.
    fn forget(&mut self, now: Instant) {
        let longest = self
            .windows
            .iter()
            .map(|window| match &window.kind {
                WindowKind::Rolling(length) | WindowKind::Fixed(length) => *length,
                WindowKind::Day(_) => DAY,
                WindowKind::Month(_) => MONTH,
                WindowKind::Concurrent => Duration::ZERO,
            })
            .max()
            .unwrap_or_default();
        self.calls
            .retain(|call| call.answered.is_none_or(|at| at + longest > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(limit: u64, kind: WindowKind) -> Ledger {
        Ledger::new(vec![BudgetWindow { limit, kind }])
    }

    fn told() -> BudgetTold {
        BudgetTold {
            policy: "p".to_owned(),
            source: "header".to_owned(),
            wait: None,
            remaining: None,
            limit: None,
            used: None,
            resets_in: None,
            cost: None,
        }
    }

    #[test]
    fn a_full_window_gives_way_as_its_oldest_calls_leave_it() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let mut ledger = ledger(2, WindowKind::Rolling(10 * second));
        for moment in [begin, begin + 3 * second] {
            assert_eq!(ledger.wait(1, moment), None);
            let id = ledger.charge(1);
            ledger.settle(id, None, moment);
        }
        let now = begin + 4 * second;
        assert_eq!(ledger.wait(1, now), Some(Wait::For(6 * second)));
        assert_eq!(ledger.wait(2, now), Some(Wait::For(9 * second)));
        // More than the window holds waits for an empty one.
        assert_eq!(ledger.wait(7, now), Some(Wait::For(9 * second)));
        assert_eq!(ledger.wait(1, begin + 10 * second), None);
    }

    #[test]
    fn requests_under_way_fill_a_window_until_they_are_answered() {
        let now = Instant::now();
        let mut ledger = ledger(1, WindowKind::Concurrent);
        let id = ledger.charge(5);
        assert_eq!(ledger.wait(1, now), Some(Wait::ForAnAnswer));
        ledger.settle(id, None, now);
        assert_eq!(ledger.wait(1, now), None);
        let unsent = ledger.charge(1);
        ledger.cancel(unsent);
        assert_eq!(ledger.wait(1, now), None);
    }

    #[test]
    fn the_platform_s_word_counts() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut ledger = ledger(100, WindowKind::Fixed(10 * second));
        let id = ledger.charge(1);
        let used_up = BudgetTold {
            remaining: Some(0),
            resets_in: Some(7 * second),
            ..told()
        };
        ledger.settle(id, Some(&used_up), now);
        assert_eq!(ledger.wait(1, now), Some(Wait::For(7 * second)));
        let id = ledger.charge(1);
        let wait = BudgetTold {
            wait: Some(9 * second),
            ..told()
        };
        ledger.settle(id, Some(&wait), now);
        assert_eq!(ledger.wait(1, now), Some(Wait::For(9 * second)));
    }
}
