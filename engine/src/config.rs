//! The connection's config against the manifest's `spec.connection_specification`.
//!
//! Messages are our own where a validator's message would show the value: the value of a secret must
//! not appear in an error, and a wrong value next to it helps nobody.

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::error::ConfigProblem;

/// JSON pointers of all properties that are marked as secret, in the schema's order.
pub(crate) fn secret_pointers(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_secrets(schema, "", 0, &mut found);
    found
}

fn collect_secrets(schema: &Value, pointer: &str, depth: usize, found: &mut Vec<String>) {
    if depth > 32 {
        return;
    }
    let marked = schema.get("airbyte_secret") == Some(&Value::Bool(true));
    if marked && !pointer.is_empty() && !found.iter().any(|known| known == pointer) {
        found.push(pointer.to_owned());
    }
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (name, property) in properties {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            collect_secrets(property, &format!("{pointer}/{escaped}"), depth + 1, found);
        }
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        if let Some(Value::Array(choices)) = schema.get(word) {
            for choice in choices {
                collect_secrets(choice, pointer, depth + 1, found);
            }
        }
    }
}

/// The text values of the config's secrets.
pub(crate) fn secret_values(schema: &Value, config: &Value) -> Vec<String> {
    let mut values = Vec::new();
    for pointer in secret_pointers(schema) {
        if let Some(value) = config.pointer(&pointer) {
            collect_texts(value, &mut values);
        }
    }
    values
}

fn collect_texts(value: &Value, values: &mut Vec<String>) {
    match value {
        Value::String(text) if !text.is_empty() => values.push(text.clone()),
        Value::Number(number) => values.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, values)),
        Value::Object(members) => members
            .values()
            .for_each(|item| collect_texts(item, values)),
        _ => {}
    }
}

/// Checks a config; all problems at once.
pub(crate) fn check(
    schema: &Value,
    validator: &Validator,
    config: &Value,
) -> Result<(), Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    for error in validator.iter_errors(config) {
        let place = error.instance_path().to_string();
        let problem = match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let message = format!("\"{name}\" is required{}", described(schema, &place, name));
                ConfigProblem {
                    pointer: format!("{place}/{name}"),
                    message,
                }
            }
            ValidationErrorKind::Enum { options } => {
                let message = format!("allowed values are {options}");
                ConfigProblem {
                    pointer: place,
                    message,
                }
            }
            // `masked_with` puts the placeholder where the value would stand.
            _ => ConfigProblem {
                pointer: place,
                message: error.masked_with("the value").to_string(),
            },
        };
        problems.push(problem);
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Title and description of a missing property, so that a person knows what to fill in.
fn described(schema: &Value, place: &str, name: &str) -> String {
    let mut node = schema;
    for step in place.split('/').filter(|step| !step.is_empty()) {
        match node
            .get("properties")
            .and_then(|properties| properties.get(step))
        {
            Some(next) => node = next,
            None => return String::new(),
        }
    }
    let property = node
        .get("properties")
        .and_then(|properties| properties.get(name));
    let text = |key: &str| {
        property
            .and_then(|found| found.get(key))
            .and_then(Value::as_str)
    };
    match (text("title"), text("description")) {
        (Some(title), Some(description)) => format!(" ({title}: {description})"),
        (Some(only), None) | (None, Some(only)) => format!(" ({only})"),
        (None, None) => String::new(),
    }
}
