//! Every case of the golden table of request options, which the reference implementation wrote: a stream's requests for its first two
//! pages.

use serde_json::{Value, json};

use super::golden::{is_same, written};
use super::{Asked, Built};
use crate::expr::Scope;
use crate::load::load;
use crate::load::model::Stream;
use crate::paginate::{PageFacts, Token};

fn manifest(parts: &Value) -> Value {
    let mut requester = json!({"type": "HttpRequester", "url_base": "http://h", "path": "items", "http_method": "POST"});
    for (name, value) in parts["requester"].as_object().into_iter().flatten() {
        requester[name] = value.clone();
    }
    let selector = json!({"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["items"]}});
    let mut retriever =
        json!({"type": "SimpleRetriever", "requester": requester, "record_selector": selector});
    for name in ["paginator", "partition_router"] {
        retriever[name] = parts[name].clone();
    }
    let stream = json!({
        "type": "DeclarativeStream", "name": "items", "retriever": retriever, "incremental_sync": parts["incremental_sync"],
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}},
    });
    let check = json!({"type": "CheckStream", "stream_names": ["items"]});
    json!({"type": "DeclarativeSource", "version": "7.0.0", "check": check, "streams": [stream]})
}

fn built(stream: &Stream, scope: &Scope<'_>, token: Option<&Value>) -> Result<Built, String> {
    let asked = Asked {
        scope,
        base_url: None,
        paginator: &stream.paginator,
        token,
        cursor: stream.cursor.as_ref(),
        routers: stream.routers.as_ref(),
    };
    let built = stream.requester.build(&asked);
    built.map_err(|error| format!("{error:?}"))
}

/// The token after the answer to the first request.
fn next(stream: &Stream, scope: &Scope<'_>, answer: &Value) -> Result<Option<Token>, String> {
    let headers = json!({});
    let paginator = &stream.paginator;
    let foretold = paginator
        .foretell(scope, answer, &headers)
        .map_err(|error| format!("{error:?}"))?;
    let facts = PageFacts {
        extracted: 1,
        last_record: answer["items"].get(0),
        page_size: 1,
        foretold,
        response: answer,
        headers: &headers,
    };
    let token = paginator.next(&paginator.first(), scope, facts);
    token.map_err(|error| format!("{error:?}"))
}

fn requests(case: &Value, config: &Value) -> Result<Vec<Value>, String> {
    let source = load("items", &manifest(&case["stream"]).to_string())
        .map_err(|errors| format!("{errors}"))?;
    let stream = &source.streams[0];
    let scope = Scope {
        stream_slice: case.get("slice"),
        ..Scope::of_config(config)
    };
    let first = stream.paginator.request_token(&stream.paginator.first());
    let mut requests = vec![written(built(stream, &scope, first.as_ref())?)];
    if let Some(token) = next(stream, &scope, &case["answer"])? {
        let token = stream.paginator.request_token(&token);
        requests.push(written(built(stream, &scope, token.as_ref())?));
    }
    Ok(requests)
}

/// What is another thing than in the reference on purpose.
fn different(case: &Value) -> Option<&'static str> {
    let stream = &case["stream"];
    let text = stream.to_string();
    let sends = case.get("error") != Some(&json!("ValueError"));
    if text.contains("parameters.of") && sends {
        return Some("names of options see the parameters");
    }
    if case["error"] == "TypeError" {
        return Some("of two ends of a slice the second one counts, wherever it goes");
    }
    let is_beside = text.contains(r#"["x","y"]"#) && text.contains(r#"["x","z"]"#);
    if is_beside && case["slice"].get("part").is_some() && case["slice"].get("start_time").is_some()
    {
        return Some("members beside each other are both sent");
    }
    if stream["requester"]["request_body_json"] == "{{ config.none }}" {
        return Some("a text without a value is no body");
    }
    if stream["requester"]["request_body_json"] == "[1]" {
        return Some("a body that is a list takes no members");
    }
    if case["answer"]["next"] == "1,2" && text.contains("\"header\"") {
        return Some("a tuple is kept as a list");
    }
    let is_blank = text.contains(r#"[" s "]"#) && text.contains(r#""header""#);
    is_blank.then_some("blanks around a header's value are sent")
}

fn compare(case: &Value, config: &Value) -> Result<(), String> {
    let found = requests(case, config);
    match (case["requests"].as_array(), found) {
        (None, Err(_)) => Ok(()),
        (Some(expected), Ok(found)) => {
            let alike = expected.len() == found.len()
                && expected
                    .iter()
                    .zip(&found)
                    .all(|(expected, found)| is_same(expected, found));
            alike.then_some(()).ok_or_else(|| format!("{found:?}"))
        }
        (_, found) => Err(format!("{found:?}")),
    }
}

#[test]
fn values_go_where_the_reference_puts_them() {
    let table: Value =
        serde_json::from_str(include_str!("../../tests/golden/options.json")).unwrap();
    let mut count = 0;
    let mut wrong = Vec::new();
    for (group, cases) in table.as_object().unwrap() {
        for case in cases.as_array().into_iter().flatten() {
            count += 1;
            match (compare(case, &table["config"]), different(case)) {
                (Ok(()), None) | (Err(_), Some(_)) => {}
                (Ok(()), Some(reason)) => {
                    wrong.push(format!("{group}: no longer: {reason}: {case}"));
                }
                (Err(found), None) => wrong.push(format!("{group}: {case}\n   ours: {found}")),
            }
        }
    }
    assert!(count > 1_500, "{count}");
    assert!(
        wrong.is_empty(),
        "{} of {count} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
