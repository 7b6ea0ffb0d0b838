//! A manifest without traps, and what becomes of it with a change.

use serde_json::{Value, json};

use super::lint;

/// The manifest with a change: mappings are merged, lists element by element, everything else is replaced.
pub(super) fn manifest(change: Value) -> String {
    let mut whole = json!({
        "type": "DeclarativeSource",
        "version": "6.0.0",
        "check": {"type": "CheckStream", "stream_names": ["items"]},
        "api_budget": {
            "type": "HTTPAPIBudget",
            "policies": [{
                "type": "MovingWindowCallRatePolicy",
                "rates": [{"limit": 10, "interval": "PT1S"}],
                "matchers": []
            }]
        },
        "streams": [{
            "type": "DeclarativeStream",
            "name": "items",
            "primary_key": ["id"],
            "schema_loader": {
                "type": "InlineSchemaLoader",
                "schema": {"type": "object", "properties": {"id": {"type": "string"}}}
            },
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {
                    "type": "HttpRequester",
                    "url_base": "https://api.example.com/v1/",
                    "path": "/items",
                    "authenticator": {"type": "BearerAuthenticator", "api_token": "{{ config['token'] }}"}
                },
                "paginator": {
                    "type": "DefaultPaginator",
                    "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "after"},
                    "pagination_strategy": {
                        "type": "CursorPagination",
                        "cursor_value": "{{ response.get('next') }}",
                        "stop_condition": "{{ not response.get('next') }}"
                    }
                },
                "record_selector": {
                    "type": "RecordSelector",
                    "extractor": {"type": "DpathExtractor", "field_path": ["data"]}
                }
            }
        }],
        "spec": {
            "type": "Spec",
            "connection_specification": {
                "type": "object",
                "properties": {"token": {"type": "string", "airbyte_secret": true}}
            }
        }
    });
    merge(&mut whole, change);
    whole.to_string()
}

/// The traps of the manifest with a change, with the path of each.
pub(super) fn traps(change: Value) -> Vec<(&'static str, String)> {
    let found = lint("demo", &manifest(change)).warnings.into_iter();
    found
        .map(|warning| (warning.trap, warning.paths[0].clone()))
        .collect()
}

/// Asserts that a change of the first stream's retriever leads into exactly one trap, and that the manifest loads.
pub(super) fn assert_trap(change: Value, trap: &str, path: &str) {
    let report = lint("demo", &manifest(change.clone()));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let shown = change.to_string();
    let found = traps(change);
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(trap, path)| (*trap, path.as_str()))
        .collect();
    assert_eq!(found, [(trap, path)], "{shown}");
}

/// Asserts that a change leads into no trap, and that the manifest loads.
pub(super) fn assert_fine(change: Value) {
    let report = lint("demo", &manifest(change));
    assert_eq!(report, super::LintReport::default());
}

/// A change of the first stream.
pub(super) fn stream(change: Value) -> Value {
    json!({"streams": [change]})
}

/// A change of the first stream's requester.
pub(super) fn requester(change: Value) -> Value {
    stream(json!({"retriever": {"requester": change}}))
}

fn merge(whole: &mut Value, change: Value) {
    match (whole, change) {
        (Value::Object(members), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(members.entry(name).or_insert(Value::Null), change);
            }
        }
        (Value::Array(items), Value::Array(changes)) if changes.len() == items.len() => {
            for (item, change) in items.iter_mut().zip(changes) {
                merge(item, change);
            }
        }
        (whole, change) => *whole = change,
    }
}
