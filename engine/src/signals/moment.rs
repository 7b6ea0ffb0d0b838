//! When an answer was sent, and how long it asks to stay away.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::Value;

use super::value::{capped, number};

/// The moment at which an answer was sent, by its own words: the platform's clock is the one that its
/// moments are counted by. Without a readable `Date` it is `otherwise`.
pub(crate) fn answered_at(headers: &HeaderMap, otherwise: DateTime<Utc>) -> DateTime<Utc> {
    date(headers, &DATE).unwrap_or(otherwise)
}

/// `Retry-After`, in seconds or as a date; a year at most. A date is counted from `at`.
pub(crate) fn retry_after(headers: &HeaderMap, at: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match number(&Value::String(text.to_owned())) {
        Some(seconds) => capped(seconds),
        None => (date(headers, &RETRY_AFTER)? - at)
            .to_std()
            .map(|wait| capped(wait.as_secs_f64()))
            .ok()?,
    };
    (!wait.is_zero()).then_some(wait)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<DateTime<Utc>> {
    let text = headers.get(name)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some(date.with_timezone(&Utc))
}
