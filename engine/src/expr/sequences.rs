//! Filters that go through a sequence: `map`, `select`, `reject`, `selectattr`, `rejectattr`, `unique`, `sort`, `sum`, `min`, `max`.
//!
//! Jinja gives generators for some of them; here they are lists. An attribute that an item lacks is an empty text in the result.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Number, Value};

use super::checks::Test;
use super::eval::{Context, EvalError, call, evaluate};
use super::filters::{Filter, items};
use super::fuel::{Fuel, ITEM, VALUE};
use super::groups::{self, directed, order};
use super::number::{self, Arithmetic};
use super::tree::{Arguments, Node};
use super::value::{Val, as_number, equality_key, json_equals};

/// A filter that goes through a sequence and does something with each item.
#[derive(Debug, Clone)]
pub(crate) enum Each {
    /// `map(attribute="a.b", default=x)`.
    Attribute {
        path: Vec<String>,
        default: Option<Node>,
    },
    /// `map("lower")`.
    Filter(Filter, Arguments),
    /// `select("odd")`, `rejectattr("a.b", "none")`.
    Choose {
        path: Vec<String>,
        test: Option<(Test, Vec<Node>)>,
        keeps: bool,
    },
}

pub(crate) const NAMES: &[&str] = &["map", "select", "reject", "selectattr", "rejectattr"];

impl Each {
    pub(crate) fn compile(name: &str, arguments: Arguments) -> Result<Each, String> {
        let Arguments {
            positional, named, ..
        } = arguments;
        let mut positional = positional.into_iter();
        if name == "map" {
            if let Some(first) = positional.next() {
                let filter = Filter::by_name(constant(name, Some(&first))?)?;
                let mut arguments = Arguments {
                    positional: positional.collect(),
                    named,
                    pattern: None,
                };
                filter.check(&mut arguments)?;
                return Ok(Each::Filter(filter, arguments));
            }
            let (mut path, mut default) = (None, None);
            for (argument, node) in named {
                match argument.as_str() {
                    "attribute" => path = Some(attribute_path(&node)?),
                    "default" => default = Some(node),
                    other => return Err(format!("the filter \"map\" has no argument \"{other}\"")),
                }
            }
            let path = path.ok_or("the filter \"map\" needs a filter's name or attribute=")?;
            return Ok(Each::Attribute { path, default });
        }
        if let Some((argument, _)) = named.first() {
            return Err(format!(
                "the filter \"{name}\" has no argument \"{argument}\""
            ));
        }
        let path = if name.ends_with("attr") {
            let first = positional.next();
            attribute_path(
                &first.ok_or_else(|| format!("the filter \"{name}\" needs an attribute"))?,
            )?
        } else {
            Vec::new()
        };
        let test = match positional.next() {
            None => None,
            Some(test) => {
                let arguments: Vec<Node> = positional.collect();
                let test = Test::by_name(constant(name, Some(&test))?, arguments.len())?;
                Some((test, arguments))
            }
        };
        Ok(Each::Choose {
            path,
            test,
            keeps: name.starts_with("select"),
        })
    }

    pub(crate) fn apply<'a>(
        &'a self,
        of: &Val<'a>,
        context: Context<'a, '_>,
    ) -> Result<Val<'a>, EvalError> {
        let fuel = context.fuel;
        let items = items(of, fuel)?;
        let mut results = Vec::new();
        match self {
            Each::Attribute { path, default } => {
                let default = match default {
                    Some(node) => Some(fuel.own(evaluate(node, context)?)?),
                    None => None,
                };
                for item in items.iter() {
                    results.push(match attribute(item, path, default.as_ref())? {
                        Some(found) => fuel.copy(found)?,
                        None => Value::String(String::new()),
                    });
                }
            }
            Each::Filter(filter, arguments) => {
                let call = call(*filter, arguments, context)?;
                for item in items.iter() {
                    let result = filter.apply(Val::Json(Cow::Borrowed(item)), &call)?;
                    results.push(fuel.own(result)?);
                }
            }
            Each::Choose { path, test, keeps } => {
                let test = match test {
                    Some((test, arguments)) => {
                        let argument = arguments.first();
                        let argument = argument.map(|node| evaluate(node, context)).transpose()?;
                        Some((test, argument))
                    }
                    None => None,
                };
                for item in items.iter() {
                    let value = match attribute(item, path, None)? {
                        Some(found) => Val::Json(Cow::Borrowed(found)),
                        None => Val::Undefined,
                    };
                    let holds = match &test {
                        None => value.is_true(),
                        Some((test, argument)) => test.holds(&value, argument.as_ref(), fuel)?,
                    };
                    if holds == *keeps {
                        results.push(fuel.copy(item)?);
                    }
                }
            }
        }
        Ok(Val::json(Value::Array(results)))
    }

    /// The expressions in it.
    pub(crate) fn nodes(&self) -> Vec<&Node> {
        match self {
            Each::Attribute { default, .. } => default.iter().collect(),
            Each::Filter(_, arguments) => {
                let named = arguments.named.iter().map(|(_, node)| node);
                arguments.positional.iter().chain(named).collect()
            }
            Each::Choose { test, .. } => test.iter().flat_map(|(_, nodes)| nodes).collect(),
        }
    }
}

