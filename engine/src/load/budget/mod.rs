//! `HTTPAPIBudget` and its policies.

mod matchers;
mod signals;
mod windows;

use reqwest::header::HeaderName;

use super::component::{Component, Problems};
use crate::budget::{BudgetPolicy, CompiledPolicy};
use crate::expr::{Place, Template};
use crate::signals::{Counters, Signals};

const POLICIES: &[&str] = &["MovingWindowCallRatePolicy", "FixedWindowCallRatePolicy"];
const EXTENSIONS: &[&str] = &[
    "x_scope",
    "x_name",
    "x_additional",
    "x_concurrent",
    "x_calendar",
    "x_bucket",
    "x_manual_reserve",
    "x_signals",
];
/// The part of a budget that is kept for people must leave something for everything else.
const MOST_RESERVED: u8 = 90;

/// The parts of one policy, in the forms that the host and the engine need.
pub(crate) struct LoadedPolicy {
    pub(crate) policy: BudgetPolicy,
    pub(crate) compiled: CompiledPolicy,
    pub(crate) scope: Option<Template>,
}

pub(crate) fn load(component: &Component<'_>, problems: &mut Problems) -> Vec<LoadedPolicy> {
    component.refuse(&[], &["x_scope", "x_name"], problems);
    let reset_header = header(component, "ratelimit_reset_header", problems);
    let remaining_header = header(component, "ratelimit_remaining_header", problems);
    let limit_statuses = limit_statuses(component, problems);
    let common_scope = component.template("x_scope", Place::CONFIG, problems);
    let common_name = component.text("x_name", problems);
    if component.get("policies").is_none() {
        component.missing("policies", problems);
    }
    let mut loaded: Vec<LoadedPolicy> = Vec::new();
    for (index, policy) in component
        .children("policies", POLICIES, problems)
        .iter()
        .enumerate()
    {
        policy.refuse(&[], EXTENSIONS, problems);
        let name = match (policy.text("x_name", problems), common_name) {
            (Some(name), _) => name.to_owned(),
            (None, Some(common)) if index == 0 => common.to_owned(),
            (None, Some(common)) => format!("{common}-{index}"),
            (None, None) => format!("policy-{index}"),
        };
        if loaded.iter().any(|known| known.policy.name == name) {
            let message = format!("two policies have the name \"{name}\"");
            problems.add(policy.path_of("x_name"), message);
        }
        let scope = policy.template("x_scope", Place::CONFIG, problems);
        let scope = scope.or_else(|| common_scope.clone());
        let is_additional = policy.boolean("x_additional", problems);
        let matchers = matchers::load(policy, problems);
        let signals = match signals::load(policy, problems) {
            Some(rules) => Signals::Rules(rules),
            // What the usual headers say is said of one budget.
            None if is_additional => Signals::Rules(Vec::new()),
            None if reset_header.is_some() || remaining_header.is_some() => {
                Signals::Counters(vec![Counters {
                    limit: None,
                    remaining: remaining_header.clone(),
                    reset: reset_header.clone(),
                }])
            }
            None => Signals::Counters(Counters::usual()),
        };
        let text =
            |header: &Option<HeaderName>| header.as_ref().map(|name| name.as_str().to_owned());
        loaded.push(LoadedPolicy {
            policy: BudgetPolicy {
                name: name.clone(),
                windows: windows::load(policy, problems),
                is_additional,
                manual_reserve: manual_reserve(policy, problems),
                scope: scope.as_ref().map(|scope| scope.source().to_owned()),
                matchers: matchers
                    .iter()
                    .map(|matcher| matcher.matcher.clone())
                    .collect(),
                reset_header: text(&reset_header),
                remaining_header: text(&remaining_header),
                limit_statuses: limit_statuses.clone(),
            },
            compiled: CompiledPolicy {
                name,
                is_additional,
                matchers,
                limit_statuses: limit_statuses.clone(),
                signals,
            },
            scope,
        });
    }
    loaded
}

/// The name of a header; reqwest keeps it in lower case.
fn header(component: &Component<'_>, name: &str, problems: &mut Problems) -> Option<HeaderName> {
    let text = component.text(name, problems)?;
    if let Ok(header) = HeaderName::from_bytes(text.as_bytes()) {
        return Some(header);
    }
    let message = format!("\"{text}\" is no name of a header");
    problems.add(component.path_of(name), message);
    None
}

fn limit_statuses(component: &Component<'_>, problems: &mut Problems) -> Vec<u16> {
    const NAME: &str = "status_codes_for_ratelimit_hit";
    if component.get(NAME).is_none() {
        return vec![429];
    }
    let mut statuses = Vec::new();
    for (path, code) in component.elements(NAME, problems) {
        let status = code.as_u64().and_then(|code| u16::try_from(code).ok());
        match status.filter(|status| (100..600).contains(status)) {
            Some(status) => statuses.push(status),
            None => problems.add(path, "an HTTP status such as 429 is needed here"),
        }
    }
    statuses
}

fn manual_reserve(policy: &Component<'_>, problems: &mut Problems) -> u8 {
    let Some(value) = policy.get("x_manual_reserve") else {
        return 0;
    };
    let percent = value
        .as_u64()
        .and_then(|percent| u8::try_from(percent).ok());
    percent
        .filter(|percent| *percent <= MOST_RESERVED)
        .unwrap_or_else(|| {
            let message = format!(
                "{value} is not allowed; allowed: whole percents from 0 to {MOST_RESERVED}"
            );
            problems.add(policy.path_of("x_manual_reserve"), message);
            0
        })
}
