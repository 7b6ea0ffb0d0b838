//! `HTTPAPIBudget` and its policies.

use std::time::Duration;

use serde_json::Value;

use super::component::{Component, Problems};
use crate::budget::{
    BudgetPolicy, BudgetWindow, CompiledMatcher, CompiledPolicy, RequestMatcher, WindowKind,
};
use crate::expr::{Place, Template, compile_regex};

const POLICIES: &[&str] = &["MovingWindowCallRatePolicy", "FixedWindowCallRatePolicy"];

/// The parts of one policy, in the forms that the host and the engine need.
pub(crate) struct LoadedPolicy {
    pub(crate) policy: BudgetPolicy,
    pub(crate) compiled: CompiledPolicy,
    pub(crate) scope: Option<Template>,
}

pub(crate) fn load(component: &Component<'_>, problems: &mut Problems) -> Vec<LoadedPolicy> {
    component.refuse(&[], &["x_scope", "x_name"], problems);
    let header = |name: &str, problems: &mut Problems| {
        component.text(name, problems).map(str::to_ascii_lowercase)
    };
    let reset_header = header("ratelimit_reset_header", problems);
    let remaining_header = header("ratelimit_remaining_header", problems);
    let statuses = component
        .get("status_codes_for_ratelimit_hit")
        .and_then(Value::as_array);
    let limit_statuses: Vec<u16> = match statuses {
        None => vec![429],
        Some(codes) => {
            let code = |code: &Value| code.as_u64().and_then(|code| u16::try_from(code).ok());
            codes.iter().filter_map(code).collect()
        }
    };
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
        policy.refuse(&[], &["x_scope", "x_name"], problems);
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
        let (kind, windows) = load_windows(policy, problems);
        let mut matchers = Vec::new();
        for matcher in load_matchers(policy, problems) {
            matchers.extend(load_matcher(&matcher, problems));
        }
        loaded.push(LoadedPolicy {
            policy: BudgetPolicy {
                name: name.clone(),
                kind,
                windows,
                scope: scope.as_ref().map(|scope| scope.source().to_owned()),
                matchers: matchers
                    .iter()
                    .map(|matcher| matcher.matcher.clone())
                    .collect(),
                reset_header: reset_header.clone(),
                remaining_header: remaining_header.clone(),
                limit_statuses: limit_statuses.clone(),
            },
            compiled: CompiledPolicy { name, matchers },
            scope,
        });
    }
    loaded
}

/// Matchers are seldom written with their type.
fn load_matchers<'v>(policy: &Component<'v>, problems: &mut Problems) -> Vec<Component<'v>> {
    let path = policy.path_of("matchers");
    let Some(Value::Array(items)) = policy.get("matchers") else {
        if policy.get("matchers").is_some() {
            problems.add(path, "a list of matchers is needed here");
        }
        return Vec::new();
    };
    let mut matchers = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}/{index}");
        match item {
            Value::Object(fields) if !fields.contains_key("type") => matchers.push(Component {
                path,
                kind: "HttpRequestRegexMatcher",
                fields,
                parameters: std::sync::Arc::clone(&policy.parameters),
            }),
            _ => {
                matchers.extend(Component::read(
                    item,
                    &path,
                    &["HttpRequestRegexMatcher"],
                    problems,
                ));
            }
        }
    }
    matchers
}

