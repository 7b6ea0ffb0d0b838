//! The functions of expressions (the language calls them macros).

use std::borrow::Cow;
use std::cmp::Ordering;

use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::dates::{self, Dated};
use super::eval::EvalError;
use super::filters::items;
use super::fuel::{Fuel, VALUE};
use super::scope::Scope;
use super::tree::{Arguments, Node};
use super::value::{NULL, Val, json_compare};
use crate::host::Host;

/// A function that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Max,
    Min,
    NowUtc,
    TodayUtc,
    Timestamp,
    DayDelta,
    Duration,
    FormatDatetime,
    StrToDatetime,
    SanitizeUrl,
    SnakeCase,
    TodayWithTimezone,
    GenerateUuid,
    JsonLoads,
    /// With a dict or pairs before its named arguments.
    Dict,
}

/// Name, function, names of its parameters in order, how many of them are required.
type Known = (&'static str, Function, &'static [&'static str], usize);

const NAMES: &[Known] = &[
    ("max", Function::Max, &[], 1),
    ("min", Function::Min, &[], 1),
    ("now_utc", Function::NowUtc, &[], 0),
    ("today_utc", Function::TodayUtc, &[], 0),
    ("timestamp", Function::Timestamp, &["dt"], 1),
    ("day_delta", Function::DayDelta, &["num_days", "format"], 1),
    ("duration", Function::Duration, &["datestring"], 1),
    (
        "format_datetime",
        Function::FormatDatetime,
        &["dt", "format", "input_format"],
        2,
    ),
    ("str_to_datetime", Function::StrToDatetime, &["s"], 1),
    ("sanitize_url", Function::SanitizeUrl, &["value"], 1),
    (
        "camel_case_to_snake_case",
        Function::SnakeCase,
        &["value"],
        1,
    ),
    (
        "today_with_timezone",
        Function::TodayWithTimezone,
        &["timezone"],
        1,
    ),
    ("generate_uuid", Function::GenerateUuid, &[], 0),
    ("json_loads", Function::JsonLoads, &["s"], 1),
    ("dict", Function::Dict, &[], 0),
];

impl Function {
    /// Looks a function up and puts its arguments in their places.
    pub(crate) fn compile(
        name: &str,
        arguments: Arguments,
    ) -> Result<(Function, Vec<Option<Node>>), String> {
        let Some((_, function, parameters, required)) =
            NAMES.iter().find(|(known, ..)| *known == name)
        else {
            let names: Vec<&str> = NAMES.iter().map(|(known, ..)| *known).collect();
            return Err(format!(
                "the function \"{name}\" is not supported; supported: {}",
                names.join(", ")
            ));
        };
        let takes_any = matches!(function, Function::Max | Function::Min);
        let mut places: Vec<Option<Node>> = arguments.positional.into_iter().map(Some).collect();
        if places.len() > parameters.len() && !takes_any {
            return Err(format!(
                "the function \"{name}\" takes at most {} arguments",
                parameters.len()
            ));
        }
        for (argument, node) in arguments.named {
            let place = parameters.iter().position(|known| *known == argument);
            let Some(place) =
                place.filter(|place| *place >= places.len() || places[*place].is_none())
            else {
                return Err(format!(
                    "the function \"{name}\" has no argument \"{argument}=\" to be given here"
                ));
            };
            if places.len() <= place {
                places.resize(place + 1, None);
            }
            places[place] = Some(node);
        }
        if (0..*required).any(|place| places.get(place).is_none_or(Option::is_none)) {
            return Err(format!(
                "the function \"{name}\" needs {required} arguments"
            ));
        }
        Ok((*function, places))
    }

    pub(crate) fn call<'a>(
        self,
        arguments: Vec<Option<Val<'a>>>,
        scope: &Scope<'a>,
        fuel: &Fuel,
    ) -> Result<Val<'a>, EvalError> {
        let found = match self {
            Function::Max | Function::Min => {
                self.extreme(arguments.into_iter().flatten().collect())
            }
            Function::JsonLoads => {
                let source = arguments.into_iter().flatten().next();
                let source = source.as_ref().and_then(Val::as_str).unwrap_or_default();
                // A value may be of two bytes.
                fuel.burn_each(source.len(), VALUE / 2)?;
                let value = serde_json::from_str(source);
                value
                    .map(Val::json)
                    .map_err(|_| "the text is no JSON".to_owned())
            }
            Function::Dict => dict(arguments, fuel)?,
            _ => self.give(&arguments, scope),
        };
        found.map_err(EvalError::Type)
    }

    fn give<'a>(self, arguments: &[Option<Val<'a>>], scope: &Scope<'a>) -> Result<Val<'a>, String> {
        let now = scope.now;
        let clock =
            || now.ok_or_else(|| "date functions that read the clock do not work here".to_owned());
        let optional = |place: usize| arguments.get(place).and_then(Option::as_ref);
        let required =
            |place: usize| optional(place).ok_or_else(|| "an argument is missing".to_owned());
        let text = |value: &Val<'a>| match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("a text is needed, not {}", value.type_name())),
        };
        Ok(match self {
            Function::NowUtc => Val::Dated(dates::now(clock()?)),
            Function::TodayUtc => Val::Dated(dates::today(clock()?)),
            Function::Timestamp => dates::to_timestamp(required(0)?)?,
            Function::DayDelta => Val::text(dates::day_delta(clock()?, required(0)?, optional(1))?),
            Function::Duration => Val::Dated(dates::duration(required(0)?)?),
            Function::FormatDatetime => Val::text(dates::format_datetime(
                required(0)?,
                required(1)?,
                optional(2),
            )?),
            Function::StrToDatetime => {
                Val::Dated(Dated::Moment(dates::str_to_datetime(required(0)?)?))
            }
            Function::SanitizeUrl => {
                Val::text(crate::request::url::quote_plus(&text(required(0)?)?))
            }
            Function::SnakeCase => Val::text(snake_case(&text(required(0)?)?)),
            Function::TodayWithTimezone => {
                let name = text(required(0)?)?;
                let zone: Tz = name
                    .parse()
                    .map_err(|_| format!("\"{name}\" is no time zone"))?;
                Val::Dated(dates::today_in(clock()?, zone))
            }
            Function::GenerateUuid => {
                let random = scope.host.and_then(Host::random_bits);
                let random = random.ok_or("generate_uuid() does not work here")?;
                Val::text(uuid_text(random))
            }
            // These are called above.
            Function::Max | Function::Min | Function::JsonLoads | Function::Dict => NULL,
        })
    }

    fn extreme(self, arguments: Vec<Val<'_>>) -> Result<Val<'_>, String> {
        if let [Val::Dated(_), ..] = arguments.as_slice() {
            return self.latest(arguments);
        }
        let candidates: Vec<Value> = match arguments.as_slice() {
            [only] => match only.as_items() {
                Some(items) => items.to_vec(),
                None => return Err(format!("{} cannot be searched", only.type_name())),
            },
            _ => arguments.into_iter().map(Val::into_json).collect(),
        };
        let wanted = self.wanted();
        let mut best: Option<Value> = None;
        for candidate in candidates {
            let better = match &best {
                None => true,
                Some(best) => {
                    json_compare(&candidate, best).ok_or("the values have no order")? == wanted
                }
            };
            if better {
                best = Some(candidate);
            }
        }
        best.map(Val::json)
            .ok_or_else(|| "an empty list has no largest or smallest".to_owned())
    }

    /// The largest or smallest of some moments, dates or durations.
    fn latest(self, arguments: Vec<Val<'_>>) -> Result<Val<'_>, String> {
        let mut best: Option<Dated> = None;
        for argument in arguments {
            let Val::Dated(candidate) = argument else {
                return Err("the values have no order".to_owned());
            };
            let order = match &best {
                None => Some(self.wanted()),
                Some(best) => candidate.compare(best),
            };
            if order.ok_or("the values have no order")? == self.wanted() {
                best = Some(candidate);
            }
        }
        best.map(Val::Dated)
            .ok_or_else(|| "an empty list has no largest or smallest".to_owned())
    }

    fn wanted(self) -> Ordering {
        if self == Function::Max {
            Ordering::Greater
        } else {
            Ordering::Less
        }
    }
}

/// `dict(of, name=value)`.
fn dict<'a>(
    arguments: Vec<Option<Val<'a>>>,
    fuel: &Fuel,
) -> Result<Result<Val<'a>, String>, EvalError> {
    let mut arguments = arguments.into_iter().flatten();
    let first = arguments.next().unwrap_or(Val::Undefined);
    let mut members = Map::new();
    match &first {
        Val::Undefined => return Err(EvalError::Undefined("dict() of undefined".to_owned())),
        Val::Json(json) if json.is_object() => {
            if let Value::Object(given) = fuel.own(first)? {
                members = given;
            }
        }
        pairs => {
            for pair in items(pairs, fuel)?.iter() {
                let Some([key, value]) = pair.as_array().map(Vec::as_slice) else {
                    return Ok(Err("dict() needs a dict, or a list of pairs".to_owned()));
                };
                if key.is_array() || key.is_object() {
                    return Ok(Err("a list or a dict is no key of a dict".to_owned()));
                }
                let key = Val::Json(Cow::Borrowed(key)).to_text().into_owned();
                members.insert(key, fuel.copy(value)?);
            }
        }
    }
    if let Some(Value::Object(named)) = arguments.next().map(Val::into_json) {
        members.extend(named);
    }
    Ok(Ok(Val::json(Value::Object(members))))
}

/// A random UUID (version 4) of these bits.
fn uuid_text(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// An underscore before each capital but the first character.
fn snake_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for (place, c) in text.char_indices() {
        if place > 0 && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