/// Names of filters, tests and attributes are looked up when the manifest is loaded.
fn constant<'n>(filter: &str, node: Option<&'n Node>) -> Result<&'n str, String> {
    match node {
        Some(Node::Const(Value::String(text))) => Ok(text),
        _ => Err(format!("the filter \"{filter}\" needs a name in quotes")),
    }
}

fn attribute_path(node: &Node) -> Result<Vec<String>, String> {
    match node {
        Node::Const(Value::String(path)) => Ok(path.split('.').map(str::to_owned).collect()),
        Node::Const(Value::Number(place)) => Ok(vec![place.to_string()]),
        _ => Err("an attribute is named by a text in quotes".to_owned()),
    }
}

/// The attribute of an item; no steps give the item itself. A default stands in for each step that leads nowhere.
pub(super) fn attribute<'v>(
    item: &'v Value,
    path: &[String],
    default: Option<&'v Value>,
) -> Result<Option<&'v Value>, EvalError> {
    let mut place = Some(item);
    for step in path {
        let Some(value) = place else {
            let message = format!("\"{step}\" of something undefined");
            return Err(EvalError::Undefined(message));
        };
        place = match (value, step.parse::<usize>()) {
            (Value::Array(items), Ok(index)) => items.get(index),
            (Value::Array(items), Err(_)) => groups::member(items, step),
            (Value::Object(members), _) => members.get(step),
            _ => None,
        }
        .or(default);
    }
    Ok(place)
}

/// The way to the attribute that an argument names; no steps lead to the item itself.
pub(super) fn path_of(name: Option<&Val<'_>>) -> Vec<String> {
    match name.filter(|name| name.as_json() != Some(&Value::Null)) {
        None => Vec::new(),
        Some(name) => name.to_text().split('.').map(str::to_owned).collect(),
    }
}

/// The ways to several attributes, which commas part.
fn paths_of(name: Option<&Val<'_>>) -> Vec<Vec<String>> {
    match name.and_then(Val::as_str) {
        Some(names) => names
            .split(',')
            .map(|name| path_of(Some(&Val::text(name))))
            .collect(),
        None => vec![path_of(name)],
    }
}

/// The attribute of an item, in small letters if their case does not count.
pub(super) fn key_of<'v>(
    item: &'v Value,
    path: &[String],
    default: Option<&'v Value>,
    folds_case: bool,
    fuel: &Fuel,
) -> Result<Cow<'v, Value>, EvalError> {
    Ok(match attribute(item, path, default)? {
        None => Cow::Owned(Value::Null),
        Some(Value::String(text)) if folds_case => {
            fuel.burn(VALUE + text.len())?;
            Cow::Owned(Value::String(text.to_lowercase()))
        }
        Some(other) => Cow::Borrowed(other),
    })
}

/// Whether capitals and small letters differ; they do not unless it is asked for.
fn folds_case(case_sensitive: Option<&Val<'_>>) -> bool {
    !case_sensitive.is_some_and(Val::is_true)
}

/// `unique(case_sensitive, attribute)`: the first of each.
pub(super) fn unique(
    value: &Val<'_>,
    case_sensitive: Option<&Val<'_>>,
    name: Option<&Val<'_>>,
    fuel: &Fuel,
) -> Result<Value, EvalError> {
    let path = path_of(name);
    let mut known = HashSet::new();
    let mut results = Vec::new();
    for item in items(value, fuel)?.iter() {
        let key = key_of(item, &path, None, folds_case(case_sensitive), fuel)?;
        fuel.json(&key)?;
        if known.insert(equality_key(&key)) {
            results.push(fuel.copy(item)?);
        }
    }
    Ok(Value::Array(results))
}

/// `sort(reverse, case_sensitive, attribute)`, by one attribute or several.
pub(super) fn sort(
    value: &Val<'_>,
    reverse: Option<&Val<'_>>,
    case_sensitive: Option<&Val<'_>>,
    name: Option<&Val<'_>>,
    fuel: &Fuel,
) -> Result<Value, EvalError> {
    let paths = paths_of(name);
    let items = items(value, fuel)?;
    let mut keyed = Vec::with_capacity(items.len());
    for item in items.iter() {
        let mut keys = Vec::with_capacity(paths.len());
        for path in &paths {
            keys.push(key_of(item, path, None, folds_case(case_sensitive), fuel)?);
        }
        keyed.push((keys, item));
    }
    let reverse = reverse.is_some_and(Val::is_true);
    let keyed = sorted(keyed, fuel, |(left, _), (right, _)| {
        for (left, right) in left.iter().zip(right) {
            if left.is_array() || left.is_object() {
                fuel.json(left)?;
            }
            // What is equal needs no order.
            if !json_equals(left, right) {
                return Ok(directed(order(left, right, fuel)?, reverse));
            }
        }
        Ok(Ordering::Equal)
    })?;
    keyed.into_iter().map(|(_, item)| fuel.copy(item)).collect()
}

