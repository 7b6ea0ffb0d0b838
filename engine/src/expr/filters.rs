//! The filters of expressions: Jinja's own, and those that the language adds.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;
use serde_json::Value;
use sha2::Digest as _;

use super::eval::EvalError;
use super::fuel::{Fuel, ITEM, VALUE, limited};
use super::groups;
use super::kept::Kept;
use super::methods;
use super::number;
use super::printf;
use super::sequences;
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

/// Digests of the `hash` filter.
const DIGESTS: &[&str] = &["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];

/// Python's `quote` leaves these alone, and `/` too for a text.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');
const QUOTED_PATH: &AsciiSet = &QUOTED.remove(b'/');

/// Patterns that are no constants.
static PATTERNS: Kept<Pattern> = Kept::new();

/// A regular expression, and the steps of looking at a byte with it, which its compiled size bounds.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    steps: usize,
}

impl Pattern {
    fn compile(pattern: &str) -> Result<Pattern, String> {
        for size in [4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024] {
            if let Ok(regex) = built(pattern, size) {
                let steps = size / 1024;
                return Ok(Pattern { regex, steps });
            }
        }
        let regex = compile_regex(pattern)?;
        Ok(Pattern { regex, steps: 1024 })
    }
}

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

/// A whole number that is given, or the usual one.
fn count(value: Option<&Val<'_>>, usual: usize) -> Result<usize, EvalError> {
    let Some(value) = value else {
        return Ok(usual);
    };
    let number = value.as_json().and_then(Value::as_u64);
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| wrong(value, "is no whole number of 0 and more"))
}

/// `truncate(length, killwords, end, leeway)`.
fn truncate_text(value: &Val<'_>, call: &Call<'_, '_>) -> Result<String, EvalError> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong(value, "is no text to cut"))?;
    let most = count(call.argument(0), 255)?;
    let cuts_words = call.argument(1).is_some_and(Val::is_true);
    let end = call.argument(2).map_or("...".into(), Val::to_text);
    let leeway = call.argument(3);
    let leeway = count(
        leeway.filter(|leeway| leeway.as_json() != Some(&Value::Null)),
        5,
    )?;
    let Some(kept) = most.checked_sub(end.chars().count()) else {
        return Err(EvalError::Value(
            "truncate() needs room for its end".to_owned(),
        ));
    };
    if text.chars().count() <= most.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let head: String = text.chars().take(kept).collect();
    let head = match head.rsplit_once(' ') {
        Some((whole_words, _)) if !cuts_words => whole_words,
        _ => &head,
    };
    Ok(format!("{head}{end}"))
}

/// `indent(width, first, blank)`.
fn indent(value: &Val<'_>, call: &Call<'_, '_>) -> Result<String, EvalError> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong(value, "is no text to indent"))?;
    let space = match call.argument(0) {
        Some(text) if text.as_str().is_some() => text.to_text(),
        width => {
            let width = count(width, 4)?;
            limited(width)?;
            " ".repeat(width).into()
        }
    };
    let first = call.argument(1).is_some_and(Val::is_true);
    let blank = call.argument(2).is_some_and(Val::is_true);
    let text = format!("{text}\n");
    let mut out = String::new();
    for (place, line) in methods::lines(&text).into_iter().enumerate() {
        let is_first = place == 0;
        if !is_first {
            out.push('\n');
        }
        if (is_first && first) || (!is_first && (blank || !line.is_empty())) {
            out.push_str(&space);
        }
        out.push_str(line);
        limited(out.len())?;
    }
    Ok(out)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Python's `re.sub`: `\1` and `\g<name>` stand for groups.
fn replace_all(
    pattern: &Pattern,
    text: &str,
    replacement: &str,
    fuel: &Fuel,
) -> Result<String, EvalError> {
    let mut out = String::new();
    let mut end = 0;
    fuel.burn_each(text.len(), pattern.steps)?;
    for found in pattern.regex.captures_iter(text) {
        // Each search may look as far as the end before it knows what it has found.
        fuel.burn_each((text.len() - end) / 4, pattern.steps)?;
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[end..whole.start()]);
        end = whole.end();
        let mut rest = replacement;
        while let Some(place) = rest.find('\\') {
            out.push_str(&rest[..place]);
            rest = &rest[place + 1..];
            rest = group(&found, rest, &mut out)?;
        }
        out.push_str(rest);
        limited(out.len())?;
    }
    out.push_str(&text[end..]);
    limited(out.len())?;
    Ok(out)
}

/// Writes what a backslash in a replacement stands for; gives the rest behind it.
fn group<'t>(
    found: &regex::Captures<'_>,
    rest: &'t str,
    out: &mut String,
) -> Result<&'t str, EvalError> {
    let unknown =
        || EvalError::Value("the replacement holds an unknown escape or group".to_owned());
    if let Some(named) = rest.strip_prefix("g<") {
        let (name, rest) = named.split_once('>').ok_or_else(unknown)?;
        let group = match name.parse::<usize>() {
            Ok(number) if number < found.len() => found.get(number),
            Ok(_) => return Err(unknown()),
            Err(_) => found.name(name),
        };
        out.push_str(group.map_or("", |group| group.as_str()));
        return Ok(rest);
    }
    let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if digits > 0 && !rest.starts_with('0') {
        let number: usize = rest[..digits].parse().map_err(|_| unknown())?;
        if number >= found.len() {
            return Err(unknown());
        }
        out.push_str(found.get(number).map_or("", |group| group.as_str()));
        return Ok(&rest[digits..]);
    }
    let mut characters = rest.chars();
    let escaped = characters.next().ok_or_else(unknown)?;
    match escaped {
        'n' => out.push('\n'),
        't' => out.push('\t'),
        'r' => out.push('\r'),
        '\\' => out.push('\\'),
        c if !c.is_ascii_alphanumeric() => out.extend(['\\', c]),
        _ => return Err(unknown()),
    }
    Ok(characters.as_str())
}

fn wrong(value: &Val<'_>, what: &str) -> EvalError {
    match value {
        Val::Undefined => EvalError::Undefined("the value is undefined".to_owned()),
        _ => EvalError::Type(format!("{} {what}", value.type_name())),
    }
}

pub(crate) fn compile_regex(pattern: &str) -> Result<Regex, String> {
    built(pattern, 1 << 20).map_err(|error| {
        let reason = error.to_string().replace('\n', " ");
        format!("the regular expression \"{pattern}\" cannot be used: {reason}")
    })
}

fn built(pattern: &str, most_bytes: usize) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern)
        .size_limit(most_bytes)
        .build()
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
    Ok(hex(&digest))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
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
