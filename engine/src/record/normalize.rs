//! `schema_normalization: Default`: values of a record become the type that the schema names.
//!
//! A schema is compiled once into a tree that holds only what has something to do. A value that cannot be converted stays as it is.
//! The rules are Python's `str()`, `float()`, `int()` and `bool()`, with its words for truth. Where those would lose digits or give
//! what JSON cannot hold (`nan`), the value stays.

use std::borrow::Cow;

use serde_json::{Number, Value};

use crate::expr::number::{self, is_integer};
use crate::expr::{Val, json_is_true};
use crate::page::Record;

/// Python refuses longer texts as integers.
const MOST_DIGITS: usize = 4300;

/// What is done to the values below one schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Normalizer {
    properties: Vec<(String, Shape)>,
    items: Option<Box<Shape>>,
}

/// One property or item: its own conversion, and those below it.
#[derive(Debug, Clone)]
struct Shape {
    target: Option<Target>,
    /// `null` is one of the types.
    is_nullable: bool,
    below: Normalizer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Text,
    Number,
    Integer,
    Boolean,
    /// A scalar becomes a list of itself.
    List,
}

impl Normalizer {
    /// Compiles a JSON schema.
    pub(crate) fn of(schema: &Value) -> Normalizer {
        let mut properties = Vec::new();
        if let Some(Value::Object(members)) = schema.get("properties") {
            for (name, property) in members {
                properties.extend(Shape::of(property).map(|shape| (name.clone(), shape)));
            }
        }
        let items = schema
            .get("items")
            .filter(|items| items.is_object())
            .and_then(Shape::of)
            .map(Box::new);
        Normalizer { properties, items }
    }

    fn is_idle(&self) -> bool {
        self.properties.is_empty() && self.items.is_none()
    }

    pub(crate) fn apply(&self, record: &mut Record) {
        for (name, shape) in &self.properties {
            if let Some(value) = record.get_mut(name) {
                shape.apply(value);
            }
        }
    }

    fn descend(&self, value: &mut Value) {
        match value {
            Value::Object(members) => self.apply(members),
            Value::Array(items) => {
                if let Some(shape) = &self.items {
                    items.iter_mut().for_each(|item| shape.apply(item));
                }
            }
            _ => {}
        }
    }
}

impl Shape {
    fn of(schema: &Value) -> Option<Shape> {
        let (kinds, is_nullable): (Vec<&str>, bool) = match schema.get("type") {
            Some(Value::String(kind)) => (vec![kind], kind == "null"),
            Some(Value::Array(kinds)) => {
                let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
                let is_nullable = kinds.contains(&"null");
                let others = kinds.into_iter().filter(|kind| *kind != "null").collect();
                (others, is_nullable)
            }
            _ => (Vec::new(), false),
        };
        let target = match kinds.as_slice() {
            ["string"] => Some(Target::Text),
            ["number"] => Some(Target::Number),
            ["integer"] => Some(Target::Integer),
            ["boolean"] => Some(Target::Boolean),
            ["array"] if holds_scalars(schema) => Some(Target::List),
            _ => None,
        };
        let below = Normalizer::of(schema);
        (target.is_some() || !below.is_idle()).then_some(Shape {
            target,
            is_nullable,
            below,
        })
    }

    fn apply(&self, value: &mut Value) {
        if !(value.is_null() && self.is_nullable)
            && let Some(target) = self.target
            && let Some(converted) = target.convert(value)
        {
            *value = converted;
        }
        if !self.below.is_idle() {
            self.below.descend(value);
        }
    }
}

/// Whether a list's items are scalars, as the reference sees it: it takes a single type for a list of letters, so only lists of types
/// count, and items of no type.
fn holds_scalars(schema: &Value) -> bool {
    const SCALARS: &[&str] = &["string", "number", "integer", "boolean", "null"];
    let Some(items) = schema.get("items") else {
        return true;
    };
    match items.get("type") {
        None => items.is_object(),
        Some(Value::Array(kinds)) => kinds
            .iter()
            .all(|kind| kind.as_str().is_some_and(|kind| SCALARS.contains(&kind))),
        Some(_) => false,
    }
}

