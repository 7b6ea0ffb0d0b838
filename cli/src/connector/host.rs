//! The engine's host for one command: budgets in memory, waits in the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use syncline_engine::{
    BudgetPolicy, BudgetWindow, Host, Outcome, Permit, PermitRequest, Refreshed, Refused, Reported,
    ResponseSignals,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::{Ledger, Wait};
use super::message::Level;
use super::output::{Form, Output};

/// Waits that nobody need hear of.
const UNMENTIONED: Duration = Duration::from_secs(1);

pub(super) struct LocalHost {
    windows: HashMap<String, Vec<BudgetWindow>>,
    /// By policy and scope.
    ledgers: Mutex<HashMap<(String, String), Ledger>>,
    /// Something has changed in the ledgers.
    answered: Notify,
    /// The longest wait for one permit.
    max_wait: Duration,
    /// With the tokens that refreshes have given so far.
    config: Mutex<Value>,
    output: Arc<Output>,
}

/// What a request was charged to.
struct Charged(Vec<((String, String), u64)>);

impl LocalHost {
    pub(super) fn new(
        budgets: &[BudgetPolicy],
        config: Value,
        max_wait: Duration,
        output: Arc<Output>,
    ) -> LocalHost {
        let windows = budgets
            .iter()
            .map(|policy| (policy.name.clone(), policy.windows.clone()));
        LocalHost {
            windows: windows.collect(),
            ledgers: Mutex::default(),
            answered: Notify::new(),
            max_wait,
            config: Mutex::new(config),
            output,
        }
    }

    fn ledgers(&self) -> MutexGuard<'_, HashMap<(String, String), Ledger>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges all budgets of a request, or says what has to be waited for, and the budget's name.
    fn take(&self, request: &PermitRequest) -> Result<Charged, (Wait, String)> {
        let now = Instant::now();
        let mut ledgers = self.ledgers();
        for budget in &request.budgets {
            let key = (budget.policy.clone(), budget.scope.clone());
            let windows = || self.windows.get(&budget.policy).cloned();
            let ledger = ledgers
                .entry(key)
                .or_insert_with(|| Ledger::new(windows().unwrap_or_default()));
            if let Some(wait) = ledger.wait(budget.weight, now) {
                return Err((wait, budget.policy.clone()));
            }
        }
        let mut charged = Vec::new();
        for budget in &request.budgets {
            let key = (budget.policy.clone(), budget.scope.clone());
            if let Some(ledger) = ledgers.get_mut(&key) {
                charged.push((key, ledger.charge(budget.weight)));
            }
        }
        Ok(Charged(charged))
    }
}

#[async_trait]
impl Host for LocalHost {
    async fn permit(&self, request: &PermitRequest) -> Result<Permit, Refused> {
        let deadline = Instant::now() + self.max_wait;
        loop {
            let answered = self.answered.notified();
            let (wait, budget) = match self.take(request) {
                Ok(charged) => return Ok(Permit::with(charged)),
                Err(found) => found,
            };
            let until = match wait {
                Wait::For(wait) => Instant::now() + wait,
                Wait::ForAnAnswer => deadline,
            };
            if until > deadline || Instant::now() >= deadline {
                let until_hint = until.saturating_duration_since(Instant::now());
                let reason = format!(
                    "the budget \"{budget}\" of the manifest has no room for {} s, and --max-wait is {} s",
                    until_hint.as_secs_f64().ceil(),
                    self.max_wait.as_secs()
                );
                return Err(Refused::Wait { until_hint, reason });
            }
            if let Wait::For(wait) = wait
                && wait > UNMENTIONED
            {
                let seconds = wait.as_secs_f64();
                let message = format!(
                    "{}: waiting {seconds:.1} s for the budget \"{budget}\" of the manifest",
                    request.stream
                );
                self.output.log(Level::Info, &message);
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = answered => {}
            }
        }
    }

    async fn report(&self, permit: Permit, signals: &ResponseSignals) -> Reported {
        if let Some(Charged(charged)) = permit.payload::<Charged>() {
            let now = Instant::now();
            let mut ledgers = self.ledgers();
            for (key, id) in charged {
                let Some(ledger) = ledgers.get_mut(key) else {
                    continue;
                };
                if signals.outcome == Outcome::Unsent {
                    ledger.cancel(*id);
                } else {
                    let told = signals.told.iter().find(|told| told.policy == key.0);
                    ledger.settle(*id, told, now);
                }
            }
        }
        self.answered.notify_waiters();
        Reported::Noted
    }
    fn random_bits(&self) -> Option<u128> {
        Some(rand::random())
    }

    async fn begin_refresh(&self) -> Result<Option<Value>, Refused> {
        if self.output.form() == Form::Protocol {
            return Ok(None);
        }
        Err(Refused::Stop {
            reason: "each refresh replaces this connection's refresh token, and the new one would be lost; with --json it is printed \
                     in a CONTROL message, to be stored by whoever reads it"
                .to_owned(),
        })
    }

    async fn end_refresh(&self, refreshed: Option<&Refreshed>) -> Result<(), String> {
        let Some(refreshed) = refreshed else {
            return Ok(());
        };
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        refreshed.apply(&mut config)?;
        self.output.config(&config);
        Ok(())
    }
}
