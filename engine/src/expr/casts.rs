//! The filters `int` and `float`, with Python's rules.

use serde_json::Value;

use super::eval::EvalError;
use super::number;
use super::value::Val;

/// Python's `int()`: texts are tried as integer and then as float; what is none gives the default.
pub(super) fn to_int<'a>(
    value: &Val<'a>,
    default: Option<&Val<'a>>,
    base: Option<&Val<'a>>,
) -> Result<Val<'a>, EvalError> {
    let fallback = default
        .cloned()
        .unwrap_or_else(|| Val::json(Value::from(0)));
    let json = match value {
        Val::Undefined => return Err(EvalError::Undefined("int of undefined".to_owned())),
        Val::Json(json) => json.as_ref(),
        _ => return Ok(fallback),
    };
    Ok(match json {
        Value::Bool(truth) => Val::json(Value::from(u8::from(*truth))),
        Value::Number(number) => truncate(number).map_or(fallback, Val::json),
        Value::String(text) => {
            let base = base
                .and_then(Val::as_json)
                .and_then(Value::as_u64)
                .unwrap_or(10);
            let radix = u32::try_from(base)
                .ok()
                .filter(|base| (2..=36).contains(base));
            let clean = text.trim().replace('_', "");
            let parsed = radix.and_then(|radix| i128::from_str_radix(&clean, radix).ok());
            let as_float = || clean.parse::<f64>().ok().and_then(number::from_float);
            match parsed {
                Some(integer) => Val::json(number::from_integer(integer)),
                None => match as_float() {
                    Some(Value::Number(number)) => truncate(&number).map_or(fallback, Val::json),
                    _ => fallback,
                },
            }
        }
        _ => fallback,
    })
}

/// The whole part of a number.
fn truncate(number: &serde_json::Number) -> Option<Value> {
    if number::is_integer(number) {
        return Some(Value::Number(number.clone()));
    }
    let float = number::as_float(number);
    // Beyond 2^127 an integer of 128 bits cannot hold it.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let whole = (float.abs() < 1e38).then(|| float.trunc() as i128)?;
    Some(number::from_integer(whole))
}

pub(super) fn to_float<'a>(
    value: &Val<'a>,
    default: Option<&Val<'a>>,
) -> Result<Val<'a>, EvalError> {
    let fallback = || {
        default
            .cloned()
            .or_else(|| number::from_float(0.0).map(Val::json))
            .unwrap_or(Val::Undefined)
    };
    let json = match value {
        Val::Undefined => return Err(EvalError::Undefined("float of undefined".to_owned())),
        Val::Json(json) => json.as_ref(),
        _ => return Ok(fallback()),
    };
    let text = match json {
        Value::Bool(truth) => u8::from(*truth).to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().replace('_', ""),
        _ => return Ok(fallback()),
    };
    let Ok(float) = text.parse::<f64>() else {
        return Ok(fallback());
    };
    // The digits of the text are kept where a float would lose some.
    let exact = text.contains('.').then(|| number::parse(&text)).flatten();
    match exact {
        Some(number) => {
            let shortest = number::parse(&number::text(&number)).unwrap_or(number);
            Ok(Val::json(Value::Number(shortest)))
        }
        None => Ok(number::from_float(float).map_or_else(fallback, Val::json)),
    }
}
