//! Setting a value at a path, with the places on the way to it.

use serde_json::{Map, Value};

/// The longest list that a path may make.
const LONGEST_LIST: usize = 10_000;

/// Sets a value. What is missing on the way is made: a list where the next step is a number, otherwise an object; lists grow as far as
/// needed. `Err` says what stands in the way.
pub(crate) fn set(
    members: &mut Map<String, Value>,
    path: &[String],
    value: Value,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    match rest.first() {
        None => {
            members.insert(first.clone(), value);
            Ok(())
        }
        Some(next) => {
            let member = members.entry(first.clone()).or_insert(Value::Null);
            set_below(member, next, rest, value)
        }
    }
}

fn set_below(place: &mut Value, step: &str, path: &[String], value: Value) -> Result<(), String> {
    let index = index_of(step);
    if !place.is_object() && !place.is_array() {
        *place = match index {
            Some(_) => Value::Array(Vec::new()),
            None => Value::Object(Map::new()),
        };
    }
    match place {
        Value::Object(members) => set(members, path, value),
        Value::Array(items) => {
            let Some(index) = index.filter(|index| *index < LONGEST_LIST) else {
                return Err(format!(
                    "\"{step}\" is no place in a list of at most {LONGEST_LIST} items"
                ));
            };
            if items.len() <= index {
                items.resize(index + 1, Value::Null);
            }
            match path.get(1) {
                None => {
                    items[index] = value;
                    Ok(())
                }
                Some(next) => set_below(&mut items[index], next, &path[1..], value),
            }
        }
        _ => Ok(()),
    }
}

fn index_of(step: &str) -> Option<usize> {
    let is_number = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond all bounds is still one.
    is_number.then(|| step.parse().unwrap_or(usize::MAX))
}
