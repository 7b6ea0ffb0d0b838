//! Methods of texts, lists and dicts, as Python has them.

use std::borrow::Cow;

use serde_json::Value;

use super::eval::EvalError;
use super::fuel::{Fuel, VALUE, limited};
use super::value::{NULL, Val};

/// A method that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Items,
    Keys,
    Values,
    Split,
    RightSplit,
    Replace,
    Strip,
    LeftStrip,
    RightStrip,
    Lower,
    Upper,
    Capitalize,
    Title,
    StartsWith,
    EndsWith,
    Join,
    Find,
    Count,
    IsDigit,
    IsAlpha,
    IsAlphanumeric,
    IsSpace,
    IsLower,
    IsUpper,
    ZeroFill,
    Index,
    FindRight,
    RemovePrefix,
    RemoveSuffix,
    Partition,
    RightPartition,
    SplitLines,
    SwapCase,
    /// A method of datetimes, dates or durations.
    Dated(&'static str),
}

/// Name, method, fewest and most arguments.
const NAMES: &[(&str, Method, usize, usize)] = &[
    ("get", Method::Get, 1, 2),
    ("items", Method::Items, 0, 0),
    ("keys", Method::Keys, 0, 0),
    ("values", Method::Values, 0, 0),
    ("split", Method::Split, 0, 2),
    ("rsplit", Method::RightSplit, 0, 2),
    ("replace", Method::Replace, 2, 3),
    ("strip", Method::Strip, 0, 1),
    ("lstrip", Method::LeftStrip, 0, 1),
    ("rstrip", Method::RightStrip, 0, 1),
    ("lower", Method::Lower, 0, 0),
    ("upper", Method::Upper, 0, 0),
    ("capitalize", Method::Capitalize, 0, 0),
    ("title", Method::Title, 0, 0),
    ("startswith", Method::StartsWith, 1, 1),
    ("endswith", Method::EndsWith, 1, 1),
    ("join", Method::Join, 1, 1),
    ("find", Method::Find, 1, 1),
    ("count", Method::Count, 1, 1),
    ("isdigit", Method::IsDigit, 0, 0),
    ("isnumeric", Method::IsDigit, 0, 0),
    ("isalpha", Method::IsAlpha, 0, 0),
    ("isalnum", Method::IsAlphanumeric, 0, 0),
    ("isspace", Method::IsSpace, 0, 0),
    ("islower", Method::IsLower, 0, 0),
    ("isupper", Method::IsUpper, 0, 0),
    ("zfill", Method::ZeroFill, 1, 1),
    ("index", Method::Index, 1, 1),
    ("rfind", Method::FindRight, 1, 1),
    ("removeprefix", Method::RemovePrefix, 1, 1),
    ("removesuffix", Method::RemoveSuffix, 1, 1),
    ("partition", Method::Partition, 1, 1),
    ("rpartition", Method::RightPartition, 1, 1),
    ("splitlines", Method::SplitLines, 0, 0),
    ("swapcase", Method::SwapCase, 0, 0),
    ("casefold", Method::Lower, 0, 0),
    ("strftime", Method::Dated("strftime"), 1, 1),
    ("isoformat", Method::Dated("isoformat"), 0, 0),
    ("date", Method::Dated("date"), 0, 0),
    ("timestamp", Method::Dated("timestamp"), 0, 0),
    ("weekday", Method::Dated("weekday"), 0, 0),
    ("isoweekday", Method::Dated("isoweekday"), 0, 0),
    ("total_seconds", Method::Dated("total_seconds"), 0, 0),
];

/// Whether Jinja would give a dict's method for an attribute of this name.
pub(crate) fn is_dict_method(name: &str) -> bool {
    matches!(
        name,
        "get"
            | "items"
            | "keys"
            | "values"
            | "pop"
            | "popitem"
            | "update"
            | "copy"
            | "clear"
            | "setdefault"
            | "fromkeys"
    )
}

/// Whether some value has a method of this name.
pub(crate) fn is_method(name: &str) -> bool {
    is_dict_method(name) || NAMES.iter().any(|(known, ..)| *known == name)
}

impl Method {
    pub(crate) fn by_name(name: &str, arguments: usize) -> Result<Method, String> {
        match NAMES.iter().find(|(known, ..)| *known == name) {
            Some((_, method, least, most)) if (*least..=*most).contains(&arguments) => Ok(*method),
            Some((_, _, least, most)) => Err(format!(
                "the method \"{name}\" takes {least} to {most} arguments, not {arguments}"
            )),
            None => {
                let names: Vec<&str> = NAMES.iter().map(|(known, ..)| *known).collect();
                Err(format!(
                    "the method \"{name}()\" is not supported; supported: {}",
                    names.join(", ")
                ))
            }
        }
    }

