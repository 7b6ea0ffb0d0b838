//! The matchers of a policy.

use serde_json::Value;

use crate::budget::{CompiledMatcher, RequestMatcher};
use crate::expr::compile_regex;
use crate::load::component::{Component, Problems};

/// All matchers of a policy, in its order.
pub(super) fn load(policy: &Component<'_>, problems: &mut Problems) -> Vec<CompiledMatcher> {
    components(policy, problems)
        .iter()
        .filter_map(|matcher| load_matcher(matcher, problems))
        .collect()
}

/// Matchers are seldom written with their type.
fn components<'v>(policy: &Component<'v>, problems: &mut Problems) -> Vec<Component<'v>> {
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
