//! Column types, chosen from a JSON schema, and values as COPY's text format writes them.
//!
//! Keys are text whatever their schema says: ids of different platforms are compared with each other, not calculated with.
//! Numbers keep the text that the platform sent, so money never passes through a float.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::Value;

/// Digits of a number at most, and the largest exponent: far inside what `numeric` and `jsonb` hold.
const MAX_NUMBER_CHARS: usize = 400;
const MAX_EXPONENT: i64 = 400;

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    Text,
    BigInt,
    Numeric,
    Boolean,
    Timestamp,
    Date,
    Json,
}

impl ColumnType {
    /// The type for a property of a JSON schema. What may be of several types is kept as JSON.
    pub(super) fn of(schema: &Value) -> Self {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut types = types.into_iter().filter(|name| *name != "null");
        let (first, second) = (types.next(), types.next());
        match (first, second) {
            (Some("string"), None) => match schema.get("format").and_then(Value::as_str) {
                Some("date-time") => Self::Timestamp,
                Some("date") => Self::Date,
                _ => Self::Text,
            },
            (Some("integer"), None) => Self::BigInt,
            (Some("number"), None | Some("integer")) | (Some("integer"), Some("number")) => {
                Self::Numeric
            }
            (Some("boolean"), None) => Self::Boolean,
            _ => Self::Json,
        }
    }

    /// Its name in SQL, as `format_type` gives it.
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::BigInt => "bigint",
            Self::Numeric => "numeric",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp with time zone",
            Self::Date => "date",
            Self::Json => "jsonb",
        }
    }

    /// The value as Postgres reads it. `Err`: it does not fit this type. JSON null is no value.
    pub(super) fn render(self, value: &Value) -> Result<Option<String>, Misfit> {
        if value.is_null() {
            return Ok(None);
        }
        let text = match (self, value) {
            (Self::Text, Value::String(text)) => without_nul(text),
            (Self::Text | Self::Json, value) => storable(value).to_string(),
            (Self::BigInt, value) => whole(value).ok_or(Misfit)?,
            (Self::Numeric, Value::Number(number)) => decimal(&number.to_string()).ok_or(Misfit)?,
            (Self::Numeric, Value::String(text)) => decimal(text).ok_or(Misfit)?,
            (Self::Boolean, Value::Bool(value)) => value.to_string(),
            (Self::Timestamp, Value::String(text)) => timestamp(text).ok_or(Misfit)?,
            (Self::Date, Value::String(text)) => date(text).ok_or(Misfit)?,
            _ => return Err(Misfit),
        };
        Ok(Some(text))
    }
}

/// A value that does not fit its column; it is kept in `_extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misfit;

fn whole(value: &Value) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    let digits = text.strip_suffix(".0").unwrap_or(&text);
    digits.parse::<i64>().ok().map(|number| number.to_string())
}

fn decimal(text: &str) -> Option<String> {
    let text = text.trim();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let digits = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent: i64 = exponent.parse().ok()?;
    let plain = (!integer.is_empty() || !fraction.is_empty())
        && all_digits(integer)
        && all_digits(fraction)
        && text.len() <= MAX_NUMBER_CHARS
        && exponent.abs() <= MAX_EXPONENT;
    plain.then(|| text.to_owned())
}

fn timestamp(text: &str) -> Option<String> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.to_utc().to_rfc3339());
    }
    if let Ok(instant) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Some(instant.to_utc().to_rfc3339());
    }
    // Without an offset: UTC, as the connectors' language has it.
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|naive| naive.and_utc().to_rfc3339())
}

fn date(text: &str) -> Option<String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .map(|date| date.to_string())
}

/// The value as `jsonb` can hold it: NUL characters replaced, numbers out of range as text.
pub(super) fn storable(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Number(number) if decimal(&number.to_string()).is_none() => {
            Value::String(number.to_string())
        }
        Value::Array(items) => Value::Array(items.iter().map(storable).collect()),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (without_nul(name), storable(value)))
            .collect(),
        other => other.clone(),
    }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(column: ColumnType, json_text: &str) -> Result<Option<String>, Misfit> {
        column.render(&serde_json::from_str(json_text).expect("JSON"))
    }

    #[test]
    fn types_follow_the_schema() {
        for (schema, expected) in [
            (json!({"type": "string"}), ColumnType::Text),
            (
                json!({"type": ["null", "string"], "format": "date-time"}),
                ColumnType::Timestamp,
            ),
            (json!({"type": ["integer", "null"]}), ColumnType::BigInt),
            (json!({"type": "number"}), ColumnType::Numeric),
            (json!({"type": ["string", "integer"]}), ColumnType::Json),
            (json!({"type": "object"}), ColumnType::Json),
            (json!({}), ColumnType::Json),
        ] {
            assert_eq!(ColumnType::of(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn money_keeps_the_platforms_digits() {
        let digits = "123456789012345678.90";
        assert_eq!(
            render(ColumnType::Numeric, digits),
            Ok(Some(digits.to_owned()))
        );
        assert_eq!(
            render(ColumnType::Numeric, "\"0.10\""),
            Ok(Some("0.10".to_owned()))
        );
        assert_eq!(render(ColumnType::Numeric, "1e999999"), Err(Misfit));
        assert_eq!(render(ColumnType::Numeric, "\"-\""), Err(Misfit));
        assert_eq!(render(ColumnType::Numeric, "\"NaN\""), Err(Misfit));
    }

    #[test]
    fn integers_fit_or_are_told_apart() {
        assert_eq!(
            render(ColumnType::BigInt, "9223372036854775807"),
            Ok(Some(i64::MAX.to_string()))
        );
        assert_eq!(
            render(ColumnType::BigInt, "9223372036854775808"),
            Err(Misfit)
        );
        assert_eq!(render(ColumnType::BigInt, "5.0"), Ok(Some("5".to_owned())));
        assert_eq!(render(ColumnType::BigInt, "5.5"), Err(Misfit));
        assert_eq!(render(ColumnType::BigInt, "null"), Ok(None));
    }

    #[test]
    fn times_are_read_in_utc() {
        let expected = Ok(Some("2026-01-01T10:00:00+00:00".to_owned()));
        assert_eq!(
            render(ColumnType::Timestamp, "\"2026-01-01T12:00:00+02:00\""),
            expected
        );
        assert_eq!(
            render(ColumnType::Timestamp, "\"2026-01-01 10:00:00\""),
            expected
        );
        assert_eq!(render(ColumnType::Timestamp, "\"yesterday\""), Err(Misfit));
        assert_eq!(render(ColumnType::Date, "\"2026-02-30\""), Err(Misfit));
    }

    #[test]
    fn nul_characters_are_replaced() {
        assert_eq!(
            render(ColumnType::Text, r#""a\u0000b""#),
            Ok(Some("a\u{fffd}b".to_owned()))
        );
        assert_eq!(
            render(ColumnType::Json, r#"{"k\u0000": ["\u0000", 1e5000]}"#),
            Ok(Some(
                "{\"k\u{fffd}\":[\"\u{fffd}\",\"1e+5000\"]}".to_owned()
            ))
        );
    }
}
