//! Texts that are read as Python literals, and come out as something else.

use std::sync::Arc;

use serde_json::Value;

use super::component::Part;
use super::{Found, is_quoted, mentions, short};
use crate::expr::{Place, Scope, Template};

/// Fields of a request whose texts become literals where they look like some.
const OF_REQUEST: &[&str] = &[
    "url",
    "url_base",
    "path",
    "request_parameters",
    "request_headers",
    "request_body_data",
];

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    match part.kind {
        "DeclarativeStream" => {
            partition_values(part, found);
            if part.text("x_types") != Some("strict") {
                for transformation in part.children("transformations") {
                    added(&transformation, found);
                }
            }
        }
        "ConfigAddFields" => added(part, found),
        "DatetimeBasedCursor" => {
            literals_of(part, "start_datetime", found);
            literals_of(part, "end_datetime", found);
        }
        "MinMaxDatetime" => {
            for name in ["datetime", "min_datetime", "max_datetime"] {
                literals_of(part, name, found);
            }
        }
        "HttpRequester" => {
            for name in OF_REQUEST {
                for (path, source) in part.texts_of(name) {
                    let Some(template) = part.template(source, &path) else {
                        continue;
                    };
                    match template.constant() {
                        Some(_) => changed(&template, source, &path, found),
                        None => comma_list(source, &path, found),
                    }
                }
            }
            for (path, source) in part.texts_of("request_body_json") {
                match part.template(source, &path) {
                    Some(template) if template.constant().is_some() => {
                        typed(&template, source, &path, found);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Constants that are added.
fn added(transformation: &Part<'_>, found: &mut Found) {
    for field in transformation.children("fields") {
        if field.get("value_type").is_none() {
            literals_of(&field, "value", found);
        }
    }
}

/// Plain texts of a field that become something else.
fn literals_of(part: &Part<'_>, field: &str, found: &mut Found) {
    for (path, source) in part.texts_of(field) {
        match part.template(source, &path) {
            Some(template) if template.constant().is_some() => {
                changed(&template, source, &path, found);
            }
            _ => {}
        }
    }
}

/// Written values of partitions stay as they are, but expressions that read them give literals.
fn partition_values(stream: &Part<'_>, found: &mut Found) {
    let Some(retriever) = stream.child("retriever") else {
        return;
    };
    if !mentions(stream.value, &["stream_partition", "stream_slice"]) {
        return;
    }
    let routers = retriever.children("partition_router");
    for router in retriever.child("partition_router").iter().chain(&routers) {
        let is_list = router.kind == "ListPartitionRouter";
        if !is_list || !router.get("values").is_some_and(Value::is_array) {
            continue;
        }
        for (path, source) in router.texts_of("values") {
            let Some((sent, kind)) = router
                .template(source, &path)
                .filter(|template| template.constant().is_some())
                .and_then(|template| change(&template, source))
            else {
                continue;
            };
            found.add(
                "literal-text",
                &path,
                format!(
                    "\"{}\" reads as a Python literal: request_option sends it as it is, but expressions that read the partition \
                     make {} ({kind}) of it",
                    short(source),
                    short(&sent)
                ),
                "give it with request_option alone, or choose values that are no literals",
            );
        }
    }
}

/// What a plain text becomes if that is another text, or several, and its type.
fn change(template: &Template, source: &str) -> Option<(String, &'static str)> {
    let nothing = Value::Null;
    let scope = Scope::of_config(&nothing);
    let value = template.evaluate(&scope).ok()??;
    let sent = value.to_text();
    let is_list = value.as_items().is_some();
    let is_changed = (is_list || sent != source.trim()) && !is_quoted_literal(source);
    is_changed.then(|| (sent.into_owned(), value.type_name()))
}

/// A plain text that is sent as another text, or as several.
fn changed(template: &Template, source: &str, path: &str, found: &mut Found) {
    if let Some((sent, kind)) = change(template, source) {
        found.add(
            "literal-text",
            path,
            format!(
                "\"{}\" reads as a Python literal and becomes {} ({kind})",
                short(source),
                short(&sent)
            ),
            "if the text itself is meant, quote it within: \"'...'\"",
        );
    }
}

/// Whether a text is quoted so that it is not read as the literal within: what is advised here.
fn is_quoted_literal(source: &str) -> bool {
    let text = source.trim();
    if text.len() < 2 || !is_quoted(text) {
        return false;
    }
    let inner = &text[1..text.len() - 1];
    let nothing = Value::Null;
    let scope = Scope::of_config(&nothing);
    let no_parameters = Arc::new(Value::Null);
    let template = Template::compile(inner, "", &no_parameters, Place::CONFIG);
    template.is_ok_and(|template| match template.evaluate(&scope) {
        Ok(Some(value)) => value.as_str() != Some(inner),
        _ => false,
    })
}

/// A plain text in a JSON body that is sent as a number, a list, ...
fn typed(template: &Template, source: &str, path: &str, found: &mut Found) {
    let nothing = Value::Null;
    let scope = Scope::of_config(&nothing);
    let Ok(Some(value)) = template.evaluate(&scope) else {
        return;
    };
    let is_changed = value.as_str().is_none_or(|text| text != source) && !is_quoted_literal(source);
    // Nobody writes True in a JSON body and means the text.
    if is_changed && !matches!(value.as_json(), Some(Value::Bool(_) | Value::Null)) {
        found.add(
            "literal-in-body",
            path,
            format!(
                "the text \"{}\" reads as a Python literal and is sent as {} ({})",
                short(source),
                short(&value.to_text()),
                value.type_name()
            ),
            "if the text itself is meant, quote it within: \"'...'\"",
        );
    }
}

/// `{{ a }},{{ b }}` and `join(',')` give a tuple as soon as all parts look like literals.
fn comma_list(source: &str, path: &str, found: &mut Found) {
    let squeezed: String = source.split_whitespace().collect();
    let between = squeezed.contains("}},{{");
    let joined = ["join(',')", "join(\",\")", "','.join(", "\",\".join("]
        .iter()
        .any(|call| squeezed.contains(call));
    // The filter `string` does not help: it leaves a text as it is.
    if (between || joined) && !is_quoted(source) {
        found.add(
            "comma-list",
            path,
            format!(
                "\"{}\" becomes a tuple when all its parts are numbers: a parameter is then sent several times, and \
                 elsewhere the tuple's text with its brackets",
                short(source)
            ),
            "quote the whole: \"'{{ ... }}'\"",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, requester, stream};
    use serde_json::json;

    const REQUESTER: &str = "/streams/0/retriever/requester";

    #[test]
    fn a_plain_text_that_is_no_text() {
        for text in ["1,2", "1.10", "1_000", "0x1F", "[1]", "\"quoted\""] {
            assert_trap(
                requester(json!({"request_parameters": {"v": text}})),
                "literal-text",
                &format!("{REQUESTER}/request_parameters/v"),
            );
        }
        for text in ["20", "007", "a,b", "2024-01-01", "True", "v1.10", "'1,2'"] {
            assert_fine(requester(json!({"request_parameters": {"v": text}})));
        }
    }

    #[test]
    fn a_text_in_a_body_that_is_sent_as_a_number() {
        assert_trap(
            requester(json!({"request_body_json": {"filter": {"id": "123"}}})),
            "literal-in-body",
            &format!("{REQUESTER}/request_body_json/filter/id"),
        );
        assert_fine(requester(
            json!({"request_body_json": {"filter": {"id": "a1", "n": 5}}}),
        ));
    }

    #[test]
    fn a_list_with_commas() {
        for text in [
            "{{ config['a'] }},{{ config['b'] }}",
            "{{ config['ids'] | join(',') }}",
            "{{ ','.join(config['ids']) }}",
        ] {
            assert_trap(
                requester(json!({"request_parameters": {"ids": text}})),
                "comma-list",
                &format!("{REQUESTER}/request_parameters/ids"),
            );
        }
        assert_fine(requester(
            json!({"request_parameters": {"ids": "'{{ config['ids'] | join(',') }}'"}}),
        ));
    }

    #[test]
    fn a_text_in_a_body_with_a_member_called_type() {
        for body in [
            json!({"type": "report", "id": "123"}),
            json!({"filter": {"type": "equals", "id": "123"}}),
        ] {
            let place = if body.get("filter").is_some() {
                "filter/id"
            } else {
                "id"
            };
            assert_trap(
                requester(json!({"request_body_json": body})),
                "literal-in-body",
                &format!("{REQUESTER}/request_body_json/{place}"),
            );
        }
        assert_fine(requester(
            json!({"request_body_json": {"type": "report", "id": "'123'"}}),
        ));
    }

    #[test]
    fn a_start_that_reads_as_a_number() {
        let cursor = |format: &str, start: serde_json::Value| {
            stream(json!({"incremental_sync": {
                "type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": format, "start_datetime": start,
                "is_client_side_incremental": true,
            }}))
        };
        assert_trap(
            cursor("%Y.%m", json!("2024.10")),
            "literal-text",
            "/streams/0/incremental_sync/start_datetime",
        );
        assert_trap(
            cursor(
                "%Y.%m",
                json!({"type": "MinMaxDatetime", "datetime": "2024.10"}),
            ),
            "literal-text",
            "/streams/0/incremental_sync/start_datetime/datetime",
        );
        for (format, start) in [
            ("%Y%m%d", "20241001"),
            ("%Y-%m-%d", "2024-10-01"),
            ("%s", "1704067200"),
        ] {
            assert_fine(cursor(format, json!(start)));
        }
    }

    #[test]
    fn values_of_partitions_that_expressions_read_as_numbers() {
        let router = |value: &str, reads: &str| {
            stream(json!({"retriever": {
                "partition_router": {"type": "ListPartitionRouter", "cursor_field": "version", "values": [value]},
                "requester": {"path": reads},
            }}))
        };
        let reading = "/{{ stream_partition['version'] }}";
        assert_trap(
            router("1.10", reading),
            "literal-text",
            "/streams/0/retriever/partition_router/values/0",
        );
        assert_fine(router("1.10", "/all"));
        for fine in ["a", "12", "007", "v1.10"] {
            assert_fine(router(fine, reading));
        }
    }

    #[test]
    fn an_added_constant() {
        let added = |field: serde_json::Value| {
            stream(json!({"transformations": [{"type": "AddFields", "fields": [field]}]}))
        };
        assert_trap(
            added(json!({"path": ["version"], "value": "1.10"})),
            "literal-text",
            "/streams/0/transformations/0/fields/0/value",
        );
        assert_fine(added(
            json!({"path": ["version"], "value": "1.10", "value_type": "string"}),
        ));
    }
}
