//! The connection's config against the manifest's `spec.connection_specification`.
//!
//! Messages are our own where a validator's message would show the value: the value of a secret must
//! not appear in an error, and a wrong value next to it helps nobody.

use std::collections::HashSet;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use regex::Regex;
use serde_json::Value;

use crate::error::ConfigProblem;

/// Words whose subschemas, a list of them, are about the same value.
const CHOICES: &[&str] = &["oneOf", "anyOf", "allOf"];
/// Words whose subschema is about the same value.
const BRANCHES: &[&str] = &["if", "then", "else"];
/// Words whose subschemas, by the name of a member that there is, are about the same value.
const DEPENDENT: &[&str] = &["dependencies", "dependentSchemas"];
/// Words whose subschema, or a list of them, is about elements of a list.
const ELEMENTS: &[&str] = &["items", "prefixItems", "additionalItems", "contains"];

/// JSON pointers of all that is to be kept as a secret, in the schema's order: a property that is marked, and as a whole a list or
/// a mapping of free names with a secret somewhere in it, because no pointer leads to the one element or member.
pub(crate) fn secret_pointers(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_secrets(schema, "", &mut found);
    let all: HashSet<String> = found.iter().cloned().collect();
    let mut kept = HashSet::new();
    found.retain(|pointer| {
        let above = pointer.rmatch_indices('/').map(|(end, _)| &pointer[..end]);
        let is_within = above.into_iter().any(|above| all.contains(above));
        !is_within && kept.insert(pointer.clone())
    });
    found
}

/// Whether the config as a whole would have to be a secret: a mark has no property that could be kept apart.
pub(crate) fn has_secret_without_property(schema: &Value) -> bool {
    secret_pointers(schema).iter().any(String::is_empty)
}

fn collect_secrets(schema: &Value, pointer: &str, found: &mut Vec<String>) {
    if is_marked(schema) || without_pointer(schema).any(has_mark) {
        found.push(pointer.to_owned());
    }
    for (name, property) in properties(schema) {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        collect_secrets(property, &format!("{pointer}/{escaped}"), found);
    }
    for same in same_value(schema) {
        collect_secrets(same, pointer, found);
    }
}

/// The text values of the config's secrets: within lists and mappings only what is marked there.
pub(crate) fn secret_values(schema: &Value, config: &Value) -> Vec<String> {
    let mut values = Vec::new();
    collect_values(schema, config, &mut values);
    values
}

fn collect_values(schema: &Value, config: &Value, values: &mut Vec<String>) {
    if !has_mark(schema) {
        return;
    }
    if is_marked(schema) {
        collect_texts(config, values);
        return;
    }
    for same in same_value(schema) {
        collect_values(same, config, values);
    }
    match config {
        Value::Object(members) => {
            for (name, property) in properties(schema) {
                if let Some(member) = members.get(name) {
                    collect_values(property, member, values);
                }
            }
            let named = schema.get("properties");
            for (name, member) in members {
                if named.is_none_or(|named| named.get(name).is_none())
                    && let Some(additional) = schema.get("additionalProperties")
                {
                    collect_values(additional, member, values);
                }
                for (pattern, property) in patterns(schema) {
                    // What cannot be tried is taken to fit.
                    if Regex::new(pattern).map_or(true, |pattern| pattern.is_match(name)) {
                        collect_values(property, member, values);
                    }
                }
            }
        }
        Value::Array(items) => {
            for element in elements(schema) {
                for item in items {
                    collect_values(element, item, values);
                }
            }
        }
        _ => {}
    }
}

fn is_marked(schema: &Value) -> bool {
    schema.get("airbyte_secret") == Some(&Value::Bool(true))
}

/// Whether a schema or one below it marks a secret.
fn has_mark(schema: &Value) -> bool {
    is_marked(schema)
        || properties(schema).any(|(_, property)| has_mark(property))
        || same_value(schema).any(has_mark)
        || without_pointer(schema).any(has_mark)
}

fn mapping<'v>(schema: &'v Value, word: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    let members = schema.get(word).and_then(Value::as_object);
    members.into_iter().flatten()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    mapping(schema, "properties")
}

