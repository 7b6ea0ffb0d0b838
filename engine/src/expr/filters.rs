//! The filters of expressions: Jinja's own, and those that the language adds.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;
use serde_json::Value;
use sha2::Digest as _;

use super::eval::{EvalError, limited};
use super::kept::Kept;
use super::methods;
use super::number;
use super::tree::{Arguments, Node};
use super::value::{Val, json_is_true, write_repr};

/// A filter that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    Int,
    Float,
    String,
    Length,
    List,
    Default,
    First,
    Last,
    Join,
    Lower,
    Upper,
    Capitalize,
    Title,
    Replace,
    Trim,
    Abs,
    ToJson,
    UrlEncode,
    Base64Encode,
    Base64Decode,
    Hash,
    RegexSearch,
}

/// Name, filter, names of its parameters in order, how many of them are required.
type Known = (&'static str, Filter, &'static [&'static str], usize);

const NAMES: &[Known] = &[
    ("int", Filter::Int, &["default", "base"], 0),
    ("float", Filter::Float, &["default"], 0),
    ("string", Filter::String, &[], 0),
    ("length", Filter::Length, &[], 0),
    ("count", Filter::Length, &[], 0),
    ("list", Filter::List, &[], 0),
    ("default", Filter::Default, &["default_value", "boolean"], 0),
    ("d", Filter::Default, &["default_value", "boolean"], 0),
    ("first", Filter::First, &[], 0),
    ("last", Filter::Last, &[], 0),
    ("join", Filter::Join, &["d"], 0),
    ("lower", Filter::Lower, &[], 0),
    ("upper", Filter::Upper, &[], 0),
    ("capitalize", Filter::Capitalize, &[], 0),
    ("title", Filter::Title, &[], 0),
    ("replace", Filter::Replace, &["old", "new", "count"], 2),
    ("trim", Filter::Trim, &["chars"], 0),
    ("abs", Filter::Abs, &[], 0),
    ("tojson", Filter::ToJson, &[], 0),
    ("urlencode", Filter::UrlEncode, &[], 0),
    ("base64encode", Filter::Base64Encode, &[], 0),
    ("base64decode", Filter::Base64Decode, &[], 0),
    ("hash", Filter::Hash, &["hash_type", "salt"], 0),
    ("regex_search", Filter::RegexSearch, &["regex"], 1),
];

/// Digests of the `hash` filter.
const DIGESTS: &[&str] = &["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];

/// Python's `quote` leaves these alone, and `/` too for a text.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');
const QUOTED_PATH: &AsciiSet = &QUOTED.remove(b'/');

static REGEXES: Kept<Regex> = Kept::new();

impl Filter {
    pub(crate) fn by_name(name: &str) -> Result<Filter, String> {
        let known = NAMES.iter().find(|(known, ..)| *known == name);
        known.map(|(_, filter, ..)| *filter).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(known, ..)| *known).collect();
            format!(
                "the filter \"{name}\" is not supported; supported: {}",
                names.join(", ")
            )
        })
    }

    fn known(self) -> &'static Known {
        NAMES
            .iter()
            .find(|(_, filter, ..)| *filter == self)
            .unwrap_or(&NAMES[0])
    }

    /// Refuses arguments that the filter does not take, and constants that cannot work.
    pub(crate) fn check(self, arguments: &Arguments) -> Result<(), String> {
        let (name, _, parameters, required) = self.known();
        let given = arguments.positional.len() + arguments.named.len();
        if arguments.positional.len() > parameters.len() || given < *required {
            return Err(format!(
                "the filter \"{name}\" takes {required} to {} arguments, not {given}",
                parameters.len()
            ));
        }
        for (argument, _) in &arguments.named {
            let place = parameters.iter().position(|known| known == argument);
            match place {
                Some(place) if place >= arguments.positional.len() => {}
                Some(_) => return Err(format!("the filter \"{name}\" has \"{argument}\" twice")),
                None => {
                    return Err(format!(
                        "the filter \"{name}\" has no argument \"{argument}\""
                    ));
                }
            }
        }
        let first = arguments.positional.first().or_else(|| {
            let named = arguments
                .named
                .iter()
                .find(|(name, _)| parameters.first() == Some(&name.as_str()));
            named.map(|(_, node)| node)
        });
        if let Some(Node::Const(Value::String(constant))) = first {
            if self == Filter::Hash && !DIGESTS.contains(&constant.as_str()) {
                return Err(format!(
                    "the digest \"{constant}\" is not supported; supported: {}",
                    DIGESTS.join(", ")
                ));
            }
            if self == Filter::RegexSearch {
                compile_regex(constant)?;
            }
        }
        Ok(())
    }

    /// The place of a named argument among the positional ones.
    pub(crate) fn place_of(self, argument: &str) -> usize {
        let parameters = self.known().2;
        parameters
            .iter()
            .position(|known| *known == argument)
            .unwrap_or(usize::MAX)
    }

    pub(crate) fn apply<'a>(
        self,
        value: Val<'a>,
        arguments: &[Option<Val<'a>>],
    ) -> Result<Val<'a>, EvalError> {
        let argument = |index: usize| arguments.get(index).and_then(Option::as_ref);
        Ok(match self {
            Filter::Int => to_int(&value, argument(0), argument(1))?,
            Filter::Float => to_float(&value, argument(0))?,
            Filter::String => match value.as_str() {
                Some(_) => value,
                // The quotes keep the text from being read as a literal.
                None => Val::text(format!(
                    "\"\"\"{}\"\"\"",
                    json_text(&value, JsonStyle::Python)
                )),
            },
            Filter::Length => Val::integer(length(&value)?),
            Filter::List => Val::json(Value::Array(items(&value)?)),
            Filter::Default => {
                let also_false = argument(1).is_some_and(Val::is_true);
                let missing = matches!(value, Val::Undefined) || (also_false && !value.is_true());
                if missing {
                    argument(0).cloned().unwrap_or_else(|| Val::text(""))
                } else {
                    value
                }
            }
            Filter::First => items(&value)?
                .into_iter()
                .next()
                .map_or(Val::Undefined, Val::json),
            Filter::Last => items(&value)?
                .into_iter()
                .next_back()
                .map_or(Val::Undefined, Val::json),
            Filter::Join => {
                let separator = argument(0).map(|value| value.to_text().into_owned());
                Val::text(join(&items(&value)?, &separator.unwrap_or_default())?)
            }
            Filter::Lower => Val::text(value.to_text().to_lowercase()),
            Filter::Upper => Val::text(value.to_text().to_uppercase()),
            Filter::Capitalize => Val::text(methods::capitalize(&value.to_text())),
            Filter::Title => Val::text(methods::title(&value.to_text())),
            Filter::Replace => {
                let old = argument(0).map(Val::to_text).unwrap_or_default();
                let new = argument(1).map(Val::to_text).unwrap_or_default();
                Val::text(methods::replace(&value.to_text(), &old, &new, argument(2))?)
            }
            Filter::Trim => {
                let characters = argument(0).map(|value| value.to_text().into_owned());
                let text = value.to_text();
                Val::text(match characters {
                    Some(characters) => text.trim_matches(|c| characters.contains(c)),
                    None => text.trim(),
                })
            }
            Filter::Abs => match value.as_json().and_then(Value::as_number) {
                Some(number) => {
                    let positive = number.as_str().trim_start_matches('-');
                    number::parse(positive).map_or(Val::Undefined, |n| Val::json(Value::Number(n)))
                }
                None => return Err(wrong(&value, "has no absolute value")),
            },
            Filter::ToJson => Val::text(json_text(&value, JsonStyle::Html)),
            Filter::UrlEncode => Val::text(url_encode(&value)),
            Filter::Base64Encode => match value.as_str() {
                Some(text) => Val::text(STANDARD.encode(text)),
                None => return Err(wrong(&value, "is no text to encode")),
            },
            Filter::Base64Decode => match value.as_str() {
                Some(text) => {
                    let bytes = STANDARD.decode(text).ok();
                    let decoded = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                    let decoded =
                        decoded.ok_or_else(|| EvalError::Value("no base64 text".to_owned()))?;
                    Val::text(decoded)
                }
                None => return Err(wrong(&value, "is no text to decode")),
            },
            Filter::Hash => {
                let kind = argument(0).map_or_else(|| "md5".into(), Val::to_text);
                let mut input = value.to_text().into_owned();
                if let Some(salt) = argument(1).filter(|salt| salt.is_true()) {
                    input.push_str(&salt.to_text());
                }
                Val::text(hash(&kind, input.as_bytes())?)
            }
            Filter::RegexSearch => {
                let pattern = argument(0).map(Val::to_text).unwrap_or_default();
                let regex = REGEXES
                    .get(&pattern, compile_regex)
                    .map_err(EvalError::Value)?;
                let Some(text) = value.as_str() else {
                    return Err(wrong(&value, "is no text to search"));
                };
                let group = regex
                    .captures(text)
                    .and_then(|found| found.get(1).map(|g| g.as_str()));
                Val::text(group.unwrap_or_default())
            }
        })
    }
}

