//! `DpathExtractor`: the place of the records in an answer.
//!
//! A list gives its items, an object one record, nothing gives none. With `*` in the path each match is
//! a record. An answer that is an array is taken item by item before the path applies. Records are
//! moved out of the answer, never copied.

use serde_json::Value;

use crate::expr::{Scope, Template, json_is_true};
use crate::load::component::{Component, Problems};
use crate::page::Record;
use crate::request::value::{FieldError, at};

#[derive(Debug, Clone)]
pub(crate) struct Extractor {
    path: Vec<Template>,
    /// `x_scalar_field`: the only field of a record that is made of a text, a number or a boolean.
    scalar_field: Option<String>,
}

impl Extractor {
    pub(crate) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Extractor> {
        component.refuse(&["record_expander"], &["x_scalar_field"], problems);
        let scalar_field = component.text("x_scalar_field", problems);
        let scalar_field = scalar_field.map(str::to_owned);
        super::super::load::stream::check_decoder(component, problems);
        let place = component.path_of("field_path");
        match component.get("field_path") {
            Some(Value::Array(steps)) => {
                let path = component.steps_of(steps, &place, problems);
                Some(Extractor { path, scalar_field })
            }
            Some(_) => {
                problems.add(
                    place,
                    "a list of names is needed here, [] for the whole answer",
                );
                None
            }
            None => {
                component.missing("field_path", problems);
                None
            }
        }
    }

    /// Takes the whole answer.
    pub(crate) fn whole() -> Extractor {
        Extractor {
            path: Vec::new(),
            scalar_field: None,
        }
    }

    /// A record of what is none itself, if the manifest wants that. `Err` gives the value back.
    pub(crate) fn record_of(&self, value: Value) -> Result<Record, Value> {
        match (&self.scalar_field, value) {
            (_, Value::Object(record)) => Ok(record),
            (Some(field), value) if !value.is_null() && !value.is_array() => {
                let mut record = Record::new();
                record.insert(field.clone(), value);
                Ok(record)
            }
            (_, value) => Err(value),
        }
    }

    /// The path for this read.
    pub(crate) fn steps(&self, scope: &Scope<'_>) -> Result<Vec<String>, FieldError> {
        let text = |step: &Template| step.text(scope).map_err(|error| at(step, error));
        self.path.iter().map(text).collect()
    }
}

/// Takes the records out of an answer. Not all of them need be objects.
pub(crate) fn take_records(body: Value, steps: &[String]) -> Vec<Value> {
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
