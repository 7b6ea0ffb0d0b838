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

/// What was told and can wait for a moment: the latest of each budget.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<String, (BudgetDefinition, Correction)>>);

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
            if is_urgent(&correction) {
                self.correct(&budget, &correction).await;
            } else {
                lock(&self.0.told.0).insert(budget.key(), (budget, correction));
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
        let told = std::mem::take(&mut *lock(&self.0.told.0));
        for (budget, correction) in told.into_values() {
            self.correct(&budget, &correction).await;
        }
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

fn is_urgent(correction: &Correction) -> bool {
    let few = correction.limit.map_or(0, |limit| limit / 10);
    correction.is_limited
        || correction.wait.is_some()
        || correction.remaining.is_some_and(|left| left <= few)
        || correction.used.is_some_and(|used| used >= NEARLY_USED)
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

    #[test]
    fn what_leaves_little_room_is_urgent() {
        let told = Correction::default();
        assert!(!is_urgent(&told));
        let used = |used| Correction {
            used: Some(used),
            ..Correction::default()
        };
        assert!(!is_urgent(&used(0.5)) && is_urgent(&used(0.95)));
        let remaining = |remaining, limit| Correction {
            remaining: Some(remaining),
            limit,
            ..Correction::default()
        };
        assert!(is_urgent(&remaining(90, Some(900))) && !is_urgent(&remaining(91, Some(900))));
        assert!(is_urgent(&remaining(0, None)) && !is_urgent(&remaining(1, None)));
    }
}
