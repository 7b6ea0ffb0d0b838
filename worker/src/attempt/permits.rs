//! Permits for requests, from budgets that all processes share.
//!
//! One permit is taken from the database for each request, right before it is sent: no process holds a stock, so none can be
//! lost or sent late.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use syncline_engine::{BudgetKey, BudgetPolicy};
use syncline_shared::db::budget::{self, Grant};
use syncline_shared::db::{Database, DbConnection, DbError, DbResult, answered};

/// Before a database that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Gives permits.
#[derive(Debug, Clone)]
pub(crate) struct Permits {
    database: Database,
}

/// A limit that a connection has in place of the manifest's.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Override {
    limit: u32,
    per_seconds: f64,
}

/// The budgets that one request draws on, with their limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Budgets(Vec<(budget::BudgetKey, u32)>);

impl Budgets {
    /// Looks up the limits of the budgets that a request names.
    pub(super) fn of(
        platform: &str,
        keys: &[BudgetKey],
        policies: &[BudgetPolicy],
        overrides: &Value,
    ) -> Self {
        let mut budgets = Vec::new();
        for key in keys {
            let name = &key.policy;
            let replaced = overrides
                .get(name)
                .and_then(|limit| Override::deserialize(limit).ok())
                .map(|limit| (limit.limit, limit.per_seconds * 1000.0));
            let windows: Vec<(u32, f64)> = match replaced {
                Some(window) => vec![window],
                None => policies
                    .iter()
                    .filter(|policy| policy.name == *name)
                    .flat_map(|policy| &policy.windows)
                    .map(|window| {
                        let limit = u32::try_from(window.limit).unwrap_or(u32::MAX);
                        (limit, window.per.as_secs_f64() * 1000.0)
                    })
                    .collect(),
            };
            for (index, (limit, per_ms)) in windows.into_iter().enumerate() {
                let suffix = if index == 0 {
                    String::new()
                } else {
                    format!("#{index}")
                };
                budgets.push((
                    budget::BudgetKey {
                        key: format!("{platform}/{name}/{}{suffix}", key.scope),
                        platform: platform.to_owned(),
                        name: name.clone(),
                        call_limit: i32::try_from(limit.max(1)).unwrap_or(i32::MAX),
                        window_ms: whole_ms(per_ms),
                    },
                    key.weight.max(1),
                ));
            }
        }
        // All processes ask for the same budgets in the same order.
        budgets.sort_by(|(left, _), (right, _)| left.key.cmp(&right.key));
        Self(budgets)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Milliseconds as a whole number of at least one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to the range of i64 first"
)]
fn whole_ms(ms: f64) -> i64 {
    ms.ceil().clamp(1.0, 1e15) as i64
}

/// The answer to a request for a permit.
pub(super) enum Answer {
    /// The request may be sent.
    Granted,
    /// Not now.
    Wait { wait: Duration, reason: String },
}

impl Permits {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Asks every budget of a request. A refusal by one leaves what others gave unused, which errs on the safe side. While the
    /// database does not answer, nobody gets a permit.
    pub(super) async fn ask(&self, budgets: &Budgets) -> Answer {
        loop {
            match self.ask_to_the_end(budgets).await {
                Ok(answer) => return answer,
                Err(error) => {
                    tracing::warn!(%error, "a permit could not be had, trying again: {error}");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// In a task of its own: a caller that is cancelled must not leave a connection in the middle of an answer.
    async fn ask_to_the_end(&self, budgets: &Budgets) -> DbResult<Answer> {
        let (permits, budgets) = (self.clone(), budgets.clone());
        let asked = tokio::spawn(async move { answered(permits.try_ask(&budgets)).await });
        asked
            .await
            .unwrap_or(Err(DbError::Sqlx(sqlx::Error::WorkerCrashed)))
    }

    async fn try_ask(&self, budgets: &Budgets) -> DbResult<Answer> {
        if budgets.is_empty() {
            return Ok(Answer::Granted);
        }
        let mut db = self.database.session().await?;
        let answer = take_from_all(&mut db, budgets).await?;
        db.end().await?;
        Ok(answer)
    }

    /// Pauses every budget of a request for all processes, because the platform said so.
    pub(super) async fn pause(&self, budgets: &Budgets, wait: Duration, because: &str) {
        let pausing = async {
            let mut db = self.database.session().await?;
            for (budget, _) in &budgets.0 {
                budget::pause_budget(&mut db, &budget.key, wait, because).await?;
            }
            db.end().await
        };
        if let Err(error) = answered(pausing).await {
            tracing::warn!(%error, "a budget could not be paused: {error}");
        }
    }
}

async fn take_from_all(db: &mut DbConnection, budgets: &Budgets) -> DbResult<Answer> {
    for (budget, weight) in &budgets.0 {
        let mut wanted = *weight;
        while wanted > 0 {
            match budget::take_permits(&mut *db, budget, wanted).await? {
                Grant::Granted(granted) => wanted = wanted.saturating_sub(granted),
                Grant::Wait { wait, because } => {
                    let because = because
                        .map(|because| format!(" ({because})"))
                        .unwrap_or_default();
                    let reason = format!("budget {}{because}", budget.key);
                    return Ok(Answer::Wait { wait, reason });
                }
            }
        }
    }
    Ok(Answer::Granted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use syncline_engine::{BudgetWindow, WindowKind};

    fn policy() -> BudgetPolicy {
        BudgetPolicy {
            name: "export".to_owned(),
            kind: WindowKind::Moving,
            windows: vec![
                BudgetWindow {
                    limit: 1,
                    per: Duration::from_secs(1),
                },
                BudgetWindow {
                    limit: 1000,
                    per: Duration::from_hours(1),
                },
            ],
            scope: None,
            matchers: Vec::new(),
            reset_header: None,
            remaining_header: None,
            limit_statuses: vec![429],
        }
    }

    fn key() -> BudgetKey {
        BudgetKey {
            policy: "export".to_owned(),
            scope: "abc".to_owned(),
            weight: 1,
        }
    }

    #[test]
    fn every_window_of_a_budget_is_asked() {
        let budgets = Budgets::of("g2a", &[key()], &[policy()], &json!({}));
        let keys: Vec<_> = budgets
            .0
            .iter()
            .map(|(budget, _)| budget.key.as_str())
            .collect();
        assert_eq!(keys, ["g2a/export/abc", "g2a/export/abc#1"]);
    }

    #[test]
    fn a_connections_own_limit_replaces_the_manifests() {
        let limits = json!({"export": {"limit": 100, "per_seconds": 0.5}});
        let budgets = Budgets::of("g2a", &[key()], &[policy()], &limits);
        assert_eq!(budgets.0.len(), 1);
        assert_eq!(
            (budgets.0[0].0.call_limit, budgets.0[0].0.window_ms),
            (100, 500)
        );
    }
}