fn load_windows(
    policy: &Component<'_>,
    problems: &mut Problems,
) -> (WindowKind, Vec<BudgetWindow>) {
    let mut windows = Vec::new();
    if policy.kind == "FixedWindowCallRatePolicy" {
        let limit = number_above_0(policy.get("call_limit"));
        let per = policy.get("period").and_then(period);
        if limit.is_none() {
            problems.add(
                policy.path_of("call_limit"),
                "a whole number above 0 is needed here",
            );
        }
        if per.is_none() {
            problems.add(policy.path_of("period"), PERIOD_NEEDED);
        }
        windows.extend(
            limit
                .zip(per)
                .map(|(limit, per)| BudgetWindow { limit, per }),
        );
        return (WindowKind::Fixed, windows);
    }
    let path = policy.path_of("rates");
    let rates = policy.get("rates").and_then(Value::as_array);
    for (index, rate) in rates.into_iter().flatten().enumerate() {
        let limit = number_above_0(rate.get("limit"));
        let per = rate.get("interval").and_then(period);
        if limit.is_none() {
            problems.add(
                format!("{path}/{index}/limit"),
                "a whole number above 0 is needed here",
            );
        }
        if per.is_none() {
            problems.add(format!("{path}/{index}/interval"), PERIOD_NEEDED);
        }
        windows.extend(
            limit
                .zip(per)
                .map(|(limit, per)| BudgetWindow { limit, per }),
        );
    }
    if rates.is_none_or(Vec::is_empty) {
        problems.add(path, "a list of rates ({limit, interval}) is needed here");
    }
    (WindowKind::Moving, windows)
}

const PERIOD_NEEDED: &str = "an ISO 8601 duration such as PT1S, PT15M or P1D is needed here";

fn number_above_0(value: Option<&Value>) -> Option<u64> {
    let number = match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| *number > 0)
}

/// An ISO 8601 duration of weeks, days, hours, minutes and seconds. Months and years have no fixed
/// length and no platform counts by them here.
fn period(value: &Value) -> Option<Duration> {
    let rest = value.as_str()?.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None => (rest, ""),
    };
    let mut seconds = 0f64;
    let parts = [(
        days,
        [('W', 604_800.0), ('D', 86_400.0), ('D', 0.0)].as_slice(),
    )];
    for (text, units) in parts
        .into_iter()
        .chain([(time, [('H', 3600.0), ('M', 60.0), ('S', 1.0)].as_slice())])
    {
        let mut digits = String::new();
        for c in text.chars() {
            if c.is_ascii_digit() || c == '.' {
                digits.push(c);
                continue;
            }
            let (_, factor) = units.iter().find(|(unit, _)| *unit == c)?;
            seconds += digits.parse::<f64>().ok()? * factor;
            digits.clear();
        }
        if !digits.is_empty() {
            return None;
        }
    }
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|period| !period.is_zero())
}

fn load_matcher(component: &Component<'_>, problems: &mut Problems) -> Option<CompiledMatcher> {
    component.refuse(&[], &[], problems);
    let url_path_pattern = component.text("url_path_pattern", problems);
    let path = match url_path_pattern.map(compile_regex) {
        None => None,
        Some(Ok(regex)) => Some(regex),
        Some(Err(message)) => {
            problems.add(component.path_of("url_path_pattern"), message);
            return None;
        }
    };
    let pairs = |name: &str, lower: bool, problems: &mut Problems| {
        let Some(value) = component.get(name) else {
            return Vec::new();
        };
        let Value::Object(members) = value else {
            problems.add(component.path_of(name), "a mapping is needed here");
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(members.len());
        for (key, value) in members {
            let key = if lower {
                key.to_ascii_lowercase()
            } else {
                key.clone()
            };
            pairs.push((key, crate::request::url::text_of(value)));
        }
        pairs
    };
    let weight = component.whole_number("weight", problems).unwrap_or(1);
    let matcher = RequestMatcher {
        method: component
            .text("method", problems)
            .map(str::to_ascii_uppercase),
        url_base: component.text("url_base", problems).map(str::to_owned),
        url_path_pattern: url_path_pattern.map(str::to_owned),
        params: pairs("params", false, problems),
        headers: pairs("headers", true, problems),
        weight: u32::try_from(weight).unwrap_or(u32::MAX).max(1),
    };
    Some(CompiledMatcher { matcher, path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn periods_are_iso_durations() {
        for (text, seconds) in [
            ("PT1S", 1),
            ("PT15M", 900),
            ("P1D", 86_400),
            ("P1W", 604_800),
            ("P1DT1H", 90_000),
        ] {
            assert_eq!(
                period(&json!(text)),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "P", "PT", "PT0S", "1S", "P1M", "PT5", "PTS"] {
            assert_eq!(period(&json!(text)), None, "{text}");
        }
    }
}
