//! The filters of expressions: Jinja's own, and those that the language adds.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::casts::{to_float, to_int};
use super::eval::EvalError;
use super::fuel::{Fuel, ITEM, VALUE, limited};
use super::groups;
use super::json_text::{JsonStyle, json_text};
use super::methods;
use super::number;
use super::pattern::{PATTERNS, Pattern, replace_all};
use super::printf;
use super::sequences;
use super::texts::{DIGESTS, escape, hash, hex, indent, truncate_text, url_encode};
use super::tree::{Arguments, Node};
use super::value::{Val, write_repr};

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
    Base64Ascii,
    Hash,
    Hmac,
    RegexSearch,
    RegexReplace,
    Unique,
    Sort,
    Reverse,
    Sum,
    Min,
    Max,
    Round,
    Items,
    WordCount,
    DictSort,
    GroupBy,
    Batch,
    Slice,
    Format,
    Truncate,
    Indent,
    Escape,
    ForceEscape,
    Safe,
    Attribute,
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
    ("join", Filter::Join, &["d", "attribute"], 0),
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
    (
        "regex_replace",
        Filter::RegexReplace,
        &["regex", "replacement"],
        2,
    ),
    ("base64binascii_decode", Filter::Base64Ascii, &[], 0),
    ("hmac", Filter::Hmac, &["key", "hash_type"], 1),
    (
        "unique",
        Filter::Unique,
        &["case_sensitive", "attribute"],
        0,
    ),
    (
        "sort",
        Filter::Sort,
        &["reverse", "case_sensitive", "attribute"],
        0,
    ),
    ("reverse", Filter::Reverse, &[], 0),
    ("sum", Filter::Sum, &["attribute", "start"], 0),
    ("min", Filter::Min, &["case_sensitive", "attribute"], 0),
    ("max", Filter::Max, &["case_sensitive", "attribute"], 0),
    ("round", Filter::Round, &["precision", "method"], 0),
    ("items", Filter::Items, &[], 0),
    ("wordcount", Filter::WordCount, &[], 0),
    (
        "dictsort",
        Filter::DictSort,
        &["case_sensitive", "by", "reverse"],
        0,
    ),
    (
        "groupby",
        Filter::GroupBy,
        &["attribute", "default", "case_sensitive"],
        1,
    ),
    ("batch", Filter::Batch, &["linecount", "fill_with"], 1),
    ("slice", Filter::Slice, &["slices", "fill_with"], 1),
    ("format", Filter::Format, &[], 0),
    (
        "truncate",
        Filter::Truncate,
        &["length", "killwords", "end", "leeway"],
        0,
    ),
    ("indent", Filter::Indent, &["width", "first", "blank"], 0),
    ("escape", Filter::Escape, &[], 0),
    ("e", Filter::Escape, &[], 0),
    ("forceescape", Filter::ForceEscape, &[], 0),
    ("safe", Filter::Safe, &[], 0),
    ("attr", Filter::Attribute, &["name"], 1),
];

/// What a filter is called with.
pub(crate) struct Call<'a, 'c> {
    pub(crate) arguments: Vec<Option<Val<'a>>>,
    /// Those that are given by name, for a filter that takes any.
    pub(crate) named: Vec<(&'a str, Val<'a>)>,
    pub(crate) pattern: Option<&'c Pattern>,
    pub(crate) fuel: &'c Fuel,
}

impl<'a> Call<'a, '_> {
    pub(crate) fn argument(&self, place: usize) -> Option<&Val<'a>> {
        self.arguments.get(place).and_then(Option::as_ref)
    }

    /// The regular expression of the first argument.
    fn with_pattern<T>(
        &self,
        found: impl FnOnce(&Pattern) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        if let Some(pattern) = self.pattern {
            return found(pattern);
        }
        let text = self.argument(0).map(Val::to_text).unwrap_or_default();
        let pattern = PATTERNS.get(&text, Pattern::compile);
        found(pattern.map_err(EvalError::Value)?.as_ref())
    }
}