    pub(crate) fn call<'a>(
        self,
        receiver: &Val<'a>,
        arguments: &[Val<'a>],
        fuel: &Fuel,
    ) -> Result<Val<'a>, EvalError> {
        // A member is lent.
        if self != Method::Get {
            fuel.reads(receiver)?;
            for argument in arguments {
                fuel.reads(argument)?;
            }
        }
        let result = self.make(receiver, arguments, fuel)?;
        if let Val::Json(Cow::Owned(Value::String(text))) = &result {
            fuel.text(text.len())?;
        }
        Ok(result)
    }

    fn make<'a>(
        self,
        receiver: &Val<'a>,
        arguments: &[Val<'a>],
        fuel: &Fuel,
    ) -> Result<Val<'a>, EvalError> {
        match receiver {
            Val::Json(value) => match value.as_ref() {
                Value::String(text) => self.of_text(text, arguments, fuel),
                Value::Object(_) => self.of_dict(receiver, arguments),
                Value::Array(_) => self.of_list(receiver, arguments),
                _ => Err(self.missing(receiver)),
            },
            Val::Tuple(_) => self.of_list(receiver, arguments),
            Val::Dated(dated) => {
                let Method::Dated(name) = self else {
                    return Err(self.missing(receiver));
                };
                let answer = dated.call(name, arguments.first());
                answer
                    .ok_or_else(|| self.missing(receiver))?
                    .map_err(EvalError::Type)
            }
            _ => Err(self.missing(receiver)),
        }
    }

    /// Jinja gives undefined for a method that a value does not have, and calling that is an error of
    /// its own kind: it leads to the default.
    fn missing(self, receiver: &Val<'_>) -> EvalError {
        let name = NAMES
            .iter()
            .find(|(_, method, ..)| *method == self)
            .map_or("", |known| known.0);
        EvalError::Undefined(format!("{} has no method \"{name}\"", receiver.type_name()))
    }

    fn of_dict<'a>(self, receiver: &Val<'a>, arguments: &[Val<'a>]) -> Result<Val<'a>, EvalError> {
        let fallback = || arguments.get(1).cloned().unwrap_or(NULL);
        let Val::Json(dict) = receiver else {
            return Err(self.missing(receiver));
        };
        let Value::Object(members) = dict.as_ref() else {
            return Err(self.missing(receiver));
        };
        Ok(match self {
            Method::Get => {
                let Some(key) = arguments.first().and_then(Val::as_str) else {
                    return Ok(fallback());
                };
                match dict {
                    Cow::Borrowed(Value::Object(members)) => members
                        .get(key)
                        .map_or_else(fallback, |found| Val::Json(Cow::Borrowed(found))),
                    _ => members.get(key).cloned().map_or_else(fallback, Val::json),
                }
            }
            Method::Items => {
                let pair = |(key, value): (&String, &Value)| {
                    Value::Array(vec![Value::String(key.clone()), value.clone()])
                };
                Val::json(members.iter().map(pair).collect())
            }
            Method::Keys => Val::json(members.keys().cloned().map(Value::String).collect()),
            Method::Values => Val::json(members.values().cloned().collect()),
            _ => return Err(self.missing(receiver)),
        })
    }

    fn of_list<'a>(self, receiver: &Val<'a>, arguments: &[Val<'a>]) -> Result<Val<'a>, EvalError> {
        match (self, receiver.as_items(), arguments.first()) {
            (Method::Count, Some(items), Some(wanted)) => {
                let wanted = wanted.clone().into_json();
                let count = items
                    .iter()
                    .filter(|item| super::value::json_equals(item, &wanted))
                    .count();
                Ok(Val::integer(count))
            }
            (Method::Index, Some(items), Some(wanted)) => {
                let wanted = wanted.clone().into_json();
                let place = items
                    .iter()
                    .position(|item| super::value::json_equals(item, &wanted));
                place
                    .map(Val::integer)
                    .ok_or_else(|| EvalError::Value("the list does not hold the value".to_owned()))
            }
            _ => Err(self.missing(receiver)),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each method, on one page"
    )]
    fn of_text<'a>(
        self,
        text: &str,
        arguments: &[Val<'a>],
        fuel: &Fuel,
    ) -> Result<Val<'a>, EvalError> {
        let first = arguments.first();
        let second = arguments.get(1);
        Ok(match self {
            Method::Split => Val::json(split(text, first, second, false, fuel)?),
            Method::RightSplit => Val::json(split(text, first, second, true, fuel)?),
            Method::Replace => {
                let old = required_text(first)?;
                let new = required_text(second)?;
                Val::text(replace(text, old, new, arguments.get(2))?)
            }
            Method::Strip | Method::LeftStrip | Method::RightStrip => {
                let characters = match first {
                    None => None,
                    Some(value) if value.as_json() == Some(&Value::Null) => None,
                    Some(value) => Some(required_text(Some(value))?),
                };
                fuel.burn_each(text.len(), characters.map_or(0, str::len))?;
                let strips = |c: char| match characters {
                    None => c.is_whitespace(),
                    Some(characters) => characters.contains(c),
                };
                Val::text(match self {
                    Method::Strip => text.trim_matches(strips),
                    Method::LeftStrip => text.trim_start_matches(strips),
                    _ => text.trim_end_matches(strips),
                })
            }
            Method::Lower => Val::text(text.to_lowercase()),
            Method::Upper => Val::text(text.to_uppercase()),
            Method::Capitalize => Val::text(capitalize(text)),
            Method::Title => Val::text(title(text)),
            Method::StartsWith | Method::EndsWith => {
                let holds = |affix: &str| {
                    if self == Method::StartsWith {
                        text.starts_with(affix)
                    } else {
                        text.ends_with(affix)
                    }
                };
                Val::boolean(match first {
                    Some(Val::Tuple(choices)) => {
                        choices.iter().filter_map(Value::as_str).any(holds)
                    }
                    other => holds(required_text(other)?),
                })
            }
            Method::Join => {
                let items = first.and_then(Val::as_items);
                let Some(items) = items else {
                    return Err(EvalError::Type("join() needs a list of texts".to_owned()));
                };
                let mut joined = String::new();
                for (index, item) in items.iter().enumerate() {
                    let Some(part) = item.as_str() else {
                        return Err(EvalError::Type(format!(
                            "join() needs a list of texts, item {index} is none"
                        )));
                    };
                    if index > 0 {
                        joined.push_str(text);
                    }
                    joined.push_str(part);
                    limited(joined.len())?;
                }
                Val::text(joined)
            }
            Method::Find => {
                let found = text.find(required_text(first)?);
                let characters = found.map(|at| text[..at].chars().count());
                characters.map_or_else(|| Val::json(Value::from(-1)), Val::integer)
            }
            Method::Count => {
                let wanted = required_text(first)?;
                let empty = wanted.is_empty();
                let count = if empty {
                    text.chars().count() + 1
                } else {
                    text.matches(wanted).count()
                };
                Val::integer(count)
            }
            Method::IsDigit => Val::boolean(!text.is_empty() && text.chars().all(char::is_numeric)),
            Method::IsAlpha => {
                Val::boolean(!text.is_empty() && text.chars().all(char::is_alphabetic))
            }
            Method::IsAlphanumeric => {
                Val::boolean(!text.is_empty() && text.chars().all(char::is_alphanumeric))
            }
            Method::IsSpace => {
                Val::boolean(!text.is_empty() && text.chars().all(char::is_whitespace))
            }
            Method::IsLower => Val::boolean(
                text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
            ),
            Method::IsUpper => Val::boolean(
                text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
            ),
            Method::Index => {
                let found = text.find(required_text(first)?);
                let found = found.ok_or_else(|| {
                    EvalError::Value("the text does not hold the part".to_owned())
                })?;
                Val::integer(text[..found].chars().count())
            }
            Method::FindRight => {
                let found = text.rfind(required_text(first)?);
                let characters = found.map(|at| text[..at].chars().count());
                characters.map_or_else(|| Val::json(Value::from(-1)), Val::integer)
            }
            Method::RemovePrefix => {
                let prefix = required_text(first)?;
                Val::text(text.strip_prefix(prefix).unwrap_or(text))
            }
            Method::RemoveSuffix => {
                let suffix = required_text(first)?;
                Val::text(text.strip_suffix(suffix).unwrap_or(text))
            }
            Method::Partition | Method::RightPartition => {
                let separator = required_text(first)?;
                if separator.is_empty() {
                    return Err(EvalError::Value("partition() needs a separator".to_owned()));
                }
                let from_right = self == Method::RightPartition;
                let parts = if from_right {
                    text.rsplit_once(separator)
                } else {
                    text.split_once(separator)
                };
                let parts = match parts {
                    Some((before, after)) => [before, separator, after],
                    None if from_right => ["", "", text],
                    None => [text, "", ""],
                };
                Val::Tuple(parts.map(Value::from).to_vec())
            }
            Method::SplitLines => {
                let lines = lines(text);
                fuel.burn_each(lines.len(), VALUE)?;
                Val::json(lines.into_iter().map(Value::from).collect())
            }
            Method::SwapCase => {
                let mut swapped = String::with_capacity(text.len());
                for c in text.chars() {
                    if c.is_lowercase() {
                        swapped.extend(c.to_uppercase());
                    } else {
                        swapped.extend(c.to_lowercase());
                    }
                }
                Val::text(swapped)
            }
            Method::ZeroFill => {
                let width = required_count(first)?;
                let (sign, digits) = match text.strip_prefix(['+', '-']) {
                    Some(digits) => (&text[..1], digits),
                    None => ("", text),
                };
                limited(width)?;
                let zeros = "0".repeat(width.saturating_sub(text.chars().count()));
                Val::text(format!("{sign}{zeros}{digits}"))
            }
            Method::Get | Method::Items | Method::Keys | Method::Values | Method::Dated(_) => {
                return Err(self.missing(&Val::text(text)));
            }
        })
    }
}