fn wrong(value: &Val<'_>, what: &str) -> EvalError {
    match value {
        Val::Undefined => EvalError::Undefined("the value is undefined".to_owned()),
        _ => EvalError::Type(format!("{} {what}", value.type_name())),
    }
}

pub(crate) fn compile_regex(pattern: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build();
    built.map_err(|error| {
        let reason = error.to_string().replace('\n', " ");
        format!("the regular expression \"{pattern}\" cannot be used: {reason}")
    })
}

/// Python's `int()`: texts are tried as integer and then as float; what is none gives the default.
fn to_int<'a>(
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

fn to_float<'a>(value: &Val<'a>, default: Option<&Val<'a>>) -> Result<Val<'a>, EvalError> {
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

fn length(value: &Val<'_>) -> Result<usize, EvalError> {
    match value {
        Val::Undefined => Ok(0),
        Val::Tuple(items) | Val::Set(items) => Ok(items.len()),
        Val::Bytes(bytes) => Ok(bytes.len()),
        Val::Ellipsis | Val::Dated(_) => Err(wrong(value, "has no length")),
        Val::Json(json) => match json.as_ref() {
            Value::String(text) => Ok(text.chars().count()),
            Value::Array(items) => Ok(items.len()),
            Value::Object(members) => Ok(members.len()),
            _ => Err(wrong(value, "has no length")),
        },
    }
}

/// What Python's `iter()` yields: characters of a text, keys of a dict.
pub(crate) fn items(value: &Val<'_>) -> Result<Vec<Value>, EvalError> {
    match value {
        Val::Undefined => Ok(Vec::new()),
        Val::Tuple(items) | Val::Set(items) => Ok(items.clone()),
        Val::Json(json) => match json.as_ref() {
            Value::String(text) => Ok(text.chars().map(|c| Value::String(c.to_string())).collect()),
            Value::Array(items) => Ok(items.clone()),
            Value::Object(members) => Ok(members.keys().cloned().map(Value::String).collect()),
            _ => Err(wrong(value, "cannot be gone through")),
        },
        _ => Err(wrong(value, "cannot be gone through")),
    }
}

fn join(items: &[Value], separator: &str) -> Result<String, EvalError> {
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        match item {
            Value::String(text) => joined.push_str(text),
            other => write_repr(&mut joined, other),
        }
        limited(joined.len())?;
    }
    Ok(joined)
}

