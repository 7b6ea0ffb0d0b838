//! Every case of the golden table, which the reference implementation wrote.

use std::sync::Arc;

use serde_json::{Value, json};

use super::EvalError;
use super::scope::{Place, Scope};
use super::template::Template;
use super::value::{Val, json_equals};

/// Where the engine departs on purpose: why, and the templates.
const DIFFERENT: &[(&str, &[&str])] = &[
    (
        "there are no such JSON numbers, infinities and complex ones: the text stays",
        &[
            "1e400",
            "1e999",
            "[1e999]",
            "[1j]",
            "(1e999)",
            "(1e999,)",
            "(1j,)",
            "{1e999}",
            "{1j}",
            "{'a': 1e999}",
            "{'a': 1j}",
            "[1e999, 'x']",
            "[1j, 'x']",
            "-1e999",
            "1e999 # x",
            "1e999,",
            "1j,",
            "[[1e999]]",
            "[[1j]]",
            "{1e999: 1}",
            "{1j: 1}",
        ],
    ),
    (
        "lists are not repeated, and truth values are no numbers",
        &[
            "{{ 1 * [1, 2] }}",
            "{{ -7 * [1, 2] }}",
            "{{ 'a' * true }}",
            "{{ '12' * true }}",
            "{{ '' * true }}",
            "{{ true * 'a' }}",
            "{{ true * '12' }}",
            "{{ true * '' }}",
            "{{ true * [1, 2] }}",
            "{{ [1, 2] * 1 }}",
            "{{ [1, 2] * -7 }}",
            "{{ [1, 2] * true }}",
            "{{ true | abs }}",
        ],
    ),
    (
        "\"%\" fills no texts",
        &[
            "{{ 'a' % [1, 2] }}",
            "{{ 'a' % {'a': 1} }}",
            "{{ 'a' % config.nothing }}",
            "{{ '12' % [1, 2] }}",
            "{{ '12' % {'a': 1} }}",
            "{{ '12' % config.nothing }}",
            "{{ '' % [1, 2] }}",
            "{{ '' % {'a': 1} }}",
        ],
    ),
    (
        "a list or a dict is no key of a dict, which is no reason to fail",
        &[
            "{{ [1, 2] in {'a': 1} }}",
            "{{ [1, 2] not in {'a': 1} }}",
            "{{ {'a': 1} in {'a': 1} }}",
            "{{ {'a': 1} not in {'a': 1} }}",
        ],
    ),
    (
        "what is undefined stays undefined, and is null within lists and dicts",
        &[
            "{{ config.nothing | string }}",
            "{{ config.nothing | abs }}",
            "{{ config.nothing | tojson }}",
            "{{ config.nothing | regex_search('a') }}",
            "{{ [config.nothing] }}",
            "{{ {'k': config.nothing} }}",
            "{{ (config.nothing, 1) }}",
        ],
    ),
    (
        "only integers are odd or even",
        &[
            "{{ 2.5 is odd }}",
            "{{ 2.5 is even }}",
            "{{ true is odd }}",
            "{{ true is even }}",
            "{{ config.nothing is odd }}",
            "{{ config.nothing is even }}",
        ],
    ),
    (
        "pairs are lists",
        &[
            "{{ config.d.items() }}",
            "{{ ({'b': 1, 'a': [2], 'none': none}).items() | first }}",
        ],
    ),
    (
        "digits that a float would lose are kept",
        &["3.14159265358979312345"],
    ),
    (
        "wrong types fail loudly",
        &["{{ now_utc() < today_utc() }}", "{{ now_utc() + 1 }}"],
    ),
    (
        "a list is encoded as its text",
        &["{{ [1, 2] | urlencode }}"],
    ),
    ("a dict is no text", &["{{ {'a': 1} | title }}"]),
    ("keys of dicts are texts", &["{{ {'a': 1, 0: 2}[0] }}"]),
    (
        "texts are not taken for lists of their characters",
        &[
            "{{ 'a,b,,c'.join('xyz') }}",
            "{{ max('abc') }}",
            "{{ min('abc') }}",
        ],
    ),
    (
        "a date has no offset to write",
        &["{{ today_utc().strftime('%z') }}"],
    ),
    (
        "unknown methods are refused when a manifest is loaded",
        &["{{ 'a,b,,c'.nonsense() }}"],
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
    assert!(cases.len() > 5_000);
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
        if DIFFERENT
            .iter()
            .any(|(_, templates)| templates.contains(&source))
        {
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
            // Wrong types fail loudly: the reference gives the template's own text.
            Err(EvalError::Type(_)) if expected == source => {}
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