impl Filter {
    pub(crate) fn by_name(name: &str) -> Result<Filter, String> {
        let known = NAMES.iter().find(|(known, ..)| *known == name);
        known.map(|(_, filter, ..)| *filter).ok_or_else(|| {
            let mut names: Vec<&str> = NAMES.iter().map(|(known, ..)| *known).collect();
            names.extend(sequences::NAMES);
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
    pub(crate) fn check(self, arguments: &mut Arguments) -> Result<(), String> {
        let (name, _, parameters, required) = self.known();
        if self == Filter::Format {
            if arguments.positional.is_empty() || arguments.named.is_empty() {
                return Ok(());
            }
            return Err("the filter \"format\" takes values by place or by name".to_owned());
        }
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
            if matches!(self, Filter::RegexSearch | Filter::RegexReplace) {
                let pattern = Pattern::compile(constant)?;
                arguments.pattern = Some(Arc::new(pattern));
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
        call: &Call<'a, '_>,
    ) -> Result<Val<'a>, EvalError> {
        let fuel = call.fuel;
        if !self.counts_for_itself() {
            fuel.reads(&value)?;
            for argument in call.arguments.iter().flatten() {
                fuel.reads(argument)?;
            }
        }
        let result = self.make(value, call)?;
        // What is lent was there before.
        if let Val::Json(Cow::Owned(Value::String(text))) = &result {
            fuel.text(text.len())?;
        }
        Ok(result)
    }

    /// Whether it takes the steps of what it looks through.
    fn counts_for_itself(self) -> bool {
        use Filter::{
            Attribute, Batch, Default, DictSort, First, GroupBy, Join, Last, Length, List, Max,
            Min, Reverse, Slice, Sort, Sum, Unique,
        };
        matches!(
            self,
            Attribute
                | Batch
                | Default
                | DictSort
                | First
                | GroupBy
                | Join
                | Last
                | Length
                | List
                | Max
                | Min
                | Reverse
                | Slice
                | Sort
                | Sum
                | Unique
        )
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each filter, on one page"
    )]
    fn make<'a>(self, value: Val<'a>, call: &Call<'a, '_>) -> Result<Val<'a>, EvalError> {
        let fuel = call.fuel;
        let argument = |place: usize| call.argument(place);
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
            Filter::Length => Val::integer(length(&value, fuel)?),
            Filter::List => Val::json(Value::Array(into_items(value, fuel)?)),
            Filter::Default => {
                let also_false = argument(1).is_some_and(Val::is_true);
                let missing = matches!(value, Val::Undefined) || (also_false && !value.is_true());
                if missing {
                    argument(0).cloned().unwrap_or_else(|| Val::text(""))
                } else {
                    value
                }
            }
            Filter::First => match value.as_str() {
                Some(text) => text
                    .chars()
                    .next()
                    .map_or(Val::Undefined, |c| Val::text(c.to_string())),
                None => one(items(&value, fuel)?.first(), fuel)?,
            },
            Filter::Last => one(items(&value, fuel)?.last(), fuel)?,
            Filter::Join => {
                let separator = match argument(0) {
                    Some(separator) => fuel.text_of(separator)?,
                    None => Cow::Borrowed(""),
                };
                let items = items(&value, fuel)?;
                match argument(1).filter(|name| name.as_json() != Some(&Value::Null)) {
                    None => Val::text(join(items.iter(), &separator, fuel)?),
                    Some(name) => {
                        let path = sequences::path_of(Some(name));
                        let empty = Value::String(String::new());
                        let mut found = Vec::with_capacity(items.len());
                        for item in items.iter() {
                            let attribute = sequences::attribute(item, &path, None)?;
                            found.push(attribute.unwrap_or(&empty));
                        }
                        Val::text(join(found, &separator, fuel)?)
                    }
                }
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
                let known = characters.as_ref().map_or(0, String::len);
                fuel.burn_each(text.len(), known)?;
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
                let Some(text) = value.as_str() else {
                    return Err(wrong(&value, "is no text to search"));
                };
                call.with_pattern(|pattern| {
                    fuel.burn_each(text.len(), pattern.steps)?;
                    let found = pattern.regex.captures(text);
                    let group = found.and_then(|found| found.get(1).map(|group| group.as_str()));
                    Ok(Val::text(group.unwrap_or_default()))
                })?
            }
            Filter::RegexReplace => {
                let replacement = argument(1).map(Val::to_text).unwrap_or_default();
                let Some(text) = value.as_str() else {
                    return Err(wrong(&value, "is no text to search"));
                };
                call.with_pattern(|pattern| {
                    replace_all(pattern, text, &replacement, fuel).map(Val::text)
                })?
            }
            Filter::Base64Ascii => match value.as_str() {
                Some(text) if text.is_ascii() => Val::text(STANDARD.encode(text)),
                Some(_) => return Err(EvalError::Value("the text is not ASCII".to_owned())),
                None => return Err(wrong(&value, "is no text to encode")),
            },
            Filter::Hmac => {
                let kind = argument(1).map_or_else(|| "sha256".into(), Val::to_text);
                if kind != "sha256" {
                    let message =
                        format!("the digest \"{kind}\" is not supported; supported: sha256");
                    return Err(EvalError::Value(message));
                }
                let key = argument(0).map(Val::to_text).unwrap_or_default();
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
                let tag = ring::hmac::sign(&key, value.to_text().as_bytes());
                Val::text(hex(tag.as_ref()))
            }
            Filter::Unique => Val::json(sequences::unique(&value, argument(0), argument(1), fuel)?),
            Filter::Sort => {
                let sorted = sequences::sort(&value, argument(0), argument(1), argument(2), fuel)?;
                Val::json(sorted)
            }
            Filter::Reverse => {
                if let Some(text) = value.as_str() {
                    fuel.burn(text.len())?;
                    Val::text(text.chars().rev().collect::<String>())
                } else {
                    let mut items = into_items(value, fuel)?;
                    items.reverse();
                    Val::json(Value::Array(items))
                }
            }
            Filter::Sum => Val::json(sequences::sum(&value, argument(0), argument(1), fuel)?),
            Filter::Min | Filter::Max => {
                let wanted = if self == Filter::Max {
                    Ordering::Greater
                } else {
                    Ordering::Less
                };
                let best = sequences::extreme(&value, wanted, argument(0), argument(1), fuel)?;
                best.map_or(Val::Undefined, Val::json)
            }
            Filter::Round => Val::json(sequences::round(&value, argument(0), argument(1))?),
            Filter::Items => match value.as_json() {
                Some(Value::Object(members)) => Val::json(
                    members
                        .iter()
                        .map(|(key, member)| {
                            Value::Array(vec![key.as_str().into(), member.clone()])
                        })
                        .collect(),
                ),
                None if matches!(value, Val::Undefined) => Val::json(Value::Array(Vec::new())),
                _ => return Err(wrong(&value, "has no items")),
            },
            Filter::WordCount => {
                let text = value.to_text();
                let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
                Val::integer(words.filter(|word| !word.is_empty()).count())
            }
            Filter::DictSort => Val::json(groups::dictsort(&value, call)?),
            Filter::GroupBy => Val::json(groups::groupby(&value, call)?),
            Filter::Batch => Val::json(groups::batch(&value, call)?),
            Filter::Slice => Val::json(groups::slice(&value, call)?),
            Filter::Format => {
                let values: Vec<&Val<'_>> = call.arguments.iter().flatten().collect();
                Val::text(printf::fill(&value.to_text(), &values, &call.named, false)?)
            }
            Filter::Truncate => Val::text(truncate_text(&value, call)?),
            Filter::Indent => Val::text(indent(&value, call)?),
            Filter::Escape | Filter::ForceEscape => Val::text(escape(&value.to_text())),
            Filter::Safe => Val::text(value.to_text()),
            Filter::Attribute => match &value {
                Val::Undefined => return Err(wrong(&value, "")),
                // Members of dicts are no attributes.
                Val::Dated(dated) => argument(0)
                    .and_then(Val::as_str)
                    .and_then(|name| dated.attribute(name))
                    .map_or(Val::Undefined, Val::json),
                _ => Val::Undefined,
            },
        })
    }
}

