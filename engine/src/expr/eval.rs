//! Evaluates compiled expressions over JSON, with Python's and Jinja's rules.
//!
//! Time and memory are bounded by [`Fuel`].

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value};
use thiserror::Error;

use super::dates::Dated;
use super::filters::{Call, Filter};
use super::fuel::{Fuel, ITEM, VALUE};
use super::functions::Function;
use super::groups;
use super::methods::Method;
use super::number::{self, Arithmetic};
use super::printf;
use super::scope::Scope;
use super::tree::{Arguments, Comparison, Node};
use super::value::{Val, as_number, json_compare, json_equals};

/// What an evaluation has at hand.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a, 's> {
    pub(crate) scope: &'s Scope<'a>,
    /// The `$parameters` of the component that the expression is in.
    pub(crate) parameters: &'a Value,
    pub(crate) fuel: &'s Fuel,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum EvalError {
    /// Something undefined was used; in most places that leads to a default.
    #[error("{0}")]
    Undefined(String),
    /// An operation that the types do not have. Jinja's host would use the template's own text as the
    /// value, which hides the mistake; here it is an error.
    #[error("{0}")]
    Type(String),
    /// A value that an operation cannot take.
    #[error("{0}")]
    Value(String),
}

/// Evaluates a tree. It recurses by as many levels as the tree has, so each kind of node is a function of its own: their frames on
/// the stack stay small.
pub(crate) fn evaluate<'a>(node: &'a Node, context: Context<'a, '_>) -> Result<Val<'a>, EvalError> {
    match node {
        Node::Const(value) => Ok(Val::Json(Cow::Borrowed(value))),
        Node::Var(var) => Ok(context.scope.get(*var, context.parameters)),
        Node::Attribute(of, name) => attribute(evaluate(of, context)?, name),
        Node::Item(of, key) => {
            let of = evaluate(of, context)?;
            item(of, &evaluate(key, context)?)
        }
        Node::List(_) | Node::Tuple(_) | Node::Dict(_) | Node::Slice { .. } => {
            collection(node, context)
        }
        Node::Not(of) => Ok(Val::boolean(!evaluate(of, context)?.is_true())),
        Node::Negate(of) => negative(&evaluate(of, context)?),
        Node::And(left, right) => {
            let left = evaluate(left, context)?;
            if left.is_true() {
                evaluate(right, context)
            } else {
                Ok(left)
            }
        }
        Node::Or(left, right) => {
            let left = evaluate(left, context)?;
            if left.is_true() {
                Ok(left)
            } else {
                evaluate(right, context)
            }
        }
        Node::Arithmetic(operator, left, right) => {
            let left = evaluate(left, context)?;
            let right = evaluate(right, context)?;
            arithmetic(*operator, &left, &right, context.fuel)
        }
        Node::Concat(left, right) => {
            let left = evaluate(left, context)?;
            concat(&left, &evaluate(right, context)?, context.fuel)
        }
        Node::Compare(first, links) => chain(first, links, context),
        Node::If {
            condition,
            then,
            otherwise,
        } => {
            if evaluate(condition, context)?.is_true() {
                evaluate(then, context)
            } else {
                match otherwise {
                    Some(node) => evaluate(node, context),
                    None => Ok(Val::Undefined),
                }
            }
        }
        Node::Filter(filter, input, arguments) => {
            let input = evaluate(input, context)?;
            filter.apply(input, &call(*filter, arguments, context)?)
        }
        Node::Each(each, of) => each.apply(&evaluate(of, context)?, context),
        Node::Test(test, of, arguments) => {
            let argument = match arguments.first() {
                Some(node) => Some(evaluate(node, context)?),
                None => None,
            };
            let value = evaluate(of, context)?;
            let holds = test.holds(&value, argument.as_ref(), context.fuel)?;
            Ok(Val::boolean(holds))
        }
        Node::Method(method, receiver, arguments) => {
            method_of(*method, &evaluate(receiver, context)?, arguments, context)
        }
        Node::Function(function, arguments) => function_of(*function, arguments, context),
    }
}