fn required_text<'v>(value: Option<&'v Val<'_>>) -> Result<&'v str, EvalError> {
    let found = value.and_then(Val::as_str);
    let type_name = value.map_or("nothing", Val::type_name);
    found.ok_or_else(|| EvalError::Type(format!("a text is needed, not {type_name}")))
}

/// A count of at least 0; negative ones count as 0.
fn required_count(value: Option<&Val<'_>>) -> Result<usize, EvalError> {
    let number = value.and_then(Val::as_json).and_then(Value::as_i64);
    let Some(number) = number else {
        return Err(EvalError::Type("a whole number is needed".to_owned()));
    };
    Ok(usize::try_from(number).unwrap_or(0))
}

/// Python's `replace`, with the optional largest count (negative: all).
pub(crate) fn replace(
    text: &str,
    old: &str,
    new: &str,
    count: Option<&Val<'_>>,
) -> Result<String, EvalError> {
    let at_most = match count.and_then(Val::as_json) {
        None | Some(Value::Null) => usize::MAX,
        Some(value) => value
            .as_i64()
            .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)),
    };
    let hits = if old.is_empty() {
        text.len() + 1
    } else {
        text.matches(old).count()
    };
    limited(
        text.len()
            .saturating_add(hits.min(at_most).saturating_mul(new.len())),
    )?;
    Ok(text.replacen(old, new, at_most))
}

