//! Texts that are read as Python literals, and come out as something else.

use serde_json::Value;

use super::component::Part;
use super::{Found, is_quoted, short};
use crate::expr::{Scope, Template};

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
        "AddedFieldDefinition" if part.get("value_type").is_none() => {
            for (path, source) in part.texts_of("value") {
                match part.template(source, &path) {
                    Some(template) if template.constant().is_some() => {
                        changed(&template, source, &path, found);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// A plain text that is sent as another text, or as several.
fn changed(template: &Template, source: &str, path: &str, found: &mut Found) {
    let nothing = Value::Null;
    let scope = Scope::of_config(&nothing);
    let Ok(Some(value)) = template.evaluate(&scope) else {
        return;
    };
    let sent = value.to_text();
    let is_list = value.as_items().is_some();
    if is_list || sent != source.trim() {
        let kind = value.type_name();
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

/// A plain text in a JSON body that is sent as a number, a list, ...
fn typed(template: &Template, source: &str, path: &str, found: &mut Found) {
    let nothing = Value::Null;
    let scope = Scope::of_config(&nothing);
    let Ok(Some(value)) = template.evaluate(&scope) else {
        return;
    };
    let is_changed = value.as_str().is_none_or(|text| text != source);
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
        for text in ["20", "007", "a,b", "2024-01-01", "True", "v1.10"] {
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