fn attribute<'a>(of: Val<'a>, name: &str) -> Result<Val<'a>, EvalError> {
    match &of {
        Val::Undefined => Err(EvalError::Undefined(format!(
            "\"{name}\" of something undefined"
        ))),
        Val::Dated(dated) => Ok(dated.attribute(name).map_or(Val::Undefined, Val::json)),
        _ => Ok(member(of, name)),
    }
}

/// A list, tuple or dict that is written out, or a part of one.
fn collection<'a>(node: &'a Node, context: Context<'a, '_>) -> Result<Val<'a>, EvalError> {
    let fuel = context.fuel;
    let all = |nodes: &'a [Node]| -> Result<Vec<Value>, EvalError> {
        let own = |node: &'a Node| fuel.own(evaluate(node, context)?);
        nodes.iter().map(own).collect()
    };
    match node {
        Node::List(nodes) => Ok(Val::json(Value::Array(all(nodes)?))),
        Node::Tuple(nodes) => Ok(Val::Tuple(all(nodes)?)),
        Node::Dict(pairs) => {
            let mut members = Map::new();
            for (key, value) in pairs {
                let key = evaluate(key, context)?;
                let key = fuel.text_of(&key)?.into_owned();
                fuel.burn(VALUE + key.len())?;
                members.insert(key, fuel.own(evaluate(value, context)?)?);
            }
            Ok(Val::json(Value::Object(members)))
        }
        Node::Slice {
            of,
            start,
            stop,
            step,
        } => {
            let bound = |node: &'a Option<Box<Node>>| match node {
                Some(node) => slice_bound(&evaluate(node, context)?),
                None => Ok(None),
            };
            let of = evaluate(of, context)?;
            slice(&of, bound(start)?, bound(stop)?, bound(step)?, fuel)
        }
        // No other node is given to this function.
        _ => Ok(Val::Undefined),
    }
}

fn negative<'a>(value: &Val<'_>) -> Result<Val<'a>, EvalError> {
    if let Val::Dated(Dated::Span(span)) = value {
        return Ok(Val::Dated(Dated::Span(span.negative())));
    }
    let number = value.as_json().and_then(as_number);
    let number = number.ok_or_else(|| unsupported("-", value, None))?;
    let negative = number::calculate(Arithmetic::Subtract, &serde_json::Number::from(0), &number);
    negative.map(Val::json).map_err(EvalError::Value)
}

fn concat<'a>(left: &Val<'_>, right: &Val<'_>, fuel: &Fuel) -> Result<Val<'a>, EvalError> {
    let (left, right) = (fuel.text_of(left)?, fuel.text_of(right)?);
    fuel.text(left.len() + right.len())?;
    Ok(Val::text(format!("{left}{right}")))
}

fn chain<'a>(
    first: &'a Node,
    links: &'a [(Comparison, Node)],
    context: Context<'a, '_>,
) -> Result<Val<'a>, EvalError> {
    let mut left = evaluate(first, context)?;
    for (operator, right) in links {
        let right = evaluate(right, context)?;
        if !compare(*operator, &left, &right, context.fuel)? {
            return Ok(Val::boolean(false));
        }
        left = right;
    }
    Ok(Val::boolean(true))
}

fn method_of<'a>(
    method: Method,
    receiver: &Val<'a>,
    arguments: &'a [Node],
    context: Context<'a, '_>,
) -> Result<Val<'a>, EvalError> {
    if matches!(receiver, Val::Undefined) {
        let message = "a method of something undefined".to_owned();
        return Err(EvalError::Undefined(message));
    }
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        values.push(evaluate(argument, context)?);
    }
    method.call(receiver, &values, context.fuel)
}

fn function_of<'a>(
    function: Function,
    arguments: &'a [Option<Node>],
    context: Context<'a, '_>,
) -> Result<Val<'a>, EvalError> {
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let value = match argument {
            Some(node) => Some(evaluate(node, context)?),
            None => None,
        };
        values.push(value);
    }
    for value in values.iter().flatten() {
        context.fuel.reads(value)?;
    }
    function.call(values, context.scope, context.fuel)
}