impl Target {
    /// The converted value; `None` if it stays as it is.
    fn convert(self, value: &Value) -> Option<Value> {
        match self {
            Target::Text => match value {
                Value::String(_) => None,
                other => {
                    let text = Val::Json(Cow::Borrowed(other)).to_text().into_owned();
                    Some(Value::String(text))
                }
            },
            Target::Number => to_number(value),
            Target::Integer => to_integer(value),
            Target::Boolean => match value {
                Value::Bool(_) => None,
                Value::String(text) => {
                    let word = text.to_lowercase();
                    match word.trim() {
                        "y" | "yes" | "t" | "true" | "on" | "1" => Some(Value::Bool(true)),
                        "n" | "no" | "f" | "false" | "off" | "0" => Some(Value::Bool(false)),
                        _ => None,
                    }
                }
                other => Some(Value::Bool(json_is_true(other))),
            },
            Target::List => {
                let is_scalar = !value.is_array() && !value.is_object();
                is_scalar.then(|| Value::Array(vec![value.clone()]))
            }
        }
    }
}

/// Python's `float()`.
fn to_number(value: &Value) -> Option<Value> {
    let integer = match value {
        Value::Bool(truth) => Number::from(u8::from(*truth)),
        Value::Number(number) if !is_integer(number) => return None,
        Value::Number(number) => number.clone(),
        Value::String(text) => {
            let text = without_separators(text)?;
            let float: f64 = text.parse().ok().filter(|float: &f64| float.is_finite())?;
            match number::parse(&text) {
                Some(integer) if is_integer(&integer) => integer,
                Some(other) => return Some(Value::Number(shortest(other))),
                None => return number::from_float(float),
            }
        }
        _ => return None,
    };
    let float = number::from_float(number::as_float(&integer))?;
    let is_exact = float
        .as_number()
        .is_some_and(|float| number::is_same(float, &integer));
    Some(if is_exact {
        float
    } else {
        Value::Number(integer)
    })
}

/// The number as Python writes it; digits that a float would lose are kept.
fn shortest(own: Number) -> Number {
    number::parse(&number::text(&own)).unwrap_or(own)
}

/// Python's `int()`.
fn to_integer(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(truth) => Some(Value::from(u8::from(*truth))),
        Value::Number(number) if is_integer(number) => None,
        Value::Number(number) => {
            let float = number::as_float(number);
            // Such a float has no fraction any more; its digits are written out.
            float
                .is_finite()
                .then(|| number::parse(&format!("{:.0}", float.trunc())))?
                .map(|whole| match whole.as_str() {
                    "-0" => Value::from(0),
                    _ => Value::Number(whole),
                })
        }
        Value::String(text) => {
            let text = without_separators(text)?;
            let (sign, digits) = match text.strip_prefix(['+', '-']) {
                Some(digits) => (&text[..1], digits),
                None => ("", text.as_str()),
            };
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number || digits.len() > MOST_DIGITS {
                return None;
            }
            let digits = match digits.trim_start_matches('0') {
                "" => "0",
                digits => digits,
            };
            let sign = if sign == "-" && digits != "0" {
                "-"
            } else {
                ""
            };
            number::parse(&format!("{sign}{digits}")).map(Value::Number)
        }
        _ => None,
    }
}

/// The text of a number without the space around it, and without underscores between its digits.
fn without_separators(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.contains('_') {
        return Some(text.to_owned());
    }
    let bytes = text.as_bytes();
    let is_digit = |place: Option<usize>| {
        place
            .and_then(|place| bytes.get(place))
            .is_some_and(u8::is_ascii_digit)
    };
    let all_between = bytes.iter().enumerate().all(|(place, byte)| {
        *byte != b'_' || is_digit(place.checked_sub(1)) && is_digit(place.checked_add(1))
    });
    all_between.then(|| text.replace('_', ""))
}
