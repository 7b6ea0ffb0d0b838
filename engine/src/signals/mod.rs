//! What an answer tells of the budgets that its request drew on.
//!
//! Platforms tell in headers, in JSON within a header, or in the body; the manifest's `x_signals` say
//! where and in which words. Rules are compiled when the manifest is loaded; an answer without the
//! header costs one look-up a rule. What cannot be read is passed over: a platform's slip in a counter
//! must never fail a read whose records are good.

mod counters;
mod find;
mod moment;
mod rule;
mod value;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;

use crate::budget::CompiledPolicy;
use crate::expr::Scope;
use crate::host::BudgetTold;

pub(crate) use counters::Counters;
pub(crate) use find::Step;
pub(crate) use moment::{answered_at, retry_after};
pub(crate) use rule::{Fields, Origin, Rule};
pub(crate) use value::{Unit, capped};

/// How one policy's budget is told of.
#[derive(Debug, Clone)]
pub(crate) enum Signals {
    /// Plain headers with the budget's counters: the first of these sets that says anything counts.
    Counters(Vec<Counters>),
    /// The manifest's own rules.
    Rules(Vec<Rule>),
}

/// An answer as signals are read from it.
pub(crate) struct Heard<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// `None` if it is no JSON, or did not arrive.
    pub(crate) body: Option<&'a Value>,
    /// When it was sent, by the platform's clock: moments in it are counted from here.
    pub(crate) at: DateTime<Utc>,
    /// The config, by which own entries are told from others'.
    pub(crate) scope: &'a Scope<'a>,
}

impl Signals {
    /// What the answer tells of the policy's budget, one for each rule that found something.
    pub(crate) fn read(&self, policy: &CompiledPolicy, heard: &Heard<'_>) -> Vec<BudgetTold> {
        match self {
            Signals::Counters(sets) => sets
                .iter()
                .find_map(|counters| counters.read(&policy.name, heard))
                .into_iter()
                .collect(),
            Signals::Rules(rules) => rules
                .iter()
                .filter_map(|rule| rule.read(&policy.name, heard))
                .collect(),
        }
    }

    /// Whether it is told of in the body.
    pub(crate) fn read_body(&self) -> bool {
        match self {
            Signals::Counters(_) => false,
            Signals::Rules(rules) => rules.iter().any(Rule::reads_body),
        }
    }

    /// The headers that are named by the manifest.
    pub(crate) fn headers(&self) -> Vec<&HeaderName> {
        match self {
            Signals::Counters(sets) => sets.iter().flat_map(Counters::headers).collect(),
            Signals::Rules(rules) => rules.iter().filter_map(Rule::header).collect(),
        }
    }
}

/// Nothing told yet.
fn nothing(policy: &str, source: String) -> BudgetTold {
    BudgetTold {
        policy: policy.to_owned(),
        source,
        wait: None,
        remaining: None,
        limit: None,
        used: None,
        resets_in: None,
        cost: None,
    }
}

fn says_nothing(told: &BudgetTold) -> bool {
    told.wait.is_none()
        && told.remaining.is_none()
        && told.limit.is_none()
        && told.used.is_none()
        && told.resets_in.is_none()
        && told.cost.is_none()
}

#[cfg(test)]
mod golden;