/// What a filter is called with.
pub(super) fn call<'a, 's>(
    filter: Filter,
    arguments: &'a Arguments,
    context: Context<'a, 's>,
) -> Result<Call<'a, 's>, EvalError>
where
    'a: 's,
{
    let mut values = Vec::with_capacity(arguments.positional.len() + arguments.named.len());
    let mut named = Vec::new();
    for node in &arguments.positional {
        values.push(Some(evaluate(node, context)?));
    }
    for (name, node) in &arguments.named {
        if filter == Filter::Format {
            named.push((name.as_str(), evaluate(node, context)?));
            continue;
        }
        let place = filter.place_of(name);
        // The names were checked when the expression was compiled.
        if place < 8 {
            if values.len() <= place {
                values.resize(place + 1, None);
            }
            values[place] = Some(evaluate(node, context)?);
        }
    }
    Ok(Call {
        arguments: values,
        named,
        pattern: arguments.pattern.as_deref(),
        fuel: context.fuel,
    })
}

/// A member of a dict; undefined for anything else.
fn member<'a>(of: Val<'a>, name: &str) -> Val<'a> {
    match of {
        Val::Json(Cow::Borrowed(Value::Object(members))) => members
            .get(name)
            .map_or(Val::Undefined, |found| Val::Json(Cow::Borrowed(found))),
        Val::Json(Cow::Owned(Value::Object(mut members))) => {
            members.swap_remove(name).map_or(Val::Undefined, Val::json)
        }
        Val::Json(Cow::Owned(Value::Array(items))) => {
            let found = groups::member(&items, name).cloned();
            found.map_or(Val::Undefined, Val::json)
        }
        _ => Val::Undefined,
    }
}

fn item<'a>(of: Val<'a>, key: &Val<'_>) -> Result<Val<'a>, EvalError> {
    if matches!(of, Val::Undefined) {
        let message = format!("item {} of something undefined", key.to_text());
        return Err(EvalError::Undefined(message));
    }
    if let Some(name) = key.as_str() {
        return Ok(member(of, name));
    }
    let index = key.as_json().and_then(Value::as_i64);
    let Some(index) = index else {
        return Ok(Val::Undefined);
    };
    let place = |length: usize| {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let place = if index < 0 { index + length } else { index };
        usize::try_from(place).ok()
    };
    Ok(match of {
        Val::Json(Cow::Borrowed(Value::Array(items))) => place(items.len())
            .and_then(|place| items.get(place))
            .map_or(Val::Undefined, |found| Val::Json(Cow::Borrowed(found))),
        Val::Json(Cow::Owned(Value::String(text))) => character(&text, &place),
        Val::Json(Cow::Borrowed(Value::String(text))) => character(text, &place),
        other => match other.as_items() {
            Some(items) => place(items.len())
                .and_then(|place| items.get(place))
                .map_or(Val::Undefined, |found| Val::json(found.clone())),
            None => Val::Undefined,
        },
    })
}

fn character(text: &str, place: &dyn Fn(usize) -> Option<usize>) -> Val<'static> {
    let place = place(text.chars().count());
    let found = place.and_then(|place| text.chars().nth(place));
    found.map_or(Val::Undefined, |c| Val::text(c.to_string()))
}

fn slice_bound(value: &Val<'_>) -> Result<Option<i64>, EvalError> {
    match value.as_json() {
        Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) if number::is_integer(number) => {
            let negative = number.as_str().starts_with('-');
            let clamp = if negative { i64::MIN / 2 } else { i64::MAX / 2 };
            Ok(Some(
                number
                    .as_i64()
                    .unwrap_or(clamp)
                    .clamp(i64::MIN / 2, i64::MAX / 2),
            ))
        }
        _ => Err(EvalError::Type(format!(
            "{} is no bound of a slice",
            value.type_name()
        ))),
    }
}

