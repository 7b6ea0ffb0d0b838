//! Every case of the golden table, which the reference implementation wrote.

use std::sync::Arc;

use serde_json::{Value, json};

use super::scope::{Place, Scope};
use super::template::Template;
use super::value::{Val, json_equals};

/// Where the engine departs on purpose: template, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("1e400", "there is no such JSON number: the text stays"),
    (
        "3.14159265358979312345",
        "digits that a float would lose are kept",
    ),
    ("{{ now_utc() < today_utc() }}", "wrong types fail loudly"),
    ("{{ now_utc() + 1 }}", "wrong types fail loudly"),
    (
        "{{ config.d.items() }}",
        "a list of pairs, not Python's name for a view",
    ),
];

fn same(expected: &Value, kind: &str, value: Option<Val<'_>>) -> bool {
    let Some(value) = value else {
        return expected.is_null() || expected == "";
    };
    let found_kind = match value.type_name() {
        "None" => "NoneType",
        "Ellipsis" => "ellipsis",
        other => other,
    };
    let json = match value {
        Val::Set(mut items) => {
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Val::Bytes(bytes) => Value::String(bytes.into_iter().map(char::from).collect()),
        other => other.into_json(),
    };
    found_kind == kind && json_equals(&json, expected)
}

#[test]
fn expressions_have_the_values_of_the_reference() {
    let table: Value =
        serde_json::from_str(include_str!("../../tests/golden/expressions.json")).unwrap();
    let config = &table["config"];
    let now = table["now"].as_str().unwrap();
    let now = chrono::DateTime::parse_from_rfc3339(now).unwrap().to_utc();
    let cases = table["cases"].as_array().unwrap();
    assert!(cases.len() > 320);
    let parameters = Arc::new(json!({"p": "param"}));
    let empty = json!({});
    let scope = Scope {
        stream_slice: Some(&empty),
        ..Scope::of_read(config, now)
    };
    let mut wrong = Vec::new();
    for case in cases {
        let source = case["template"].as_str().unwrap();
        let kind = case["type"].as_str().unwrap();
        let expected = &case["value"];
        if DIFFERENT.iter().any(|(template, _)| *template == source) {
            continue;
        }
        let template = match Template::compile(source, "", &parameters, Place::REQUEST) {
            Ok(template) => template,
            Err(message) => {
                if !kind.starts_with("error:") {
                    wrong.push(format!("{source:?}: refused: {message}"));
                }
                continue;
            }
        };
        if kind == "condition" {
            let found = template.condition(&scope);
            if found != Ok(expected == &json!(true)) {
                wrong.push(format!(
                    "condition {source:?}: {found:?}, expected {expected}"
                ));
            }
            continue;
        }
        match template.value(&scope) {
            Ok(value) if !kind.starts_with("error:") && same(expected, kind, value.clone()) => {}
            Err(_) if kind.starts_with("error:") => {}
            found => wrong.push(format!("{source:?}: {found:?}, expected {kind} {expected}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
