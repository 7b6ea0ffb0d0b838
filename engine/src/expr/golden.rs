//! Every case of the golden table, which the reference implementation wrote.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::EvalError;
use super::scope::{Place, Scope};
use super::template::Template;
use super::value::{Val, json_equals};
use crate::host::{Host, Permit, PermitRequest, Refused, Reported, ResponseSignals};

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
        &[
            "{{ now_utc() < today_utc() }}",
            "{{ now_utc() + 1 }}",
            "{{ [1, 'a'] | sort }}",
            "{{ 5 | regex_replace('a', 'b') }}",
        ],
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

/// A host that only gives random bits.
struct Random;

#[async_trait]
impl Host for Random {
    async fn permit(&self, _request: &PermitRequest) -> Result<Permit, Refused> {
        Ok(Permit::empty())
    }

    async fn report(&self, _permit: Permit, _signals: &ResponseSignals) -> Reported {
        Reported::Noted
    }

    fn random_bits(&self) -> Option<u128> {
        Some(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210)
    }
}

#[test]
fn a_random_uuid_says_that_it_is_one() {
    let parameters = Arc::new(json!({}));
    let template = Template::compile("{{ generate_uuid() }}", "", &parameters, Place::CONFIG);
    let template = template.unwrap();
    let config = json!({});
    let scope = Scope::of_config(&config);
    assert!(template.text(&scope).is_err());
    let scope = Scope {
        host: Some(&Random),
        ..scope
    };
    let found = template.text(&scope);
    assert_eq!(found, Ok("01234567-89ab-4def-bedc-ba9876543210".to_owned()));
}

#[test]
fn json_within_a_text_is_read_for_signed_tokens_only() {
    let parameters = Arc::new(json!({}));
    let source = "{{ json_loads(config.account)['key'] }}";
    assert!(Template::compile(source, "", &parameters, Place::CONFIG).is_err());
    let template = Template::compile(source, "", &parameters, Place::SIGNED).unwrap();
    let config = json!({"account": "{\"key\": \"k\"}"});
    assert_eq!(
        template.text(&Scope::of_config(&config)),
        Ok("k".to_owned())
    );
    let config = json!({"account": "no JSON"});
    assert!(template.text(&Scope::of_config(&config)).is_err());
}

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
    assert!(cases.len() > 5_200);
    let parameters = Arc::new(json!({"p": "param"}));
    let empty = json!({});
    let host = Random;
    let scope = Scope {
        stream_slice: Some(&empty),
        host: Some(&host),
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