fn slice<'a>(
    of: &Val<'_>,
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
    fuel: &Fuel,
) -> Result<Val<'a>, EvalError> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(EvalError::Value(
            "the step of a slice cannot be 0".to_owned(),
        ));
    }
    if let Some(text) = of.as_str() {
        fuel.burn(text.len())?;
        let characters: Vec<char> = text.chars().collect();
        let picked = slice_places(characters.len(), start, end, step);
        return Ok(Val::text(
            picked.map(|place| characters[place]).collect::<String>(),
        ));
    }
    let Some(items) = of.as_items() else {
        return match of {
            Val::Undefined => Err(EvalError::Undefined("a slice of undefined".to_owned())),
            _ => Err(EvalError::Type(format!(
                "{} cannot be sliced",
                of.type_name()
            ))),
        };
    };
    let picked: Vec<Value> = slice_places(items.len(), start, end, step)
        .map(|place| fuel.copy(&items[place]))
        .collect::<Result<_, _>>()?;
    Ok(match of {
        Val::Tuple(_) => Val::Tuple(picked),
        _ => Val::json(Value::Array(picked)),
    })
}

/// The places that Python's slice picks; all of them are within the length.
fn slice_places(
    length: usize,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX / 2);
    let (lowest, highest) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let clip = |bound: i64| {
        let bound = if bound < 0 { bound + length } else { bound };
        bound.clamp(lowest, highest)
    };
    let (first_default, last_default) = if step > 0 {
        (0, length)
    } else {
        (length - 1, -1)
    };
    let first = start.map_or(first_default, clip);
    let last = end.map_or(last_default, clip);
    let mut place = first;
    std::iter::from_fn(move || {
        let inside = if step > 0 { place < last } else { place > last };
        let current = inside.then_some(place)?;
        place = place.saturating_add(step);
        usize::try_from(current).ok()
    })
}

fn unsupported(operator: &str, left: &Val<'_>, right: Option<&Val<'_>>) -> EvalError {
    let undefined = matches!(left, Val::Undefined) || matches!(right, Some(Val::Undefined));
    let types = match right {
        Some(right) => format!("{} and {}", left.type_name(), right.type_name()),
        None => left.type_name().to_owned(),
    };
    let message = format!("the operator \"{operator}\" does not work on {types}");
    if undefined {
        EvalError::Undefined(message)
    } else {
        EvalError::Type(message)
    }
}

fn arithmetic<'a>(
    operator: Arithmetic,
    left: &Val<'a>,
    right: &Val<'a>,
    fuel: &Fuel,
) -> Result<Val<'a>, EvalError> {
    let symbol = match operator {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::FloorDivide => "//",
        Arithmetic::Remainder => "%",
        Arithmetic::Power => "**",
    };
    let numbers = (
        left.as_json().and_then(as_number),
        right.as_json().and_then(as_number),
    );
    if let (Some(left), Some(right)) = numbers {
        return number::calculate(operator, &left, &right)
            .map(Val::json)
            .map_err(EvalError::Value);
    }
    if let Some(dated) = Dated::arithmetic(operator, left, right) {
        return Ok(Val::Dated(dated));
    }
    match (operator, left.as_str(), right.as_str()) {
        (Arithmetic::Add, Some(left), Some(right)) => {
            fuel.text(left.len() + right.len())?;
            return Ok(Val::text(format!("{left}{right}")));
        }
        (Arithmetic::Remainder, Some(text), _) => {
            fuel.burn(text.len())?;
            fuel.reads(right)?;
            let filled = printf::percent(text, right)?;
            fuel.text(filled.len())?;
            return Ok(Val::text(filled));
        }
        (Arithmetic::Multiply, Some(text), None) => {
            if let Some(times) = repetitions(right) {
                fuel.text(text.len().saturating_mul(times))?;
                return Ok(Val::text(text.repeat(times)));
            }
        }
        (Arithmetic::Multiply, None, Some(text)) => {
            if let Some(times) = repetitions(left) {
                fuel.text(text.len().saturating_mul(times))?;
                return Ok(Val::text(text.repeat(times)));
            }
        }
        _ => {}
    }
    let same_kind = matches!(left, Val::Tuple(_)) == matches!(right, Val::Tuple(_));
    if operator == Arithmetic::Add
        && same_kind
        && let (Some(first), Some(second)) = (left.as_items(), right.as_items())
    {
        for item in [first, second].into_iter().flatten() {
            fuel.json(item)?;
        }
        let joined = [first, second].concat();
        let is_tuple = matches!(left, Val::Tuple(_));
        return Ok(if is_tuple {
            Val::Tuple(joined)
        } else {
            Val::json(Value::Array(joined))
        });
    }
    Err(unsupported(symbol, left, Some(right)))
}

