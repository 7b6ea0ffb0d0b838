//! Python's `%` on texts: the operator, and the filter `format`.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::eval::EvalError;
use super::fuel::limited;
use super::number;
use super::value::{Val, as_number, write_repr};

/// What stands between the `%` and the letter.
struct Spec<'t> {
    flags: &'t str,
    width: usize,
    precision: Option<usize>,
}

impl Spec<'_> {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }
}

/// `text % right`: a tuple holds values by place, a dict by name.
pub(super) fn percent(text: &str, right: &Val<'_>) -> Result<String, EvalError> {
    match right {
        Val::Tuple(items) => {
            let items: Vec<Val<'_>> = items
                .iter()
                .map(|item| Val::Json(Cow::Borrowed(item)))
                .collect();
            let values: Vec<&Val<'_>> = items.iter().collect();
            fill(text, &values, &[], false)
        }
        Val::Undefined => fill(text, &[right], &[], true),
        other => {
            let members = other.as_json().and_then(Value::as_object);
            let named: Vec<(&str, Val<'_>)> = members
                .into_iter()
                .flatten()
                .map(|(name, member)| (name.as_str(), Val::Json(Cow::Borrowed(member))))
                .collect();
            let is_list = other.as_json().is_some_and(Value::is_array);
            fill(text, &[right], &named, is_list || members.is_some())
        }
    }
}

/// Fills a text with values, by place or by name. `may_be_left`: values by place that are not taken are no mistake.
pub(super) fn fill(
    text: &str,
    values: &[&Val<'_>],
    named: &[(&str, Val<'_>)],
    may_be_left: bool,
) -> Result<String, EvalError> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = text;
    while let Some(place) = rest.find('%') {
        out.push_str(&rest[..place]);
        rest = &rest[place + 1..];
        let mut name = None;
        if let Some(after) = rest.strip_prefix('(') {
            let (found, after) = after
                .split_once(')')
                .ok_or_else(|| wrong_value("a name in the format has no end"))?;
            name = Some(found);
            rest = after;
        }
        let spec = spec(&mut rest)?;
        let mut letters = rest.chars();
        let letter = letters
            .next()
            .ok_or_else(|| wrong_value("the format ends with \"%\""))?;
        rest = letters.as_str();
        if letter == '%' {
            out.push('%');
            continue;
        }
        let value = match name {
            Some(name) if named.is_empty() => {
                let message = format!("the format names \"{name}\", so its values need names");
                return Err(EvalError::Type(message));
            }
            Some(name) => {
                let found = named.iter().find(|(known, _)| *known == name);
                let message = || format!("the format's \"{name}\" is not given");
                &found.ok_or_else(|| EvalError::Value(message()))?.1
            }
            None => values
                .next()
                .ok_or_else(|| wrong_type("the format needs more values"))?,
        };
        let piece = piece(letter, value, &spec)?;
        limited(
            out.len()
                .saturating_add(spec.width)
                .saturating_add(piece.len()),
        )?;
        pad(&mut out, &piece, letter, &spec);
    }
    if values.next().is_some() && !may_be_left {
        return Err(wrong_type("the format takes fewer values"));
    }
    out.push_str(rest);
    Ok(out)
}

fn wrong_value(message: &str) -> EvalError {
    EvalError::Value(message.to_owned())
}

fn wrong_type(message: &str) -> EvalError {
    EvalError::Type(message.to_owned())
}

fn spec<'t>(rest: &mut &'t str) -> Result<Spec<'t>, EvalError> {
    let after = rest.trim_start_matches(['-', '0', '+', ' ', '#']);
    let flags = &rest[..rest.len() - after.len()];
    *rest = after;
    let width = digits(rest)?.unwrap_or(0);
    let mut precision = None;
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        precision = Some(digits(rest)?.unwrap_or(0));
    }
    // Lengths of C's numbers mean nothing.
    *rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
    Ok(Spec {
        flags,
        width,
        precision,
    })
}

fn digits(rest: &mut &str) -> Result<Option<usize>, EvalError> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (found, after) = rest.split_at(length);
    *rest = after;
    if found.is_empty() {
        return Ok(None);
    }
    let number: usize = found.parse().unwrap_or(usize::MAX);
    limited(number)?;
    Ok(Some(number))
}

