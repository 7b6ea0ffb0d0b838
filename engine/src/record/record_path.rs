//! The way to the records of an answer.
//!
//! A list gives its items, an object one record, nothing gives none. With `*` as a whole step each match is a record. Other patterns
//! of names (`d*`, `?`, `[ab]`, `**`) must lead to one place. An answer that is an array is taken item by item before the path
//! applies. Records are moved out of the answer, never copied, unless a pattern leads to them.

use serde_json::Value;

use super::Glob;
use crate::expr::json_is_true;

/// A path for one read.
#[derive(Debug, Clone)]
pub(crate) struct RecordPath {
    steps: Vec<String>,
    /// If the path has patterns besides `*` as a whole step, or counts from the end of a list.
    pattern: Option<Glob>,
}

impl RecordPath {
    /// A path of these steps; `Err` if a pattern cannot be read.
    pub(crate) fn of(steps: Vec<String>) -> Result<RecordPath, String> {
        let needs_pattern = |step: &String| {
            let has_pattern = step != "*" && step.contains(['*', '?', '[']);
            let from_end = step.strip_prefix('-').map(str::parse::<usize>);
            has_pattern || from_end.is_some_and(|number| number.is_ok())
        };
        let pattern = if steps.iter().any(needs_pattern) {
            Some(Glob::compile(&steps)?)
        } else {
            None
        };
        Ok(RecordPath { steps, pattern })
    }

    /// Takes the records out of an answer. Not all of them need be objects. `Err` if a pattern leads to several places.
    pub(crate) fn take(&self, body: Value) -> Result<Vec<Value>, String> {
        let Some(pattern) = &self.pattern else {
            return Ok(take_records(body, &self.steps));
        };
        let items = match body {
            Value::Array(items) => items,
            single => vec![single],
        };
        let mut records = Vec::new();
        for item in &items {
            self.take_matching(pattern, item, &mut records)?;
        }
        Ok(records)
    }

    fn take_matching(
        &self,
        pattern: &Glob,
        body: &Value,
        records: &mut Vec<Value>,
    ) -> Result<(), String> {
        let found = pattern.find_in(body);
        if self.steps.iter().any(|step| step == "*") {
            records.extend(found.into_iter().cloned());
            return Ok(());
        }
        match found.as_slice() {
            [] => {}
            [Value::Array(items)] => records.extend(items.iter().cloned()),
            [single] => records.extend(json_is_true(single).then(|| (*single).clone())),
            several => {
                return Err(format!(
                    "the path \"{}\" leads to {} places of the answer, and one is needed; for each of them write * as a whole step",
                    self.steps.join("/"),
                    several.len()
                ));
            }
        }
        Ok(())
    }
}

fn take_records(body: Value, steps: &[String]) -> Vec<Value> {
    match body {
        Value::Array(items) => {
            if steps.is_empty() && items.iter().all(Value::is_object) {
                return items;
            }
            let mut records = Vec::with_capacity(items.len());
            for item in items {
                take_from(item, steps, &mut records);
            }
            records
        }
        single => {
            let mut records = Vec::new();
            take_from(single, steps, &mut records);
            records
        }
    }
}

fn take_from(body: Value, steps: &[String], records: &mut Vec<Value>) {
    if steps.iter().any(|step| step == "*") {
        take_matches(body, steps, records);
        return;
    }
    let mut place = body;
    for step in steps {
        place = match place {
            Value::Object(mut members) => members.swap_remove(step).unwrap_or(Value::Null),
            Value::Array(mut items) => match step.parse::<usize>() {
                Ok(index) if index < items.len() => items.swap_remove(index),
                _ => Value::Null,
            },
            _ => Value::Null,
        };
    }
    match place {
        Value::Array(items) if records.is_empty() => *records = items,
        Value::Array(items) => records.extend(items),
        other if json_is_true(&other) => records.push(other),
        _ => {}
    }
}

fn take_matches(place: Value, steps: &[String], records: &mut Vec<Value>) {
    let Some((step, rest)) = steps.split_first() else {
        records.push(place);
        return;
    };
    match place {
        Value::Object(mut members) => {
            if step == "*" {
                for (_, member) in members {
                    take_matches(member, rest, records);
                }
            } else if let Some(member) = members.swap_remove(step) {
                take_matches(member, rest, records);
            }
        }
        Value::Array(mut items) => {
            if step == "*" {
                for item in items {
                    take_matches(item, rest, records);
                }
            } else if let Some(index) = step.parse().ok().filter(|i: &usize| *i < items.len()) {
                take_matches(items.swap_remove(index), rest, records);
            }
        }
        _ => {}
    }
}