fn patterns(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    mapping(schema, "patternProperties")
}

/// Subschemas about the same value.
fn same_value(schema: &Value) -> impl Iterator<Item = &Value> {
    let choices = CHOICES
        .iter()
        .filter_map(|word| schema.get(*word)?.as_array());
    let branches = BRANCHES.iter().filter_map(|word| schema.get(*word));
    let dependent = DEPENDENT.iter().flat_map(|word| mapping(schema, word));
    let dependent = dependent.map(|(_, dependent)| dependent);
    choices.flatten().chain(branches).chain(dependent)
}

/// Subschemas about the elements of a list.
fn elements(schema: &Value) -> impl Iterator<Item = &Value> {
    let found = ELEMENTS.iter().filter_map(|word| schema.get(*word));
    found.flat_map(|element| match element {
        Value::Array(each) => each.as_slice(),
        single => std::slice::from_ref(single),
    })
}

/// Subschemas about values that no pointer of the schema leads to.
fn without_pointer(schema: &Value) -> impl Iterator<Item = &Value> {
    let free = patterns(schema).map(|(_, property)| property);
    let free = free.chain(schema.get("additionalProperties"));
    free.chain(elements(schema))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A text, or what else there is, that is marked.
    fn secret() -> Value {
        json!({"airbyte_secret": true})
    }

    #[test]
    fn secrets_are_found_wherever_a_schema_marks_them() {
        let in_object = json!({"properties": {"name": {}, "key": secret()}});
        let cases = [
            (
                json!({"items": secret()}),
                json!(["k1", "k2"]),
                ["k1", "k2"].as_slice(),
            ),
            (
                json!({"items": in_object}),
                json!([{"name": "plain", "key": "k1"}, {"key": "k2"}]),
                &["k1", "k2"],
            ),
            (json!({"prefixItems": [secret()]}), json!(["k1"]), &["k1"]),
            (
                json!({"properties": {"plain": {}}, "additionalProperties": secret()}),
                json!({"plain": "p", "other": "k1"}),
                &["k1"],
            ),
            (
                json!({"patternProperties": {"^key_": secret()}}),
                json!({"key_1": "k1", "plain": "p"}),
                &["k1"],
            ),
            (
                json!({"if": {}, "then": in_object}),
                json!({"key": "k1"}),
                &["k1"],
            ),
            (
                json!({"if": {}, "else": in_object}),
                json!({"key": "k1"}),
                &["k1"],
            ),
            (
                json!({"dependencies": {"name": in_object}}),
                json!({"name": "p", "key": "k1"}),
                &["k1"],
            ),
            (
                json!({"items": {"oneOf": [{"additionalProperties": {"items": in_object}}]}}),
                json!([{"any": [{"name": "p", "key": "k1"}]}]),
                &["k1"],
            ),
        ];
        for (schema, config, values) in cases {
            let schema = json!({"properties": {"at": schema}});
            let config = json!({"at": config});
            assert_eq!(secret_values(&schema, &config), values, "{schema}");
            let pointers = secret_pointers(&schema);
            let covered = |pointer: &String| pointer == "/at" || pointer == "/at/key";
            assert!(
                !pointers.is_empty() && pointers.iter().all(covered),
                "{schema}: {pointers:?}"
            );
        }
    }

    #[test]
    fn a_secret_far_down_is_found() {
        let (mut schema, mut config) = (secret(), json!("k1"));
        for _ in 0..50 {
            schema = json!({"properties": {"a": schema}});
            config = json!({"a": config});
        }
        assert_eq!(secret_pointers(&schema), ["/a".repeat(50)]);
        assert_eq!(secret_values(&schema, &config), ["k1"]);
    }

    #[test]
    fn what_lies_within_a_secret_is_no_secret_of_its_own() {
        let inner = json!({"properties": {"b": secret()}, "additionalProperties": secret()});
        let schema = json!({"properties": {"a": inner, "ab": secret()}});
        assert_eq!(secret_pointers(&schema), ["/a", "/ab"]);
        assert!(has_secret_without_property(
            &json!({"additionalProperties": secret()})
        ));
    }
}