/// The value without its padding.
fn piece(letter: char, value: &Val<'_>, spec: &Spec<'_>) -> Result<String, EvalError> {
    match letter {
        's' | 'r' | 'a' => {
            let mut text = match (letter, value.as_json()) {
                ('r' | 'a', Some(json)) => {
                    let mut text = String::new();
                    write_repr(&mut text, json);
                    text
                }
                _ => value.to_text().into_owned(),
            };
            if letter == 'a' && !text.is_ascii() {
                return Err(wrong_value("\"%a\" is for ASCII here; use %r"));
            }
            if let Some(most) = spec.precision {
                text = text.chars().take(most).collect();
            }
            Ok(text)
        }
        'c' => match value.as_json() {
            Some(Value::String(text)) if text.chars().count() == 1 => Ok(text.clone()),
            Some(Value::Number(code)) => {
                let code = code.as_u64().and_then(|code| u32::try_from(code).ok());
                let character = code.and_then(char::from_u32);
                Ok(character
                    .ok_or_else(|| wrong_value("\"%c\" needs the number of a character"))?
                    .to_string())
            }
            _ => Err(wrong_type("\"%c\" needs one character")),
        },
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => integer(letter, value, spec),
        'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
            let number = value.as_json().and_then(as_number);
            let number = number.ok_or_else(|| {
                wrong_type(&format!(
                    "\"%{letter}\" needs a number, not {}",
                    value.type_name()
                ))
            })?;
            let float = number::as_float(&number);
            let precision = spec.precision.unwrap_or(6);
            if precision > 1_000 {
                return Err(wrong_value("the precision is a number up to 1000"));
            }
            let text = match letter.to_ascii_lowercase() {
                'f' => format!("{:.precision$}", float.abs()),
                'e' => scientific(float.abs(), precision),
                _ => general(float.abs(), precision, spec.has('#')),
            };
            let text = if letter.is_ascii_uppercase() {
                text.to_uppercase()
            } else {
                text
            };
            Ok(format!("{}{text}", sign(float.is_sign_negative(), spec)))
        }
        _ => Err(wrong_value(&format!(
            "\"%{letter}\" is no part of a format"
        ))),
    }
}

fn sign(negative: bool, spec: &Spec<'_>) -> &'static str {
    match (negative, spec.has('+'), spec.has(' ')) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn integer(letter: char, value: &Val<'_>, spec: &Spec<'_>) -> Result<String, EvalError> {
    let needed = || {
        let name = value.type_name();
        wrong_type(&format!("\"%{letter}\" needs a whole number, not {name}"))
    };
    let number = value.as_json().and_then(as_number).ok_or_else(needed)?;
    let is_decimal = matches!(letter, 'd' | 'i' | 'u');
    let whole = if number::is_integer(&number) {
        number.as_str().to_owned()
    } else if is_decimal && number::as_float(&number).is_finite() {
        format!("{:.0}", number::as_float(&number).trunc())
    } else {
        return Err(needed());
    };
    let (negative, digits) = match whole.strip_prefix('-') {
        Some(digits) => (digits != "0", digits),
        None => (false, whole.as_str()),
    };
    let based = || {
        let number: u128 = digits.parse().ok()?;
        Some(match letter {
            'x' => format!("{number:x}"),
            'X' => format!("{number:X}"),
            _ => format!("{number:o}"),
        })
    };
    let mut text = if is_decimal {
        digits.to_owned()
    } else {
        based().ok_or_else(|| wrong_value("an integer of the format needs more than 128 bits"))?
    };
    let least = spec.precision.unwrap_or(0);
    if text.len() < least {
        text.insert_str(0, &"0".repeat(least - text.len()));
    }
    let prefix = match letter {
        'x' if spec.has('#') => "0x",
        'X' if spec.has('#') => "0X",
        'o' if spec.has('#') => "0o",
        _ => "",
    };
    Ok(format!("{}{prefix}{text}", sign(negative, spec)))
}

/// `1.500000e+03`.
fn scientific(float: f64, precision: usize) -> String {
    let text = format!("{float:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// The shorter of both, with so many significant digits.
fn general(float: f64, precision: usize, keeps_zeros: bool) -> String {
    let digits = precision.max(1);
    let rounded = scientific(float, digits - 1);
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "+00"));
    let power: i64 = exponent.parse().unwrap_or(0);
    let bare = |text: &str| {
        if keeps_zeros || !text.contains('.') {
            return text.to_owned();
        }
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match usize::try_from(i64::try_from(digits).unwrap_or(i64::MAX) - 1 - power) {
        Ok(decimals) if power >= -4 => bare(&format!("{float:.decimals$}")),
        _ => format!("{}e{exponent}", bare(mantissa)),
    }
}

fn pad(out: &mut String, piece: &str, letter: char, spec: &Spec<'_>) {
    let missing = spec.width.saturating_sub(piece.chars().count());
    let is_number = "diuxXofFeEgG".contains(letter);
    if spec.has('-') {
        // Writing to a String cannot fail.
        let _ = write!(out, "{piece}{:missing$}", "");
    } else if spec.has('0') && is_number {
        let mut head = piece.len() - piece.trim_start_matches(['+', '-', ' ']).len();
        if piece[head..].starts_with("0x")
            || piece[head..].starts_with("0X")
            || piece[head..].starts_with("0o")
        {
            head += 2;
        }
        out.push_str(&piece[..head]);
        out.push_str(&"0".repeat(missing));
        out.push_str(&piece[head..]);
    } else {
        let _ = write!(out, "{:missing$}{piece}", "");
    }
}
