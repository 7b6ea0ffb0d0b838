//! `x_signals`: how the platform tells of a budget, compiled for the reading of answers.

use reqwest::header::HeaderName;
use serde_json::Value;

use super::header;
use crate::expr::Place;
use crate::load::component::{Component, Problems};
use crate::signals::{Fields, Origin, Rule, Step, Unit};

const MEMBERS: &[&str] = &[
    "header",
    "body",
    "at",
    "when",
    "used_percent",
    "wait",
    "remaining",
    "limit",
    "resets",
    "cost",
    "unit",
];
const MEANINGS: &[&str] = &[
    "used_percent",
    "wait",
    "remaining",
    "limit",
    "resets",
    "cost",
];
const ORIGIN_NEEDED: &str = "either \"header: <name>\" or \"body: true\" is needed here";

/// The rules of a policy; `None` if it states none, which is not the same as an empty list.
pub(super) fn load(policy: &Component<'_>, problems: &mut Problems) -> Option<Vec<Rule>> {
    policy.get("x_signals")?;
    let mut rules = Vec::new();
    for (path, entry) in policy.elements("x_signals", problems) {
        if let Some(entry) = policy.part(entry, path, "x_signals", MEMBERS, problems) {
            rules.extend(rule(&entry, problems));
        }
    }
    Some(rules)
}

fn rule(entry: &Component<'_>, problems: &mut Problems) -> Option<Rule> {
    let origin = origin(entry, problems);
    let at = steps(entry, problems);
    let when = conditions(entry, problems);
    let fields = Fields {
        used_percent: names(entry, "used_percent", problems),
        wait: name(entry, "wait", problems),
        remaining: name(entry, "remaining", problems),
        limit: name(entry, "limit", problems),
        resets: name(entry, "resets", problems),
        cost: name(entry, "cost", problems),
        unit: unit(entry, problems),
    };
    if MEANINGS.iter().all(|name| entry.get(name).is_none()) {
        let message = format!("at least one of {} is needed here", MEANINGS.join(", "));
        problems.add(&entry.path, message);
    }
    if matches!(origin, Some(Origin::Body)) && at.is_empty() {
        // Whole answers are large, and hold no counters at their top.
        problems.add(
            entry.path_of("at"),
            "a body needs the way to the object: a list of members and \"*\"",
        );
    }
    Some(Rule {
        origin: origin?,
        at,
        when,
        fields,
    })
}

fn origin(entry: &Component<'_>, problems: &mut Problems) -> Option<Origin> {
    let header: Option<HeaderName> = header(entry, "header", problems);
    match (entry.get("header"), entry.get("body")) {
        (Some(_), None) => header.map(Origin::Header),
        (None, Some(Value::Bool(true))) => Some(Origin::Body),
        (None, Some(_)) => {
            problems.add(entry.path_of("body"), "only \"true\" is allowed here");
            None
        }
        _ => {
            problems.add(&entry.path, ORIGIN_NEEDED);
            None
        }
    }
}

fn steps(entry: &Component<'_>, problems: &mut Problems) -> Vec<Step> {
    let mut steps = Vec::new();
    for (path, step) in entry.elements("at", problems) {
        match step {
            Value::String(text) if text == "*" => steps.push(Step::Every),
            Value::String(_) | Value::Number(_) => {
                let template = entry.template_of(step, &path, Place::CONFIG, problems);
                steps.extend(template.map(Step::One));
            }
            _ => problems.add(
                path,
                "a member's name, a list's index or \"*\" is needed here",
            ),
        }
    }
    steps
}

fn conditions(entry: &Component<'_>, problems: &mut Problems) -> Vec<(String, Vec<String>)> {
    let is_plain = |value: &Value| !matches!(value, Value::Array(_) | Value::Object(_));
    let text = crate::request::url::text_of;
    let members = match entry.get("when") {
        None => return Vec::new(),
        Some(Value::Object(members)) => members,
        Some(_) => {
            problems.add(
                entry.path_of("when"),
                "a mapping of members to their values is needed here",
            );
            return Vec::new();
        }
    };
    let mut conditions = Vec::with_capacity(members.len());
    for (name, wanted) in members {
        match wanted {
            Value::Array(values) if !values.is_empty() && values.iter().all(is_plain) => {
                conditions.push((name.clone(), values.iter().map(text).collect()));
            }
            value if is_plain(value) => conditions.push((name.clone(), vec![text(value)])),
            _ => problems.add(
                format!("{}/{name}", entry.path_of("when")),
                "a value or a list of values is needed here",
            ),
        }
    }
    conditions
}

fn name(entry: &Component<'_>, meaning: &str, problems: &mut Problems) -> Option<String> {
    entry.text(meaning, problems).map(str::to_owned)
}

/// One name, or a list of them.
fn names(entry: &Component<'_>, meaning: &str, problems: &mut Problems) -> Vec<String> {
    if let Some(Value::String(name)) = entry.get(meaning) {
        return vec![name.clone()];
    }
    let mut names = Vec::new();
    for (path, name) in entry.elements(meaning, problems) {
        match name {
            Value::String(name) => names.push(name.clone()),
            _ => problems.add(path, "the name of a member is needed here"),
        }
    }
    names
}

fn unit(entry: &Component<'_>, problems: &mut Problems) -> Unit {
    let unit = match entry.text("unit", problems) {
        None | Some("seconds") => return Unit::Seconds,
        Some("minutes") => Unit::Minutes,
        Some("milliseconds") => Unit::Milliseconds,
        Some("duration") => Unit::Duration,
        Some(other) => {
            let message = format!(
                "\"{other}\" is not allowed; allowed: seconds, minutes, milliseconds, duration"
            );
            problems.add(entry.path_of("unit"), message);
            return Unit::Seconds;
        }
    };
    if entry.get("wait").is_none() && entry.get("resets").is_none() {
        let message = "a unit is that of \"wait\" or \"resets\", and neither is given";
        problems.add(entry.path_of("unit"), message);
    }
    unit
}
