//! The windows of a policy: those of the language, and the kinds that platforms have besides.

use std::time::Duration;

use serde_json::Value;

use crate::budget::{BudgetWindow, WindowKind};
use crate::load::component::{Component, Problems};
use crate::time::Span;

const PERIOD_NEEDED: &str = "an ISO 8601 duration such as PT1S, PT15M or P1D is needed here";
const COUNT_NEEDED: &str = "a whole number above 0 is needed here";
/// Windows that stand for the language's own `rates`.
const OTHER_WINDOWS: &[&str] = &["x_bucket", "x_calendar", "x_concurrent"];

/// All windows of a policy; of several that move alike only the strictest.
pub(super) fn load(policy: &Component<'_>, problems: &mut Problems) -> Vec<BudgetWindow> {
    let mut windows: Vec<BudgetWindow> = Vec::new();
    let mut found = stated(policy, problems);
    found.extend(bucket(policy, problems));
    found.extend(calendar(policy, problems));
    found.extend(concurrent(policy, problems));
    for window in found {
        match windows.iter_mut().find(|known| known.kind == window.kind) {
            Some(known) => known.limit = known.limit.min(window.limit),
            None => windows.push(window),
        }
    }
    windows
}

/// `rates`, or `call_limit` and `period`.
fn stated(policy: &Component<'_>, problems: &mut Problems) -> Vec<BudgetWindow> {
    if policy.kind == "FixedWindowCallRatePolicy" {
        let limit = count(policy, "call_limit", problems);
        let length = period(policy, "period", problems);
        let window = limit.zip(length).map(|(limit, length)| BudgetWindow {
            limit,
            kind: WindowKind::Fixed(length),
        });
        return window.into_iter().collect();
    }
    let mut windows = Vec::new();
    let rates = policy.elements("rates", problems);
    let has_others = OTHER_WINDOWS.iter().any(|name| policy.get(name).is_some());
    let is_list = policy.get("rates").is_none_or(Value::is_array);
    if rates.is_empty() && is_list && !has_others {
        let message = format!(
            "a list of rates ({{limit, interval}}) is needed here, or one of {}",
            OTHER_WINDOWS.join(", ")
        );
        problems.add(policy.path_of("rates"), message);
    }
    for (path, rate) in rates {
        // The language ignores members that it does not know.
        let Value::Object(fields) = rate else {
            problems.add(path, "a rate ({limit, interval}) is needed here");
            continue;
        };
        let rate = Component {
            path,
            kind: "Rate",
            fields,
            parameters: std::sync::Arc::clone(&policy.parameters),
        };
        let limit = count(&rate, "limit", problems);
        let interval = period(&rate, "interval", problems);
        windows.extend(limit.zip(interval).map(|(limit, interval)| BudgetWindow {
            limit,
            kind: WindowKind::Rolling(interval),
        }));
    }
    windows
}

/// A token bucket, kept as the window in which it fills up: `capacity` within `capacity / refill`
/// intervals. In any time t such a window lets through no more than capacity + refill * t, which is
/// what the bucket bears, and in the long run it gives the same.
fn bucket(policy: &Component<'_>, problems: &mut Problems) -> Option<BudgetWindow> {
    const MEMBERS: &[&str] = &["capacity", "refill", "interval"];
    let value = policy.get("x_bucket")?;
    let path = policy.path_of("x_bucket");
    let bucket = policy.part(value, path, "x_bucket", MEMBERS, problems)?;
    let capacity = count(&bucket, "capacity", problems);
    let refill = count(&bucket, "refill", problems);
    let interval = period(&bucket, "interval", problems);
    let (capacity, refill, interval) = (capacity?, refill?, interval?);
    let nanos = interval
        .as_nanos()
        .checked_mul(u128::from(capacity))
        .map(|nanos| nanos.div_ceil(u128::from(refill)))
        .and_then(|nanos| u64::try_from(nanos).ok());
    let Some(nanos) = nanos else {
        let message = "the bucket takes centuries to fill up: lower capacity or raise refill";
        problems.add(bucket.path_of("capacity"), message);
        return None;
    };
    Some(BudgetWindow {
        limit: capacity,
        kind: WindowKind::Rolling(Duration::from_nanos(nanos)),
    })
}

fn calendar(policy: &Component<'_>, problems: &mut Problems) -> Vec<BudgetWindow> {
    const MEMBERS: &[&str] = &["limit", "unit", "time_zone"];
    let mut windows = Vec::new();
    for (path, entry) in policy.elements("x_calendar", problems) {
        let Some(entry) = policy.part(entry, path, "x_calendar", MEMBERS, problems) else {
            continue;
        };
        let limit = count(&entry, "limit", problems);
        let zone = time_zone(&entry, problems);
        let kind: fn(String) -> WindowKind = match entry.get("unit").map(Value::as_str) {
            Some(Some("day")) => WindowKind::Day,
            Some(Some("month")) => WindowKind::Month,
            other => {
                let given = other.flatten().map(|word| format!("\"{word}\" is not"));
                let given = given.unwrap_or_else(|| "this is not".to_owned());
                let message = format!("{given} allowed; allowed: day, month");
                problems.add(entry.path_of("unit"), message);
                continue;
            }
        };
        windows.extend(limit.zip(zone).map(|(limit, zone)| BudgetWindow {
            limit,
            kind: kind(zone),
        }));
    }
    windows
}

/// The IANA name; UTC if none is given.
fn time_zone(entry: &Component<'_>, problems: &mut Problems) -> Option<String> {
    if entry.get("time_zone").is_none() {
        return Some("UTC".to_owned());
    }
    let name = entry.text("time_zone", problems)?;
    if let Ok(zone) = name.parse::<chrono_tz::Tz>() {
        return Some(zone.name().to_owned());
    }
    let message = format!(
        "\"{name}\" is no known time zone; allowed: the IANA names, such as UTC, Europe/Berlin, \
         America/Los_Angeles"
    );
    problems.add(entry.path_of("time_zone"), message);
    None
}

fn concurrent(policy: &Component<'_>, problems: &mut Problems) -> Option<BudgetWindow> {
    policy.get("x_concurrent")?;
    let limit = count(policy, "x_concurrent", problems)?;
    Some(BudgetWindow {
        limit,
        kind: WindowKind::Concurrent,
    })
}

fn count(component: &Component<'_>, name: &str, problems: &mut Problems) -> Option<u64> {
    let number = match component.get(name) {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number: &u64| *number > 0);
    if number.is_none() {
        problems.add(component.path_of(name), COUNT_NEEDED);
    }
    number
}

/// Months and years have no fixed length; windows of the calendar count by them.
fn period(component: &Component<'_>, name: &str, problems: &mut Problems) -> Option<Duration> {
    let length = component
        .get(name)
        .and_then(Value::as_str)
        .and_then(fixed_length);
    if length.is_none() {
        problems.add(component.path_of(name), PERIOD_NEEDED);
    }
    length
}

fn fixed_length(text: &str) -> Option<Duration> {
    let length = Span::parse(text)?.fixed_length()?;
    (!length.is_zero()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

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
                fixed_length(text),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "P", "PT", "PT0S", "1S", "P1M", "PT5", "PTS", "-PT1S"] {
            assert_eq!(fixed_length(text), None, "{text}");
        }
    }
}
