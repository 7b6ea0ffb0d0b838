//! Filters that put a sequence into another shape: `dictsort`, `groupby`, `batch`, `slice`.
//!
//! Pairs are lists. Those of `groupby` have the members `grouper` and `list` as well.

use std::cmp::Ordering;

use serde_json::Value;

use super::eval::EvalError;
use super::filters::{Call, items};
use super::fuel::{Fuel, ITEM, VALUE};
use super::sequences::{attribute, key_of, path_of, sorted};
use super::value::{Val, json_compare};

/// The member of a group; `None` for what is no group.
pub(super) fn member<'v>(group: &'v [Value], name: &str) -> Option<&'v Value> {
    match (group, name) {
        ([grouper, Value::Array(_)], "grouper") => Some(grouper),
        ([_, list @ Value::Array(_)], "list") => Some(list),
        _ => None,
    }
}

fn small(text: &Value) -> Value {
    match text {
        Value::String(text) => Value::String(text.to_lowercase()),
        other => other.clone(),
    }
}

/// `dictsort(case_sensitive, by, reverse)`.
pub(super) fn dictsort(value: &Val<'_>, call: &Call<'_, '_>) -> Result<Value, EvalError> {
    let fuel = call.fuel;
    let Some(Value::Object(members)) = value.as_json() else {
        let message = format!("{} has no members to sort", value.type_name());
        return Err(match value {
            Val::Undefined => EvalError::Undefined(message),
            _ => EvalError::Type(message),
        });
    };
    let case_sensitive = call.argument(0).is_some_and(Val::is_true);
    let by = call.argument(1).map_or("key".into(), Val::to_text);
    let by_value = match by.as_ref() {
        "key" => false,
        "value" => true,
        _ => {
            let message = "dictsort() sorts by \"key\" or \"value\"".to_owned();
            return Err(EvalError::Value(message));
        }
    };
    let reverse = call.argument(2).is_some_and(Val::is_true);
    let mut keyed = Vec::with_capacity(members.len());
    for (name, member) in members {
        let name = Value::from(name.as_str());
        fuel.json(&name)?;
        fuel.json(member)?;
        let key = if by_value { member } else { &name };
        let key = if case_sensitive {
            key.clone()
        } else {
            small(key)
        };
        keyed.push((key, name, member));
    }
    let keyed = sorted(keyed, fuel, |left, right| {
        Ok(directed(order(&left.0, &right.0, fuel)?, reverse))
    })?;
    keyed
        .into_iter()
        .map(|(_, name, member)| Ok(Value::Array(vec![name, fuel.copy(member)?])))
        .collect()
}

pub(super) fn directed(order: Ordering, reverse: bool) -> Ordering {
    if reverse { order.reverse() } else { order }
}

/// Python's order of two keys, and the steps of comparing them.
pub(super) fn order(left: &Value, right: &Value, fuel: &Fuel) -> Result<Ordering, EvalError> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => fuel.burn(left.len().min(right.len()))?,
        (Value::Array(_), Value::Array(_)) => fuel.json(left)?,
        _ => {}
    }
    let order = json_compare(left, right);
    order.ok_or_else(|| EvalError::Type("the values have no order".to_owned()))
}

/// `groupby(attribute, default, case_sensitive)`.
pub(super) fn groupby(value: &Val<'_>, call: &Call<'_, '_>) -> Result<Value, EvalError> {
    let fuel = call.fuel;
    let path = path_of(call.argument(0));
    let default = call.argument(1).cloned().map(Val::into_json);
    let default = default.filter(|default| !default.is_null());
    let case_sensitive = call.argument(2).is_some_and(Val::is_true);
    let items = items(value, fuel)?;
    let mut keyed = Vec::with_capacity(items.len());
    for item in items.iter() {
        let key = key_of(item, &path, default.as_ref(), !case_sensitive, fuel)?;
        keyed.push((key, item));
    }
    let keyed = sorted(keyed, fuel, |left, right| order(&left.0, &right.0, fuel))?;
    let mut groups: Vec<Value> = Vec::new();
    let mut members: Vec<Value> = Vec::new();
    let mut rest = keyed.iter().peekable();
    while let Some((key, item)) = rest.next() {
        members.push(fuel.copy(item)?);
        let ends = match rest.peek() {
            Some((next, _)) => order(key, next, fuel)? != Ordering::Equal,
            None => true,
        };
        if ends {
            // As the first of the group has it, whatever its case.
            let first = attribute(&members[0], &path, default.as_ref())?;
            let grouper = match first {
                Some(first) => fuel.copy(first)?,
                None => Value::Null,
            };
            let list = Value::Array(std::mem::take(&mut members));
            groups.push(Value::Array(vec![grouper, list]));
        }
    }
    Ok(Value::Array(groups))
}

fn whole(value: Option<&Val<'_>>, filter: &str) -> Result<i64, EvalError> {
    let number = value.and_then(Val::as_json).and_then(Value::as_i64);
    let message = || format!("{filter}() needs a whole number");
    number.ok_or_else(|| EvalError::Type(message()))
}

/// What fills up, unless it is None.
fn filler(call: &Call<'_, '_>) -> Option<Value> {
    let value = call.argument(1).cloned().map(Val::into_json);
    value.filter(|value| !value.is_null())
}

/// `batch(linecount, fill_with)`: lists of so many items.
pub(super) fn batch(value: &Val<'_>, call: &Call<'_, '_>) -> Result<Value, EvalError> {
    let fuel = call.fuel;
    // A batch of no items is given once, as in the reference.
    let count = usize::try_from(whole(call.argument(0), "batch")?).unwrap_or(usize::MAX);
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    for item in items(value, fuel)?.iter() {
        if batch.len() == count {
            batches.push(Value::Array(std::mem::take(&mut batch)));
            fuel.burn(VALUE)?;
        }
        batch.push(fuel.copy(item)?);
    }
    if !batch.is_empty() {
        if let Some(filler) = filler(call).filter(|_| count != usize::MAX) {
            while batch.len() < count {
                batch.push(fuel.copy(&filler)?);
            }
        }
        batches.push(Value::Array(batch));
    }
    Ok(Value::Array(batches))
}

/// `slice(slices, fill_with)`: so many lists, whose lengths differ by one at most.
pub(super) fn slice(value: &Val<'_>, call: &Call<'_, '_>) -> Result<Value, EvalError> {
    let fuel = call.fuel;
    let count = whole(call.argument(0), "slice")?;
    if count == 0 {
        return Err(EvalError::Value(
            "slice() needs at least one list".to_owned(),
        ));
    }
    let count = usize::try_from(count).unwrap_or(0);
    let items = items(value, fuel)?;
    fuel.burn_each(count, VALUE + ITEM)?;
    let mut slices = Vec::with_capacity(count);
    let mut rest = items.as_ref();
    let (least, longer) = match count {
        0 => (0, 0),
        _ => (items.len() / count, items.len() % count),
    };
    let filler = filler(call);
    for place in 0..count {
        let is_longer = place < longer;
        let (head, tail) = rest.split_at(least + usize::from(is_longer));
        rest = tail;
        let mut slice = Vec::with_capacity(head.len() + 1);
        for item in head {
            slice.push(fuel.copy(item)?);
        }
        if let Some(filler) = filler.as_ref().filter(|_| !is_longer) {
            slice.push(fuel.copy(filler)?);
        }
        slices.push(Value::Array(slice));
    }
    Ok(Value::Array(slices))
}
