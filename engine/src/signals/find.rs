//! The way to objects within JSON: members, indices, and "every one".

use serde_json::Value;

use crate::expr::{Scope, Template};

/// One step of the way.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// `"*"`: every member of an object, every element of a list.
    Every,
    /// The member of this name, or the element of this index; a template over the config.
    One(Template),
}

/// A value with the JSON pointer that leads to it.
pub(super) struct Found<'v> {
    pub(super) value: &'v Value,
    pub(super) pointer: String,
}

/// Everything that the steps lead to. A template without a value leads nowhere.
pub(super) fn find<'v>(root: &'v Value, steps: &[Step], scope: &Scope<'_>) -> Vec<Found<'v>> {
    let mut found = vec![Found {
        value: root,
        pointer: String::new(),
    }];
    for step in steps {
        found = match step {
            Step::Every => found.iter().flat_map(every).collect(),
            Step::One(template) => match template.render(scope) {
                Ok(name) => found.iter().filter_map(|from| one(from, &name)).collect(),
                Err(_) => Vec::new(),
            },
        };
        if found.is_empty() {
            break;
        }
    }
    found
}

fn every<'v>(from: &Found<'v>) -> Vec<Found<'v>> {
    match from.value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| from.below(name, value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| from.below(&index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    }
}

fn one<'v>(from: &Found<'v>, name: &str) -> Option<Found<'v>> {
    let value = match from.value {
        Value::Object(members) => members.get(name)?,
        Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
        _ => return None,
    };
    Some(from.below(name, value))
}

impl<'v> Found<'v> {
    fn below(&self, name: &str, value: &'v Value) -> Found<'v> {
        let name = name.replace('~', "~0").replace('/', "~1");
        Found {
            value,
            pointer: format!("{}/{name}", self.pointer),
        }
    }
}