fn repetitions(value: &Val<'_>) -> Option<usize> {
    let times = value.as_json().and_then(Value::as_i64)?;
    Some(usize::try_from(times).unwrap_or(0))
}

fn compare(
    operator: Comparison,
    left: &Val<'_>,
    right: &Val<'_>,
    fuel: &Fuel,
) -> Result<bool, EvalError> {
    let (symbol, wanted): (&str, fn(Ordering) -> bool) = match operator {
        Comparison::Equal => return equal(left, right, fuel),
        Comparison::NotEqual => return equal(left, right, fuel).map(|equal| !equal),
        Comparison::In => return contains(right, left, fuel),
        Comparison::NotIn => return contains(right, left, fuel).map(|found| !found),
        Comparison::Less => ("<", Ordering::is_lt),
        Comparison::LessOrEqual => ("<=", Ordering::is_le),
        Comparison::Greater => (">", Ordering::is_gt),
        Comparison::GreaterOrEqual => (">=", Ordering::is_ge),
    };
    let order = match (left, right) {
        (Val::Json(left), Val::Json(right)) => {
            if left.is_array() && right.is_array() {
                fuel.json(left)?;
            }
            json_compare(left, right)
        }
        (Val::Dated(left), Val::Dated(right)) => left.compare(right),
        _ => None,
    };
    order
        .map(wanted)
        .ok_or_else(|| unsupported(symbol, left, Some(right)))
}

/// Python's `==`.
pub(crate) fn equal(left: &Val<'_>, right: &Val<'_>, fuel: &Fuel) -> Result<bool, EvalError> {
    let is_single = |value: &Val<'_>| match value {
        Val::Json(json) => !json.is_array() && !json.is_object(),
        _ => false,
    };
    if !is_single(left) && !is_single(right) {
        fuel.reads(left)?;
    }
    Ok(left.equals(right))
}

/// Python's `in`: part of a text, member of a list, key of a dict. Nothing is in undefined.
pub(crate) fn contains(
    container: &Val<'_>,
    wanted: &Val<'_>,
    fuel: &Fuel,
) -> Result<bool, EvalError> {
    if matches!(container, Val::Undefined) {
        return Ok(false);
    }
    if let Some(items) = container.as_items() {
        let Some(wanted) = wanted.as_json() else {
            return Ok(false);
        };
        fuel.burn_each(items.len(), ITEM)?;
        if wanted.is_array() || wanted.is_object() {
            fuel.reads(container)?;
        }
        return Ok(items.iter().any(|item| json_equals(item, wanted)));
    }
    match container.as_json() {
        Some(Value::Object(members)) => {
            Ok(wanted.as_str().is_some_and(|key| members.contains_key(key)))
        }
        Some(Value::String(text)) => match wanted.as_str() {
            Some(part) => {
                fuel.burn(text.len() + part.len())?;
                Ok(text.contains(part))
            }
            None => Err(EvalError::Type(format!(
                "\"in\" a text needs a text, not {}",
                wanted.type_name()
            ))),
        },
        _ => Err(EvalError::Type(format!(
            "\"in\" does not work on {}",
            container.type_name()
        ))),
    }
}
