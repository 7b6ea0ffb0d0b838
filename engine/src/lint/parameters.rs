//! `$parameters` that land in fields, and references whose target loses members.
//!
//! Both are told by the manifest before parameters were handed down: afterwards nobody can see who wrote a field.

use std::collections::HashSet;

use serde_json::Value;

use super::component::{is_data, step};
use super::{Found, short};
use crate::expr::json_is_true;
use crate::load::refs::Shadowed;

/// Fields that a component may lack, and then does something else than with them. What it cannot do without is left out on
/// purpose where a parameter has its name.
const OPTIONAL: &[(&str, &[&str])] = &[
    (
        "DeclarativeStream",
        &[
            "primary_key",
            "incremental_sync",
            "schema_loader",
            "transformations",
            "state_migrations",
        ],
    ),
    (
        "SimpleRetriever",
        &[
            "paginator",
            "partition_router",
            "decoder",
            "pagination_reset",
        ],
    ),
    (
        "HttpRequester",
        &[
            "url",
            "url_base",
            "path",
            "http_method",
            "request_parameters",
            "request_headers",
            "request_body",
            "request_body_json",
            "request_body_data",
            "authenticator",
            "error_handler",
        ],
    ),
    (
        "RecordSelector",
        &[
            "record_filter",
            "schema_normalization",
            "transform_before_filtering",
        ],
    ),
    (
        "DefaultPaginator",
        &["page_size_option", "page_token_option"],
    ),
    ("CursorPagination", &["stop_condition", "page_size"]),
    (
        "PageIncrement",
        &["page_size", "start_from_page", "inject_on_first_request"],
    ),
    ("OffsetIncrement", &["page_size", "inject_on_first_request"]),
    (
        "DatetimeBasedCursor",
        &[
            "end_datetime",
            "step",
            "cursor_granularity",
            "lookback_window",
            "cursor_datetime_formats",
            "start_time_option",
            "end_time_option",
            "is_data_feed",
            "is_client_side_incremental",
        ],
    ),
    (
        "MinMaxDatetime",
        &["datetime_format", "min_datetime", "max_datetime"],
    ),
    ("ListPartitionRouter", &["request_option"]),
    (
        "ParentStreamConfig",
        &["request_option", "extra_fields", "incremental_dependency"],
    ),
    (
        "DefaultErrorHandler",
        &["response_filters", "backoff_strategies", "max_retries"],
    ),
    (
        "HttpResponseFilter",
        &[
            "action",
            "http_codes",
            "predicate",
            "error_message_contains",
            "error_message",
            "failure_type",
        ],
    ),
    ("ExponentialBackoffStrategy", &["factor"]),
    (
        "WaitTimeFromHeader",
        &["regex", "max_waiting_time_in_seconds"],
    ),
    ("WaitUntilTimeFromHeader", &["regex", "min_wait"]),
    ("ApiKeyAuthenticator", &["header", "inject_into"]),
    ("BasicHttpAuthenticator", &["password"]),
    (
        "OAuthAuthenticator",
        &["grant_type", "refresh_token", "scopes"],
    ),
    ("AddFields", &["condition"]),
    ("AddedFieldDefinition", &["value_type"]),
    ("RemoveFields", &["condition"]),
];

/// Compares a manifest as it was written, references apart, with what became of it.
pub(super) fn look(written: &Value, complete: &Value, found: &mut Found) {
    let mut read = HashSet::new();
    names_read(written, &mut read);
    compare(written, complete, "", &read, found);
}

/// A mapping beside a `$ref` takes the place of the target's: its other members are gone.
pub(super) fn shadowed(shadowed: &[Shadowed], found: &mut Found) {
    for Shadowed { path, lost } in shadowed {
        found.add(
            "ref-replaces-mapping",
            path,
            format!(
                "what stands beside $ref replaces the mapping of the same name as a whole: {} of the referred one is gone",
                short(&lost.join(", "))
            ),
            "repeat in it what is to stay, or begin it with a $ref to the referred mapping itself",
        );
    }
}