fn split(
    text: &str,
    separator: Option<&Val<'_>>,
    count: Option<&Val<'_>>,
    from_right: bool,
    fuel: &Fuel,
) -> Result<Value, EvalError> {
    let at_most = match count.and_then(Val::as_json) {
        None | Some(Value::Null) => usize::MAX,
        Some(value) => value
            .as_i64()
            .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)),
    };
    let by_space = separator.is_none_or(|value| value.as_json() == Some(&Value::Null));
    let pieces: Vec<&str> = if by_space {
        split_at_space(text, at_most, from_right)
    } else {
        let separator = required_text(separator)?;
        if separator.is_empty() {
            return Err(EvalError::Value("split() needs a separator".to_owned()));
        }
        let limit = at_most.saturating_add(1);
        if from_right {
            let mut pieces: Vec<&str> = text.rsplitn(limit, separator).collect();
            pieces.reverse();
            pieces
        } else {
            text.splitn(limit, separator).collect()
        }
    };
    fuel.burn_each(pieces.len(), VALUE)?;
    Ok(pieces
        .into_iter()
        .map(|piece| Value::String(piece.to_owned()))
        .collect())
}

fn split_at_space(text: &str, at_most: usize, from_right: bool) -> Vec<&str> {
    let mut pieces = Vec::new();
    // What is left over when the count is used up keeps its space at the far end.
    let mut rest = if from_right {
        text.trim_end()
    } else {
        text.trim_start()
    };
    while !rest.is_empty() {
        let boundary = if from_right {
            rest.rfind(char::is_whitespace)
        } else {
            rest.find(char::is_whitespace)
        };
        let Some(boundary) = boundary.filter(|_| pieces.len() < at_most) else {
            pieces.push(rest);
            break;
        };
        if from_right {
            pieces.push(rest[boundary..].trim_start());
            rest = rest[..boundary].trim_end();
        } else {
            pieces.push(&rest[..boundary]);
            rest = rest[boundary..].trim_start();
        }
    }
    if from_right {
        pieces.reverse();
    }
    pieces
}

/// Python's `splitlines()`.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(ends) {
        lines.push(&rest[..end]);
        let after = &rest[end..];
        rest = after
            .strip_prefix("\r\n")
            .or_else(|| after.strip_prefix(ends))
            .unwrap_or_default();
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first
            .to_uppercase()
            .chain(chars.flat_map(char::to_lowercase))
            .collect(),
        None => String::new(),
    }
}

/// Each word with a capital; a word begins after anything that is no letter.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_alphabetic();
    }
    out
}