/// Sorts what may turn out to have no order, equal ones staying as they were. The standard library's sort may panic on such.
pub(super) fn sorted<T: Clone>(
    mut items: Vec<T>,
    fuel: &Fuel,
    order: impl Fn(&T, &T) -> Result<Ordering, EvalError>,
) -> Result<Vec<T>, EvalError> {
    let mut width = 1;
    while width < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        fuel.burn_each(items.len(), ITEM)?;
        for pair in items.chunks(width * 2) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([first, left_rest @ ..], [second, right_rest @ ..]) = (left, right) {
                if order(first, second)?.is_gt() {
                    merged.push(second.clone());
                    right = right_rest;
                } else {
                    merged.push(first.clone());
                    left = left_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        items = merged;
        width *= 2;
    }
    Ok(items)
}

/// `min` and `max` (`case_sensitive`, `attribute`); `None` of nothing.
pub(super) fn extreme(
    value: &Val<'_>,
    wanted: Ordering,
    case_sensitive: Option<&Val<'_>>,
    name: Option<&Val<'_>>,
    fuel: &Fuel,
) -> Result<Option<Value>, EvalError> {
    let path = path_of(name);
    let items = items(value, fuel)?;
    let mut best: Option<(Cow<'_, Value>, &Value)> = None;
    for item in items.iter() {
        let key = key_of(item, &path, None, folds_case(case_sensitive), fuel)?;
        let better = match &best {
            None => true,
            Some((known, _)) => order(&key, known, fuel)? == wanted,
        };
        if better {
            best = Some((key, item));
        }
    }
    best.map(|(_, item)| fuel.copy(item)).transpose()
}

/// `sum(attribute, start)`.
pub(super) fn sum(
    value: &Val<'_>,
    name: Option<&Val<'_>>,
    start: Option<&Val<'_>>,
    fuel: &Fuel,
) -> Result<Value, EvalError> {
    let path = path_of(name);
    let no_number = || EvalError::Type("only numbers can be added up".to_owned());
    let number_of = |value: &Value| as_number(value).map(Cow::into_owned).ok_or_else(no_number);
    let mut total = match start.and_then(Val::as_json) {
        None => Number::from(0),
        Some(start) => number_of(start)?,
    };
    for item in items(value, fuel)?.iter() {
        let next = number_of(key_of(item, &path, None, false, fuel)?.as_ref())?;
        let sum = number::calculate(Arithmetic::Add, &total, &next).map_err(EvalError::Value)?;
        total = number_of(&sum)?;
    }
    Ok(Value::Number(total))
}

/// `round(precision, method)`: as Python rounds, or always up (`ceil`) or down (`floor`).
pub(super) fn round(
    value: &Val<'_>,
    precision: Option<&Val<'_>>,
    method: Option<&Val<'_>>,
) -> Result<Value, EvalError> {
    let wrong = |message: &str| EvalError::Type(message.to_owned());
    let own = value.as_json().and_then(as_number);
    let own = own.ok_or_else(|| wrong("only a number can be rounded"))?;
    let precision = precision
        .and_then(Val::as_json)
        .map_or(Some(0), Value::as_i64);
    let precision = precision
        .and_then(|precision| i32::try_from(precision).ok())
        .filter(|precision| (-300..=300).contains(precision))
        .ok_or_else(|| wrong("the precision is a whole number up to 300"))?;
    let float = number::as_float(&own);
    let scale = 10f64.powi(precision);
    let method = method.map_or_else(|| "common".into(), Val::to_text);
    let rounded = match method.as_ref() {
        "common" if number::is_integer(&own) && precision >= 0 => {
            return Ok(Value::Number(own.into_owned()));
        }
        "common" => match usize::try_from(precision) {
            // The nearest decimal, and of two the even one.
            Ok(digits) => format!("{float:.digits$}").parse().unwrap_or(float),
            Err(_) => (float * scale).round_ties_even() / scale,
        },
        "ceil" => (float * scale).ceil() / scale,
        "floor" => (float * scale).floor() / scale,
        _ => return Err(wrong("the method of rounding is common, ceil or floor")),
    };
    let is_whole = method == "common" && number::is_integer(&own);
    let result = if is_whole {
        number::parse(&format!("{rounded:.0}")).map(Value::Number)
    } else {
        number::from_float(rounded)
    };
    result.ok_or_else(|| EvalError::Value("the rounded number is not finite".to_owned()))
}