fn url_encode(value: &Val<'_>) -> String {
    let quote_member = |value: &Value| {
        let text = Val::json(value.clone()).to_text().into_owned();
        utf8_percent_encode(&text, QUOTED)
            .to_string()
            .replace("%20", "+")
    };
    match value.as_json() {
        Some(Value::Object(members)) => {
            let mut parts = Vec::with_capacity(members.len());
            for (key, member) in members {
                let key = quote_member(&Value::String(key.clone()));
                parts.push(format!("{key}={}", quote_member(member)));
            }
            parts.join("&")
        }
        _ => utf8_percent_encode(&value.to_text(), QUOTED_PATH).to_string(),
    }
}

fn hash(kind: &str, input: &[u8]) -> Result<String, EvalError> {
    let digest: Vec<u8> = match kind {
        "md5" => md5::Md5::digest(input).to_vec(),
        "sha1" => sha1::Sha1::digest(input).to_vec(),
        "sha224" => sha2::Sha224::digest(input).to_vec(),
        "sha256" => sha2::Sha256::digest(input).to_vec(),
        "sha384" => sha2::Sha384::digest(input).to_vec(),
        "sha512" => sha2::Sha512::digest(input).to_vec(),
        _ => {
            let message = format!(
                "the digest \"{kind}\" is not supported; supported: {}",
                DIGESTS.join(", ")
            );
            return Err(EvalError::Value(message));
        }
    };
    let mut text = String::with_capacity(digest.len() * 2);
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum JsonStyle {
    /// `json.dumps`: a space after commas and colons, ASCII only.
    Python,
    /// Jinja's `tojson`: keys sorted as well, and what is special in HTML escaped.
    Html,
}

fn json_text(value: &Val<'_>, style: JsonStyle) -> String {
    let mut out = String::new();
    write_json(&mut out, &value.clone().into_json(), style);
    out
}

fn write_json(out: &mut String, value: &Value, style: JsonStyle) {
    match value {
        Value::Number(number) => out.push_str(&number::text(number)),
        Value::String(text) => write_json_text(out, text, style),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_json(out, item, style);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut pairs: Vec<(&String, &Value)> = members.iter().collect();
            if style == JsonStyle::Html {
                pairs.sort_by_key(|(key, _)| *key);
            }
            out.push('{');
            for (index, (key, member)) in pairs.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_json_text(out, key, style);
                out.push_str(": ");
                write_json(out, member, style);
            }
            out.push('}');
        }
        other => out.push_str(match (other, json_is_true(other)) {
            (Value::Null, _) => "null",
            (_, true) => "true",
            (_, false) => "false",
        }),
    }
}

fn write_json_text(out: &mut String, text: &str, style: JsonStyle) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\'' if style == JsonStyle::Html => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            ' '..='~' => out.push(c),
            c => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}
