//! Types that a manifest leaves out, and `$parameters` that are handed down.
//!
//! A component without a type gets the one that its place suggests. `$parameters` go down to every
//! component below, where each is also set as a field if that field is missing or empty; the values of
//! a component win over those from above. Extensions (`x_`) hold no components but for one: their members are data,
//! even one that is called `type`.

use serde_json::{Map, Value};

use crate::error::LoadProblem;
use crate::expr::json_is_true;

/// The only extension that holds a component.
const COMPONENT_EXTENSION: &str = "x_teardown";

/// Place (type and field) to the type that is meant there.
fn default_type(parent: &str, field: &str) -> Option<&'static str> {
    Some(match (parent, field) {
        ("DeclarativeSource", "check") => "CheckStream",
        ("DeclarativeSource", "spec") => "Spec",
        ("DeclarativeSource", "streams") | ("ParentStreamConfig", "stream") => "DeclarativeStream",
        ("DeclarativeSource", "concurrency_level") => "ConcurrencyLevel",
        ("DeclarativeSource", "api_budget") => "HTTPAPIBudget",
        ("DeclarativeStream", "retriever") => "SimpleRetriever",
        ("DeclarativeStream", "schema_loader") => "JsonFileSchemaLoader",
        ("DatetimeBasedCursor", "start_datetime" | "end_datetime") => "MinMaxDatetime",
        ("SubstreamPartitionRouter", "parent_stream_configs") => "ParentStreamConfig",
        ("SimpleRetriever", "paginator") => "NoPagination",
        ("SimpleRetriever" | "AsyncRetriever", "record_selector") => "RecordSelector",
        ("AsyncRetriever", "status_mapping") => "AsyncJobStatusMap",
        ("SimpleRetriever", "requester")
        | ("SimpleRetriever" | "AsyncRetriever", COMPONENT_EXTENSION) => "HttpRequester",
        ("RecordSelector", "extractor") => "DpathExtractor",
        ("RecordSelector", "record_filter") => "RecordFilter",
        ("HttpRequester", "error_handler") | ("CompositeErrorHandler", "error_handlers") => {
            "DefaultErrorHandler"
        }
        ("DefaultErrorHandler", "response_filters") => "HttpResponseFilter",
        ("DefaultPaginator", "page_size_option")
        | ("DatetimeBasedCursor", "start_time_option" | "end_time_option")
        | ("ListPartitionRouter" | "ParentStreamConfig", "request_option") => "RequestOption",
        ("DefaultPaginator" | "CursorPagination" | "DpathExtractor", "decoder") => "JsonDecoder",
        ("AddFields", "fields") => "AddedFieldDefinition",
        _ => return None,
    })
}

/// Bytes of all copies of parameters together.
const MAX_COPIED: usize = 64 * 1024 * 1024;

/// Hands everything down; `Err` if that grows beyond all bounds.
pub(crate) fn propagate(source: &mut Map<String, Value>) -> Result<(), LoadProblem> {
    let kind = source
        .entry("type")
        .or_insert_with(|| Value::String("DeclarativeSource".to_owned()));
    let kind = kind.as_str().unwrap_or_default().to_owned();
    component(source, &kind, &Map::new(), &mut 0)
}

/// About how many bytes a value takes.
fn weight(value: &Value) -> usize {
    let below = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| name.len() + weight(member))
            .sum(),
        _ => 0,
    };
    below + size_of::<Value>()
}

fn component(
    fields: &mut Map<String, Value>,
    kind: &str,
    inherited: &Map<String, Value>,
    copied: &mut usize,
) -> Result<(), LoadProblem> {
    let mut parameters = inherited.clone();
    if let Some(Value::Object(own)) = fields.shift_remove("$parameters") {
        for (name, value) in own {
            parameters.insert(name, value);
        }
    }
    // Each goes into a field, into the parameters of this component, and on to those below.
    let each = parameters
        .iter()
        .map(|(name, value)| name.len() + weight(value));
    *copied += 3 * each.sum::<usize>();
    if *copied > MAX_COPIED {
        return Err(LoadProblem {
            path: String::new(),
            message: "with its $parameters handed down the manifest exceeds 64 MiB".to_owned(),
        });
    }
    for (name, value) in &parameters {
        let empty = fields.get(name).is_none_or(|field| !json_is_true(field));
        if empty {
            fields.insert(name.clone(), value.clone());
        }
    }
    for (name, field) in fields.iter_mut() {
        if name.starts_with("x_") && name != COMPONENT_EXTENSION {
            continue;
        }
        // A parameter of the child's own name is meant for this level only.
        let hidden = parameters.contains_key(name);
        if hidden {
            let mut below = parameters.clone();
            below.shift_remove(name);
            descend(field, kind, name, &below, copied)?;
        } else {
            descend(field, kind, name, &parameters, copied)?;
        }
    }
    if !parameters.is_empty() {
        fields.insert("$parameters".to_owned(), Value::Object(parameters));
    }
    Ok(())
}

fn descend(
    field: &mut Value,
    parent: &str,
    name: &str,
    parameters: &Map<String, Value>,
    copied: &mut usize,
) -> Result<(), LoadProblem> {
    match field {
        Value::Object(members) => object(members, parent, name, parameters, copied)?,
        Value::Array(items) => {
            for item in items {
                if let Value::Object(members) = item {
                    object(members, parent, name, parameters, copied)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn object(
    members: &mut Map<String, Value>,
    parent: &str,
    name: &str,
    parameters: &Map<String, Value>,
    copied: &mut usize,
) -> Result<(), LoadProblem> {
    if !members.contains_key("type") {
        let custom = members.contains_key("class_name");
        let inferred = if custom {
            Some("CustomComponent")
        } else {
            default_type(parent, name)
        };
        if let Some(kind) = inferred {
            members.insert("type".to_owned(), Value::String(kind.to_owned()));
        }
    }
    match members.get("type") {
        // A JSON schema has types of its own.
        Some(Value::String(kind)) if kind != "object" => {
            let kind = kind.clone();
            component(members, &kind, parameters, copied)?;
        }
        Some(_) => {}
        // Plain mappings (headers, parameters) may hold components further down.
        None => {
            for (inner_name, inner) in members.iter_mut() {
                descend(inner, parent, inner_name, parameters, copied)?;
            }
        }
    }
    Ok(())
}