fn compare(
    written: &Value,
    complete: &Value,
    path: &str,
    read: &HashSet<String>,
    found: &mut Found,
) {
    match (written, complete) {
        (Value::Object(before), Value::Object(after)) => {
            let kind = after.get("type").and_then(Value::as_str);
            let parameters = after.get("$parameters").and_then(Value::as_object);
            for (name, value) in parameters.into_iter().flatten() {
                let is_taken = json_is_true(value) && after.get(name) == Some(value);
                let place = format!("{path}/{}", step(name));
                match before.get(name) {
                    Some(own) if is_taken && !json_is_true(own) => found.add(
                        "parameter-replaces-empty",
                        &place,
                        format!(
                            "the field is written as {own}, but the parameter \"{name}\" of $parameters takes its place: an \
                             empty value counts as missing"
                        ),
                        "give the parameter another name, and read it with {{ parameters['...'] }} where it is meant",
                    ),
                    None if is_taken && read.contains(name) && is_optional(kind, name) => found.add(
                        "parameter-becomes-field",
                        &place,
                        format!(
                            "expressions read the parameter \"{name}\", and it also becomes the field \"{name}\" of {}, which \
                             has none of its own",
                            kind.unwrap_or_default()
                        ),
                        "give the parameter a name that is no field, or write the field out if it is meant",
                    ),
                    _ => {}
                }
            }
            for (name, below) in before {
                let is_passed_over = name.starts_with("x_")
                    || matches!(
                        name.as_str(),
                        "$parameters" | "schema" | "connection_specification"
                    )
                    || is_data(kind.unwrap_or_default(), name);
                if let Some(complete) = after.get(name)
                    && !is_passed_over
                {
                    let place = format!("{path}/{}", step(name));
                    compare(below, complete, &place, read, found);
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(before, after, &format!("{path}/{index}"), read, found);
            }
        }
        _ => {}
    }
}

fn is_optional(kind: Option<&str>, field: &str) -> bool {
    OPTIONAL
        .iter()
        .any(|(known, fields)| Some(*known) == kind && fields.contains(&field))
}

/// The names of parameters that expressions read.
fn names_read(value: &Value, read: &mut HashSet<String>) {
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, after)) = rest.split_once("parameters") {
                rest = after;
                let name = after.trim_start_matches(['.', '[', '(', ' ', '\'', '"']);
                let name = name.strip_prefix("get(").unwrap_or(name);
                let name = name.trim_start_matches([' ', '\'', '"']);
                let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                read.insert(name[..end.unwrap_or(name.len())].to_owned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_read(item, read)),
        Value::Object(members) => members.values().for_each(|item| names_read(item, read)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, manifest, stream};
    use super::super::lint;
    use serde_json::{Value, json};

    #[test]
    fn an_empty_value_that_a_parameter_replaces() {
        let empty = |parameters: Value| {
            stream(json!({
                "$parameters": parameters,
                "retriever": {"requester": {"request_parameters": {}}},
            }))
        };
        assert_trap(
            empty(json!({"request_parameters": {"limit": 5}})),
            "parameter-replaces-empty",
            "/streams/0/retriever/requester/request_parameters",
        );
        assert_fine(empty(json!({"limits": {"limit": 5}})));
        assert_fine(empty(json!({"request_parameters": {}})));
    }

    #[test]
    fn a_parameter_that_is_read_and_becomes_a_field_besides() {
        let sized = |name: &str| {
            let text = format!("{{{{ parameters['{name}'] }}}}");
            stream(json!({
                "$parameters": {name: 50},
                "retriever": {"requester": {"request_parameters": {"limit": text}}},
            }))
        };
        assert_trap(
            sized("page_size"),
            "parameter-becomes-field",
            "/streams/0/retriever/paginator/pagination_strategy/page_size",
        );
        assert_fine(sized("size"));
        // Written as a field only: that is what it is there for.
        assert_fine(stream(json!({"$parameters": {"page_size": 50}})));
    }

    #[test]
    fn a_mapping_beside_a_reference_that_drops_members() {
        let traps = |own: Value| {
            let mut whole: Value = serde_json::from_str(&manifest(json!({}))).unwrap();
            let mut base = whole["streams"][0]["retriever"]["requester"].take();
            base["request_parameters"] = json!({"limit": 10, "sort": "id"});
            whole["definitions"] = json!({"base": base});
            let mut requester = json!({"$ref": "#/definitions/base"});
            for (name, value) in own.as_object().unwrap() {
                requester[name] = value.clone();
            }
            whole["streams"][0]["retriever"]["requester"] = requester;
            let report = lint("demo", &whole.to_string());
            assert!(report.problems.is_empty(), "{:?}", report.problems);
            let warnings = report.warnings.into_iter();
            warnings
                .map(|warning| (warning.trap, warning.paths, warning.happens))
                .collect::<Vec<_>>()
        };
        let found = traps(json!({"request_parameters": {"limit": 20}}));
        let (trap, paths, happens) = &found[0];
        assert_eq!(
            (*trap, paths.as_slice()),
            (
                "ref-replaces-mapping",
                &["/streams/0/retriever/requester/request_parameters".to_owned()][..]
            )
        );
        assert!(
            happens.contains("sort") && !happens.contains("limit"),
            "{happens}"
        );
        for fine in [
            json!({"path": "/others"}),
            json!({"request_parameters": {"limit": 20, "sort": "name", "more": 1}}),
            json!({"request_parameters": {}}),
            json!({"request_parameters": {"$ref": "#/definitions/base/request_parameters", "limit": 20}}),
            json!({"authenticator": {"type": "BasicHttpAuthenticator", "username": "u"}}),
        ] {
            assert_eq!(traps(fine.clone()), [], "{fine}");
        }
    }
}
