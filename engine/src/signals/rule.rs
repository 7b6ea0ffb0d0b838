//! One entry of `x_signals`: where to look, and what is meant by what is found there.

use chrono::{DateTime, Utc};
use reqwest::header::HeaderName;
use serde_json::Value;

use super::find::{Found, Step, find};
use super::value::{Unit, cost, points, share, span};
use super::{Heard, nothing, says_nothing};
use crate::host::BudgetTold;
use crate::request::url::text_of;

/// One rule, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) origin: Origin,
    /// The way from there to the objects; empty for the whole of a header.
    pub(crate) at: Vec<Step>,
    /// Members of the object that must have one of these values.
    pub(crate) when: Vec<(String, Vec<String>)>,
    pub(crate) fields: Fields,
}

/// Where the platform tells.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A plain value, or JSON.
    Header(HeaderName),
    Body,
}

/// Which member of an object means what; `.` is the value itself.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    /// The highest of them counts.
    pub(crate) used_percent: Vec<String>,
    pub(crate) wait: Option<String>,
    pub(crate) remaining: Option<String>,
    pub(crate) limit: Option<String>,
    pub(crate) resets: Option<String>,
    pub(crate) cost: Option<String>,
    /// Of `wait` and `resets`.
    pub(crate) unit: Unit,
}

impl Rule {
    /// The header that it reads, if it reads one.
    pub(super) fn header(&self) -> Option<&HeaderName> {
        match &self.origin {
            Origin::Header(name) => Some(name),
            Origin::Body => None,
        }
    }

    pub(super) fn reads_body(&self) -> bool {
        matches!(self.origin, Origin::Body)
    }

    /// What the answer tells by this rule; of several objects the worst counts.
    pub(super) fn read(&self, policy: &str, heard: &Heard<'_>) -> Option<BudgetTold> {
        let mut worst: Option<BudgetTold> = None;
        let mut consider = |root: &Value, name: &str| {
            for found in find(root, &self.at, heard.scope) {
                let Some(told) = self.of(&found, policy, name, heard.at) else {
                    continue;
                };
                match &mut worst {
                    Some(worst) => worsen(worst, told),
                    None => worst = Some(told),
                }
            }
        };
        match &self.origin {
            Origin::Body => consider(heard.body?, ""),
            Origin::Header(name) => {
                for value in heard.headers.get_all(name) {
                    if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
                        consider(&parsed(text), name.as_str());
                    }
                }
            }
        }
        worst
    }

    fn of(
        &self,
        found: &Found<'_>,
        policy: &str,
        origin: &str,
        now: DateTime<Utc>,
    ) -> Option<BudgetTold> {
        let is_meant = self.when.iter().all(|(name, wanted)| {
            let value = found.value.get(name.as_str());
            value.is_some_and(|value| wanted.contains(&text_of(value)))
        });
        if !is_meant {
            return None;
        }
        let fields = &self.fields;
        let member = |name: &Option<String>| field(found.value, name.as_deref()?);
        let mut told = nothing(policy, format!("{origin}{}", found.pointer));
        told.used = fields
            .used_percent
            .iter()
            .filter_map(|name| share(field(found.value, name)?))
            .max_by(f64::total_cmp);
        told.wait = member(&fields.wait)
            .and_then(|value| span(value, fields.unit, now))
            // Platforms that have no wait in mind say 0.
            .filter(|wait| !wait.is_zero());
        told.remaining = member(&fields.remaining).and_then(points);
        told.limit = member(&fields.limit).and_then(points);
        told.resets_in = member(&fields.resets).and_then(|value| span(value, fields.unit, now));
        told.cost = member(&fields.cost).and_then(cost);
        (!says_nothing(&told)).then_some(told)
    }
}

fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    if name == "." {
        Some(value)
    } else {
        value.get(name)
    }
}

/// JSON, or else the text itself.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Takes over what is worse. The source becomes that of the graver part: a wait before a use.
fn worsen(worst: &mut BudgetTold, other: BudgetTold) {
    let is_graver =
        other.wait > worst.wait || (other.wait == worst.wait && other.used > worst.used);
    if is_graver {
        worst.source = other.source;
    }
    worst.wait = worst.wait.max(other.wait);
    worst.resets_in = worst.resets_in.max(other.resets_in);
    worst.cost = worst.cost.max(other.cost);
    if other.used > worst.used {
        worst.used = other.used;
    }
    worst.remaining = least(worst.remaining, other.remaining);
    worst.limit = least(worst.limit, other.limit);
}

fn least(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, other) => one.or(other),
    }
}
