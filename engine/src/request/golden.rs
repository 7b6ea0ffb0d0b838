//! Every case of the golden table of requests, which the reference implementation wrote.

use serde_json::{Map, Value, json};

use super::{Asked, Built, Requester};
use crate::expr::Scope;
use crate::load::component::{Component, Problems};
use crate::paginate::Paginator;

fn built(case: &Value, scope: &Scope<'_>) -> Result<Value, String> {
    let mut fields = json!({"type": "HttpRequester", "url_base": "http://h", "path": "p", "http_method": "POST"});
    for (name, value) in case["fields"].as_object().unwrap() {
        fields[name] = value.clone();
    }
    let parent = json!({"type": "SimpleRetriever", "requester": fields});
    let mut problems = Problems::default();
    let parent = Component::read(&parent, "", &["SimpleRetriever"], &mut problems).unwrap();
    let requester = Requester::load(&parent, &mut problems);
    assert!(problems.0.is_empty(), "{case}: {:?}", problems.0);
    let built = requester.unwrap().build(&Asked {
        scope,
        base_url: None,
        paginator: &Paginator::None,
        token: None,
        cursor: None,
        routers: None,
    });
    let built = built.map_err(|error| format!("{error:?}"))?;
    Ok(written(built))
}

/// A request as the tables write it.
pub(super) fn written(built: Built) -> Value {
    let mut headers = Map::new();
    for (name, value) in &built.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.insert(name.to_string(), Value::String(value));
    }
    let body = built
        .body
        .map(|body| String::from_utf8_lossy(&body).into_owned());
    json!({"url": built.url.as_str(), "headers": headers, "body": body})
}

/// JSON is compared as such: Python writes spaces in it and escapes.
pub(super) fn is_same(case: &Value, found: &Value) -> bool {
    let bodies = |value: &Value| {
        let text = value["body"].as_str().unwrap_or_default();
        serde_json::from_str::<Value>(text).unwrap_or_else(|_| value["body"].clone())
    };
    let kind = case["headers"]["content-type"].as_str();
    let is_json = kind.is_some_and(|kind| kind != "application/x-www-form-urlencoded");
    let same_body = if is_json {
        bodies(case) == bodies(found)
    } else {
        case["body"] == found["body"]
    };
    same_body && case["url"] == found["url"] && case["headers"] == found["headers"]
}

#[test]
fn requests_are_built_as_the_reference_builds_them() {
    let table: Value =
        serde_json::from_str(include_str!("../../tests/golden/requesters.json")).unwrap();
    let cases = table["cases"].as_array().unwrap();
    assert!(cases.len() > 150);
    let scope = Scope {
        stream_slice: Some(&table["slice"]),
        ..Scope::of_config(&table["config"])
    };
    let mut wrong = Vec::new();
    for case in cases {
        // The reference leaves out a query that is no mapping, and takes no text that is missing for headers.
        let is_dropped_query = case["fields"]["request_parameters"].is_string();
        let is_empty = case["fields"]["request_headers"] == "{{ config.none }}";
        match built(case, &scope) {
            Ok(_) if is_empty => {}
            Ok(found) if case.get("error").is_none() && is_same(case, &found) => {}
            Err(_) if case.get("error").is_some() || is_dropped_query => {}
            found => wrong.push(format!("{case}: {found:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
