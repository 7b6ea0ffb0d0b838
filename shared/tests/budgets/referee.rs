//! Counts what the platform gets.

use syncline_shared::budget::{BudgetWindow, BudgetWindowKind};

use crate::world::length_ms;

/// A request as it truly was, in milliseconds of true time.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: i64,
    pub(crate) points: i64,
    /// Until its answer was there, or its process had died.
    pub(crate) until: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Referee {
    pub(crate) sent: Vec<Sent>,
}

impl Referee {
    /// Fails if any window got too much. Answers how many requests there were.
    pub(crate) fn assert_held(&self, windows: &[BudgetWindow]) -> usize {
        for window in windows {
            for first in &self.sent {
                let inside = |sent: &&Sent| match window.kind {
                    BudgetWindowKind::Concurrent => (sent.at..sent.until).contains(&first.at),
                    _ => (first.at..first.at + length_ms(window)).contains(&sent.at),
                };
                let costs = self
                    .sent
                    .iter()
                    .filter(inside)
                    .map(|sent| match window.kind {
                        BudgetWindowKind::Concurrent => 1,
                        _ => sent.points,
                    });
                let points: i64 = costs.clone().sum();
                // What costs more than the window gives leaves alone.
                assert!(
                    points <= i64::from(window.limit) || costs.count() == 1,
                    "{points} points from {} on, against {window:?}",
                    first.at
                );
            }
        }
        self.sent.len()
    }

    /// Points that were used within a time, and how many the tightest of the rolling windows gives.
    pub(crate) fn use_of(&self, windows: &[BudgetWindow], ms: i64) -> (i64, i64) {
        let used = self.sent.iter().map(|sent| sent.points).sum();
        let rolling = windows.iter().filter(|window| length_ms(window) > 0);
        let given = rolling.map(|window| i64::from(window.limit) * ms / length_ms(window));
        (used, given.min().unwrap())
    }
}
