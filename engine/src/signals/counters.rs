//! Counters in plain headers: the budget's own, or those that most platforms send.

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::value::{Unit, points, span};
use super::{Heard, nothing, says_nothing};
use crate::host::BudgetTold;

/// A set of headers that belong together. Reset is a moment in seconds since 1970 if it is larger than
/// 10^9, otherwise seconds from now (the IETF's draft on rate limit headers).
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    pub(crate) limit: Option<HeaderName>,
    pub(crate) remaining: Option<HeaderName>,
    pub(crate) reset: Option<HeaderName>,
}

impl Counters {
    /// The sets that are looked for if the manifest names no header.
    pub(crate) fn usual() -> Vec<Counters> {
        let set = |limit, remaining, reset| Counters {
            limit: Some(HeaderName::from_static(limit)),
            remaining: Some(HeaderName::from_static(remaining)),
            reset: Some(HeaderName::from_static(reset)),
        };
        vec![
            set(
                "x-rate-limit-limit",
                "x-rate-limit-remaining",
                "x-rate-limit-reset",
            ),
            set(
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
            ),
            set("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
        ]
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.limit, &self.remaining, &self.reset]
            .into_iter()
            .flatten()
    }

    /// What the headers say together; `None` if none of them can be read.
    pub(super) fn read(&self, policy: &str, heard: &Heard<'_>) -> Option<BudgetTold> {
        if !self.headers().any(|name| heard.headers.contains_key(name)) {
            return None;
        }
        let value = |name: &Option<HeaderName>| text(heard.headers, name.as_ref()?);
        let present: Vec<&str> = self
            .headers()
            .filter(|name| heard.headers.contains_key(*name))
            .map(HeaderName::as_str)
            .collect();
        let mut told = nothing(policy, present.join(", "));
        told.limit = value(&self.limit).as_ref().and_then(points);
        told.remaining = value(&self.remaining).as_ref().and_then(points);
        told.resets_in = value(&self.reset).and_then(|value| span(&value, Unit::Seconds, heard.at));
        (!says_nothing(&told)).then_some(told)
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<Value> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(Value::String(text.to_owned()))
}
