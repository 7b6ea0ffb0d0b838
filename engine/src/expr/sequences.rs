//! Filters that go through a sequence: `map`, `select`, `reject`, `selectattr`, `rejectattr`, `unique`, `sort`, `sum`, `min`, `max`.
//!
//! Jinja gives generators for some of them; here they are lists. An attribute that an item lacks is an empty text in the result.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::checks::Test;
use super::eval::{EvalError, Evaluate};
use super::filters::{Filter, items};
use super::number::{self, Arithmetic};
use super::tree::{Arguments, Node};
use super::value::{Val, as_number, json_compare, json_equals};

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
        let Arguments { positional, named } = arguments;
        let mut positional = positional.into_iter();
        if name == "map" {
            if let Some(first) = positional.next() {
                let filter = Filter::by_name(constant(name, Some(&first))?)?;
                let arguments = Arguments {
                    positional: positional.collect(),
                    named,
                };
                filter.check(&arguments)?;
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
        eval: &Evaluate<'a, '_>,
    ) -> Result<Val<'a>, EvalError> {
        let mut results = Vec::new();
        for item in items(of)? {
            match self {
                Each::Attribute { path, default } => {
                    let default = default.as_ref().map(eval).transpose()?.map(Val::into_json);
                    let found = attribute(&item, path, default.as_ref())?;
                    let missing = || Value::String(String::new());
                    results.push(found.map_or_else(missing, Cow::into_owned));
                }
                Each::Filter(filter, arguments) => {
                    let arguments = super::eval::filter_arguments(*filter, arguments, eval)?;
                    results.push(filter.apply(Val::json(item), &arguments)?.into_json());
                }
                Each::Choose { path, test, keeps } => {
                    let value = match attribute(&item, path, None)? {
                        Some(found) => Val::json(found.into_owned()),
                        None => Val::Undefined,
                    };
                    let holds = match test {
                        None => value.is_true(),
                        Some((test, arguments)) => {
                            let argument = arguments.first().map(eval).transpose()?;
                            let holds = test.holds(&value, argument.as_ref());
                            holds.map_err(EvalError::Type)?
                        }
                    };
                    if holds == *keeps {
                        results.push(item);
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
fn attribute<'v>(
    item: &'v Value,
    path: &[String],
    default: Option<&'v Value>,
) -> Result<Option<Cow<'v, Value>>, EvalError> {
    let mut place = Some(item);
    for step in path {
        let Some(value) = place else {
            let message = format!("\"{step}\" of something undefined");
            return Err(EvalError::Undefined(message));
        };
        place = match (value, step.parse::<usize>()) {
            (Value::Array(items), Ok(index)) => items.get(index),
            (Value::Object(members), _) => members.get(step),
            _ => None,
        }
        .or(default);
    }
    Ok(place.map(Cow::Borrowed))
}

/// The attribute that an argument names, or the item itself.
fn key_of(item: &Value, name: Option<&Val<'_>>, folds_case: bool) -> Result<Value, EvalError> {
    let name = name.filter(|name| name.as_json() != Some(&Value::Null));
    let path: Vec<String> = match name {
        None => Vec::new(),
        Some(name) => name.to_text().split('.').map(str::to_owned).collect(),
    };
    let found = attribute(item, &path, None)?.map_or(Value::Null, Cow::into_owned);
    Ok(match found {
        Value::String(text) if folds_case => Value::String(text.to_lowercase()),
        other => other,
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
) -> Result<Value, EvalError> {
    let mut keys: Vec<Value> = Vec::new();
    let mut results = Vec::new();
    for item in items(value)? {
        let key = key_of(&item, name, folds_case(case_sensitive))?;
        if !keys.iter().any(|known| json_equals(known, &key)) {
            keys.push(key);
            results.push(item);
        }
    }
    Ok(Value::Array(results))
}

/// `sort(reverse, case_sensitive, attribute)`.
pub(super) fn sort(
    value: &Val<'_>,
    reverse: Option<&Val<'_>>,
    case_sensitive: Option<&Val<'_>>,
    name: Option<&Val<'_>>,
) -> Result<Value, EvalError> {
    let mut keyed = Vec::new();
    for item in items(value)? {
        keyed.push((key_of(&item, name, folds_case(case_sensitive))?, item));
    }
    let reverse = reverse.is_some_and(Val::is_true);
    let mut has_order = true;
    keyed.sort_by(|(left, _), (right, _)| {
        let order = json_compare(left, right).unwrap_or_else(|| {
            has_order = false;
            Ordering::Equal
        });
        if reverse { order.reverse() } else { order }
    });
    if !has_order {
        return Err(EvalError::Type("the values have no order".to_owned()));
    }
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

/// `min` and `max` (`case_sensitive`, `attribute`); `None` of nothing.
pub(super) fn extreme(
    value: &Val<'_>,
    wanted: Ordering,
    case_sensitive: Option<&Val<'_>>,
    name: Option<&Val<'_>>,
) -> Result<Option<Value>, EvalError> {
    let mut best: Option<(Value, Value)> = None;
    for item in items(value)? {
        let key = key_of(&item, name, folds_case(case_sensitive))?;
        let better = match &best {
            None => true,
            Some((known, _)) => {
                let order = json_compare(&key, known);
                order.ok_or_else(|| EvalError::Type("the values have no order".to_owned()))?
                    == wanted
            }
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map(|(_, item)| item))
}

/// `sum(attribute, start)`.
pub(super) fn sum(
    value: &Val<'_>,
    name: Option<&Val<'_>>,
    start: Option<&Val<'_>>,
) -> Result<Value, EvalError> {
    let no_number = || EvalError::Type("only numbers can be added up".to_owned());
    let number_of = |value: &Value| as_number(value).map(Cow::into_owned).ok_or_else(no_number);
    let mut total = match start.and_then(Val::as_json) {
        None => Number::from(0),
        Some(start) => number_of(start)?,
    };
    for item in items(value)? {
        let next = number_of(&key_of(&item, name, false)?)?;
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
