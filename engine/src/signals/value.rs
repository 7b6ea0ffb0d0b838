//! Numbers, spans and moments as platforms write them in headers and bodies.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::time::{Span, iso};

/// Longer waits than a year are slips.
const LONGEST: f64 = 31_536_000.0;
/// Larger numbers are seconds since 1970: the year 2001 as a moment, 31 years as a span.
const MOMENT_SECONDS: f64 = 1e9;
/// The same in milliseconds.
const MOMENT_MILLISECONDS: f64 = 1e12;

/// What a number of a `wait` or `resets` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Minutes,
    Milliseconds,
    /// A text with its own units: `60s`, `1.5s`, `6m0s`, `PT1M`.
    Duration,
}

/// A number, also as text. Of a list (`100, 100;w=60`) the first counts.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.split([',', ';']).next()?.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// A number of points, rounded down.
pub(super) fn points(value: &Value) -> Option<u64> {
    let number = number(value).filter(|number| *number >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and a cast of what is too large gives the largest"
    )]
    let points = number as u64;
    Some(points)
}

/// What a request cost, rounded up.
pub(super) fn cost(value: &Value) -> Option<u32> {
    let rounded = Value::from(number(value)?.ceil());
    points(&rounded).map(|points| u32::try_from(points).unwrap_or(u32::MAX))
}

/// A share of the whole: 1.0 for 100 percent.
pub(super) fn share(percent: &Value) -> Option<f64> {
    let number = number(percent).filter(|number| *number >= 0.0)?;
    Some(number / 100.0)
}

/// The time from `now` that a value speaks of: a span, or a moment, which may be over.
pub(super) fn span(value: &Value, unit: Unit, now: DateTime<Utc>) -> Option<Duration> {
    let since = |moment: f64| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a calendar's milliseconds are exact"
        )]
        let now = now.timestamp_millis() as f64 / 1_000.0;
        (moment - now).max(0.0)
    };
    let seconds = match number(value) {
        Some(number) if number > MOMENT_MILLISECONDS => since(number / 1_000.0),
        Some(number) if unit == Unit::Milliseconds => number / 1_000.0,
        Some(number) if number > MOMENT_SECONDS => since(number),
        Some(number) if unit == Unit::Minutes => number * 60.0,
        Some(number) => number,
        None => {
            let text = value.as_str()?.trim();
            match duration(text) {
                Some(span) => span.as_secs_f64(),
                None => since(moment(text)?),
            }
        }
    };
    if seconds < 0.0 {
        None
    } else {
        Some(capped(seconds))
    }
}

/// Seconds as a span, cut to what is sensible.
pub(crate) fn capped(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST)).unwrap_or_default()
}

/// `60s`, `1.5s`, `6m0s`, `20ms` and ISO 8601.
fn duration(text: &str) -> Option<Duration> {
    if text.starts_with('P') {
        return Span::parse(text)?.fixed_length();
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())?);
        let end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok().filter(|number| *number >= 0.0)?;
        seconds += number * factor;
        rest = after;
    }
    (!text.is_empty()).then(|| capped(seconds))
}

/// A date of HTTP, or of ISO 8601, in seconds since 1970.
fn moment(text: &str) -> Option<f64> {
    let moment = DateTime::parse_from_rfc2822(text).ok();
    let moment = moment.or_else(|| text.contains('-').then(|| iso::read(text)).flatten())?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a calendar's milliseconds are exact"
    )]
    let seconds = moment.timestamp_millis() as f64 / 1_000.0;
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    #[test]
    fn spans_and_moments_are_told_apart_by_their_size() {
        let seconds = |value: Value, unit| span(&value, unit, now()).map(|span| span.as_secs_f64());
        for (value, unit, expected) in [
            (json!(19), Unit::Minutes, Some(1_140.0)),
            (json!(100), Unit::Seconds, Some(100.0)),
            (json!("100"), Unit::Seconds, Some(100.0)),
            (json!(1_500), Unit::Milliseconds, Some(1.5)),
            (json!(2_000_000_000), Unit::Milliseconds, Some(2_000_000.0)),
            (json!(1_790_000_090), Unit::Seconds, Some(90.0)),
            (json!("1790000090"), Unit::Minutes, Some(90.0)),
            (json!(1_790_000_000_250_u64), Unit::Milliseconds, Some(0.25)),
            (json!(1_790_000_000_250_u64), Unit::Seconds, Some(0.25)),
            // Over already.
            (json!(1_789_999_000), Unit::Seconds, Some(0.0)),
            (json!("60s"), Unit::Duration, Some(60.0)),
            (json!("1.5s"), Unit::Duration, Some(1.5)),
            (json!("0.500s"), Unit::Duration, Some(0.5)),
            (json!("6m0s"), Unit::Duration, Some(360.0)),
            (json!("20ms"), Unit::Duration, Some(0.02)),
            (json!("PT1M"), Unit::Duration, Some(60.0)),
            (json!("30"), Unit::Duration, Some(30.0)),
            (json!("2026-09-21T14:14:30Z"), Unit::Seconds, Some(70.0)),
            (
                json!("Mon, 21 Sep 2026 14:14:30 GMT"),
                Unit::Seconds,
                Some(70.0),
            ),
            // A slip is cut to a year.
            (json!(9e8), Unit::Seconds, Some(LONGEST)),
            (json!("12, 12;w=60"), Unit::Seconds, Some(12.0)),
        ] {
            assert_eq!(seconds(value.clone(), unit), expected, "{value} {unit:?}");
        }
    }

    #[test]
    fn garbage_says_nothing() {
        for value in [
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!(""),
            json!("soon"),
            json!("-5"),
            json!(-5),
            json!("NaN"),
            json!("inf"),
            json!("1e999"),
            json!("5 apples"),
            json!("s"),
            json!("5q"),
            json!("-5s"),
            json!("1s junk"),
            json!("P1M"),
            json!("2026-99-99"),
            json!("ä5s"),
        ] {
            for unit in [
                Unit::Seconds,
                Unit::Minutes,
                Unit::Milliseconds,
                Unit::Duration,
            ] {
                assert_eq!(span(&value, unit, now()), None, "{value} {unit:?}");
            }
            assert_eq!(
                (points(&value), cost(&value), share(&value)),
                (None, None, None)
            );
        }
    }

    #[test]
    fn points_are_rounded_to_the_careful_side() {
        assert_eq!(points(&json!("41.9")), Some(41));
        assert_eq!(cost(&json!(2.1)), Some(3));
        assert_eq!(cost(&json!(0)), Some(0));
        assert_eq!(cost(&json!(1e12)), Some(u32::MAX));
        assert_eq!(points(&json!(1e300)), Some(u64::MAX));
        assert_eq!(share(&json!("9.67")), Some(9.67 / 100.0));
    }
}