pub(super) fn wrong(value: &Val<'_>, what: &str) -> EvalError {
    match value {
        Val::Undefined => EvalError::Undefined("the value is undefined".to_owned()),
        _ => EvalError::Type(format!("{} {what}", value.type_name())),
    }
}

fn length(value: &Val<'_>, fuel: &Fuel) -> Result<usize, EvalError> {
    match value {
        Val::Undefined => Ok(0),
        Val::Tuple(items) | Val::Set(items) => Ok(items.len()),
        Val::Bytes(bytes) => Ok(bytes.len()),
        Val::Ellipsis | Val::Dated(_) => Err(wrong(value, "has no length")),
        Val::Json(json) => match json.as_ref() {
            Value::String(text) => {
                fuel.burn(text.len())?;
                Ok(text.chars().count())
            }
            Value::Array(items) => Ok(items.len()),
            Value::Object(members) => Ok(members.len()),
            _ => Err(wrong(value, "has no length")),
        },
    }
}

/// What Python's `iter()` yields: characters of a text, keys of a dict.
pub(crate) fn items<'v>(value: &'v Val<'_>, fuel: &Fuel) -> Result<Cow<'v, [Value]>, EvalError> {
    let items = match value {
        Val::Undefined => Cow::Borrowed([].as_slice()),
        Val::Tuple(items) | Val::Set(items) => Cow::Borrowed(items.as_slice()),
        Val::Json(json) => match json.as_ref() {
            Value::String(text) => {
                fuel.burn_each(text.len(), VALUE)?;
                let character = |c: char| Value::String(c.to_string());
                Cow::Owned(text.chars().map(character).collect())
            }
            Value::Array(items) => Cow::Borrowed(items.as_slice()),
            Value::Object(members) => {
                for key in members.keys() {
                    fuel.burn(VALUE + key.len())?;
                }
                Cow::Owned(members.keys().cloned().map(Value::String).collect())
            }
            _ => return Err(wrong(value, "cannot be gone through")),
        },
        _ => return Err(wrong(value, "cannot be gone through")),
    };
    fuel.burn_each(items.len(), ITEM)?;
    Ok(items)
}

/// The same, as values of their own.
pub(crate) fn into_items(value: Val<'_>, fuel: &Fuel) -> Result<Vec<Value>, EvalError> {
    match value {
        Val::Json(Cow::Owned(Value::Array(items))) | Val::Tuple(items) | Val::Set(items) => {
            Ok(items)
        }
        value => match items(&value, fuel)? {
            Cow::Owned(items) => Ok(items),
            Cow::Borrowed(items) => items.iter().map(|item| fuel.copy(item)).collect(),
        },
    }
}

/// An item, or undefined.
fn one<'a>(item: Option<&Value>, fuel: &Fuel) -> Result<Val<'a>, EvalError> {
    match item {
        Some(item) => Ok(Val::json(fuel.copy(item)?)),
        None => Ok(Val::Undefined),
    }
}

fn join<'v>(
    items: impl IntoIterator<Item = &'v Value>,
    separator: &str,
    fuel: &Fuel,
) -> Result<String, EvalError> {
    let mut joined = String::new();
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        match item {
            Value::String(text) => joined.push_str(text),
            other => {
                fuel.json(other)?;
                write_repr(&mut joined, other);
            }
        }
        limited(joined.len())?;
    }
    Ok(joined)
}
