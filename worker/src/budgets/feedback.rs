//! What a platform tells corrects its budget for everyone.

use std::collections::HashMap;
use std::sync::Mutex;

use syncline_engine::{BudgetTold, Outcome, ResponseSignals};
use syncline_shared::budget::BudgetDefinition;
use syncline_shared::db::answered;
use syncline_shared::db::budget::{Correction, correct_budget};

use super::leave::Leave;
use super::lock;
use super::permits::Permits;

/// Of a window that is used up to here, others must know at once.
const NEARLY_USED: f64 = 0.9;

/// What was told of budgets, by their keys.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What can wait for a moment: the latest of each.
    waiting: Mutex<HashMap<String, (BudgetDefinition, Correction)>>,
    /// How little was left by the last answer, where it was little.
    left: Mutex<HashMap<String, Left>>,
}

/// How much a platform's window still gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Enough,
    Little,
    Nothing,
}

impl Permits {
    /// Hears what an answer says of the budgets that its request drew on. Answers whether the platform refused it since a limit is reached,
    /// and a budget knows for how long to wait.
    pub(crate) async fn hear_answer(&self, leave: &Leave, signals: &ResponseSignals) -> bool {
        let Some(sent_at) = leave.left_after_ms() else {
            return false;
        };
        let is_limited = signals.outcome == Outcome::RateLimited;
        let mut corrections: Vec<(BudgetDefinition, Correction)> = Vec::new();
        for told in &signals.told {
            if let Some(drawn) = leave.draw().of_policy(&told.policy) {
                corrections.push((drawn.budget.clone(), correction(told, sent_at)));
            }
        }
        if is_limited {
            blame(leave, signals, sent_at, &mut corrections);
        }
        for (budget, correction) in corrections {
            if self.0.told.is_news(&budget.key(), &correction) {
                self.correct(&budget, &correction).await;
            } else {
                lock(&self.0.told.waiting).insert(budget.key(), (budget, correction));
            }
        }
        is_limited && !leave.draw().is_free()
    }

    async fn correct(&self, budget: &BudgetDefinition, correction: &Correction) {
        let key = &budget.key();
        let correcting = async {
            let mut db = self.0.database.session().await?;
            let must_know = correct_budget(&mut db, budget, correction).await?;
            db.end().await?;
            Ok(must_know)
        };
        match answered(correcting).await {
            Ok(true) => {
                self.drop_stock(key);
                self.0.waker.wake();
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(budget = key, %error, "what the platform told of budget {key} could not be kept: {error}");
            }
        }
    }

    /// Passes on what could wait.
    pub(super) async fn pass_on(&self) {
        let told = std::mem::take(&mut *lock(&self.0.told.waiting));
        for (budget, correction) in told.into_values() {
            self.correct(&budget, &correction).await;
        }
    }
}

impl Told {
    /// True if others must know at once: the last tenth of a window is told by each answer, but is news only once.
    fn is_news(&self, key: &str, correction: &Correction) -> bool {
        let left = left(correction);
        let mut known = lock(&self.left);
        let before = if left == Left::Enough {
            known.remove(key)
        } else {
            known.insert(key.to_owned(), left)
        };
        let is_pause = correction.is_limited || correction.wait.is_some();
        is_pause || left > before.unwrap_or(Left::Enough)
    }
}

/// Finds the budget that a refusal speaks of: the one that the answer says is used up, or that is to be left alone; else the one
/// that governs the request.
fn blame(
    leave: &Leave,
    signals: &ResponseSignals,
    sent_at: i64,
    corrections: &mut Vec<(BudgetDefinition, Correction)>,
) {
    let is_spoken_of = |correction: &Correction| {
        correction.wait.is_some()
            || correction.remaining == Some(0)
            || correction.used.is_some_and(|used| used >= 1.0)
    };
    let spoken_of = corrections
        .iter()
        .position(|(_, correction)| is_spoken_of(correction));
    let index = if let Some(index) = spoken_of {
        index
    } else {
        let Some(governing) = leave.draw().drawn().first() else {
            return;
        };
        let unspecific = Correction {
            sent_at,
            ..Correction::default()
        };
        corrections.push((governing.budget.clone(), unspecific));
        corrections.len() - 1
    };
    if let Some((_, correction)) = corrections.get_mut(index) {
        correction.is_limited = true;
        // Until its counter begins anew, if it says so and nothing else.
        let reset = correction
            .resets_in
            .filter(|_| correction.remaining == Some(0));
        correction.wait = correction.wait.or(signals.retry_after).or(reset);
        correction.reason = reason(signals, correction);
    }
}

fn correction(told: &BudgetTold, sent_at: i64) -> Correction {
    Correction {
        sent_at,
        is_limited: false,
        wait: told.wait,
        reason: told.source.clone(),
        remaining: told.remaining,
        limit: told.limit,
        used: told.used,
        resets_in: told.resets_in,
    }
}

fn left(correction: &Correction) -> Left {
    let few = correction.limit.map_or(0, |limit| limit / 10);
    let used = correction.used.unwrap_or(0.0);
    match correction.remaining {
        Some(0) => Left::Nothing,
        _ if used >= 1.0 => Left::Nothing,
        Some(remaining) if remaining <= few => Left::Little,
        _ if used >= NEARLY_USED => Left::Little,
        _ => Left::Enough,
    }
}

fn reason(signals: &ResponseSignals, correction: &Correction) -> String {
    let status = signals
        .status
        .map_or_else(String::new, |status| format!("HTTP {status}, "));
    match correction.wait {
        Some(wait) => format!(
            "{status}the platform asked to wait {:.1} s",
            wait.as_secs_f64()
        ),
        None => format!("{status}the platform did not say for how long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(used: f64) -> Correction {
        Correction {
            used: Some(used),
            ..Correction::default()
        }
    }

    fn remaining(remaining: u64, limit: Option<u64>) -> Correction {
        Correction {
            remaining: Some(remaining),
            limit,
            ..Correction::default()
        }
    }

    #[test]
    fn what_is_left_is_little_in_the_last_tenth() {
        assert_eq!(left(&Correction::default()), Left::Enough);
        assert_eq!(left(&used(0.5)), Left::Enough);
        assert_eq!(left(&used(0.95)), Left::Little);
        assert_eq!(left(&used(1.0)), Left::Nothing);
        assert_eq!(left(&remaining(91, Some(900))), Left::Enough);
        assert_eq!(left(&remaining(90, Some(900))), Left::Little);
        assert_eq!(left(&remaining(1, None)), Left::Enough);
        assert_eq!(left(&remaining(0, None)), Left::Nothing);
    }

    #[test]
    fn that_little_is_left_is_news_once_and_that_nothing_is_once_more() {
        let told = Told::default();
        let answers = [91, 90, 50, 0, 0, 400, 80].map(|left| remaining(left, Some(900)));
        let news = answers.map(|answer| told.is_news("a", &answer));
        assert_eq!(news, [false, true, false, true, false, false, true]);
        assert!(told.is_news("b", &remaining(80, Some(900))));
        let limited = Correction {
            is_limited: true,
            ..Correction::default()
        };
        assert!(told.is_news("a", &limited) && told.is_news("a", &limited));
    }
}
