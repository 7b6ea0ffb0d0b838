//! Every case of the golden table of primary keys, which the reference implementation wrote.

use serde_json::{Value, json};

use super::load;

/// The key as paths.
fn key(fields: &Value) -> Result<Value, String> {
    let requester = json!({"type": "HttpRequester", "url_base": "http://h", "path": "items"});
    let selector = json!({"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": []}});
    let mut stream = json!({
        "type": "DeclarativeStream", "name": "items",
        "retriever": {"type": "SimpleRetriever", "requester": requester, "record_selector": selector},
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}},
    });
    for (name, value) in fields.as_object().unwrap() {
        stream[name] = value.clone();
    }
    let check = json!({"type": "CheckStream", "stream_names": ["items"]});
    let manifest = json!({"type": "DeclarativeSource", "version": "7.0.0", "check": check, "streams": [stream]});
    let source = load("items", &manifest.to_string()).map_err(|errors| errors.to_string())?;
    Ok(json!(source.infos[0].primary_key))
}

/// What the reference does otherwise.
fn different(case: &Value) -> Option<&'static str> {
    let key = &case["stream"]["primary_key"];
    let reads = |has: fn(&[Value]) -> bool| key.as_array().is_some_and(|items| has(items));
    if case["error"] == "ValueError" && !reads(|items| items.contains(&json!([]))) {
        return Some("nested keys are read");
    }
    if key == &json!(["id", ["day"]]) || key == &json!([["id"], "day"]) {
        return Some("names and paths may stand in one list");
    }
    if case["key"] == json!([[""]]) && key != &json!([""]) {
        return Some("an empty name is no key");
    }
    let given = |name: &str| case["stream"].get(name) == Some(&Value::Null);
    let is_null = given("primary_key")
        || case["stream"]["$parameters"].get("primary_key") == Some(&Value::Null);
    (case["error"] == "ValidationError" && is_null).then_some("null is no key")
}

#[test]
fn primary_keys_are_those_of_the_reference() {
    let table: Value =
        serde_json::from_str(include_str!("../../tests/golden/primary_keys.json")).unwrap();
    let cases = table.as_array().unwrap();
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    for case in cases {
        let found = key(&case["stream"]);
        let alike = match &found {
            Ok(key) => case.get("key") == Some(key),
            Err(_) => case.get("error").is_some(),
        };
        match different(case) {
            None if !alike => wrong.push(format!("{case}: {found:?}")),
            Some(reason) if alike => wrong.push(format!("no longer: {reason}: {case}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
