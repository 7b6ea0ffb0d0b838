//! Records: what tells them apart, and added fields of mixed types.

use serde_json::Value;

use super::addresses::outside_expressions;
use super::component::Part;
use super::{Found, is_quoted, short};
use crate::expr::{Filter, Method, Node};

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    if part.kind != "DeclarativeStream" {
        return;
    }
    // Parents of a partitioned stream are read, but not stored.
    let is_stored = !part.path.contains("/parent_stream_configs/");
    if is_stored && part.get("primary_key").is_none_or(is_empty) {
        found.add(
            "no-primary-key",
            &part.path_of("primary_key"),
            "records cannot be told apart: each read adds all of them anew, and none is ever updated".to_owned(),
            "give primary_key",
        );
    }
    let schema = part
        .child("schema_loader")
        .and_then(|loader| loader.get("schema"));
    if part.text("x_types") == Some("strict") {
        return;
    }
    for transformation in part.children("transformations") {
        for field in transformation.children("fields") {
            mixed_types(&field, schema, found);
        }
    }
}

/// An added value is read as a Python literal, record by record.
fn mixed_types(field: &Part<'_>, schema: Option<&Value>, found: &mut Found) {
    let Some(source) = field.text("value").filter(|text| text.contains("{{")) else {
        return;
    };
    let path = field.get("path").and_then(Value::as_array);
    let Some([Value::String(name)]) = path.map(Vec::as_slice) else {
        return;
    };
    let declared = schema
        .and_then(|schema| schema.get("properties"))
        .and_then(|properties| properties.get(name))
        .and_then(|property| property.get("type"));
    // An open schema promises nothing.
    let is_unknown = schema
        .and_then(|schema| schema.get("properties"))
        .and_then(Value::as_object)
        .is_some_and(|properties| !properties.is_empty() && !properties.contains_key(name));
    let is_text = declared.is_some_and(|declared| {
        let names = |word: &str| match declared {
            Value::String(only) => only == word,
            Value::Array(several) => several.iter().any(|one| one == word),
            _ => false,
        };
        names("string") && !names("number") && !names("integer")
    });
    // The filter `string` does not help: it leaves a text as it is, which is then read as a literal.
    let is_kept_text = field.text("value_type") == Some("string") || is_quoted(source);
    if is_kept_text || is_never_literal(source) {
        return;
    }
    if is_unknown {
        if field.get("value_type").is_none() && !is_of_one_type(field, source) {
            found.add(
                "added-field-of-mixed-types",
                &field.path_of("value"),
                format!(
                    "the schema does not know \"{name}\", and \"{}\" is read as a literal in each record: \"12\" becomes a number, \
                     \"0012\" stays a text, \"1,2\" becomes a list",
                    short(source)
                ),
                "give value_type, or x_types: strict on the stream, and the field in the schema",
            );
        }
        return;
    }
    if is_text {
        found.add(
            "added-field-of-mixed-types",
            &field.path_of("value"),
            format!(
                "the schema says that \"{name}\" is a text, but \"{}\" is read as a literal in each record: \"12\" becomes a \
                 number, \"0012\" stays a text, \"1,2\" becomes a list",
                short(source)
            ),
            "give value_type: string, or x_types: strict on the stream",
        );
    }
}

/// Words around the expressions make a text of the whole, unless they are those of a list or a mapping.
fn is_never_literal(source: &str) -> bool {
    let around = outside_expressions(source);
    around.contains(char::is_alphabetic) && !around.contains(['\'', '"', '(', '[', '{'])
}

/// Whether the value is a single expression that gives the same type whatever the record is.
fn is_of_one_type(field: &Part<'_>, source: &str) -> bool {
    let Some(template) = field.template(source, &field.path_of("value")) else {
        return false;
    };
    let mut nodes = template.expressions();
    let (first, second) = (nodes.next(), nodes.next());
    let is_one = first.is_some_and(|node| match node {
        Node::Const(_)
        | Node::Not(_)
        | Node::Compare(..)
        | Node::Test(..)
        | Node::Arithmetic(..)
        | Node::Function(..)
        | Node::List(_)
        | Node::Dict(_)
        | Node::Method(Method::Dated(_), ..) => true,
        Node::Filter(filter, ..) => matches!(filter, Filter::Int | Filter::Float | Filter::Length),
        _ => false,
    });
    is_one && second.is_none() && outside_expressions(source).trim() == "_"
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, stream};
    use serde_json::{Value, json};

    #[test]
    fn a_stream_without_a_key() {
        assert_trap(
            stream(json!({"primary_key": []})),
            "no-primary-key",
            "/streams/0/primary_key",
        );
    }

    fn added(field: Value) -> Value {
        stream(json!({
            "schema_loader": {"schema": {"properties": {"code": {"type": ["string", "null"]}, "rank": {"type": "integer"}}}},
            "transformations": [{"type": "AddFields", "fields": [field]}],
        }))
    }

    #[test]
    fn an_added_text_that_may_turn_into_a_number() {
        assert_trap(
            added(json!({"path": ["code"], "value": "{{ record['a'] }}"})),
            "added-field-of-mixed-types",
            "/streams/0/transformations/0/fields/0/value",
        );
        assert_fine(added(
            json!({"path": ["code"], "value": "{{ record['a'] }}", "value_type": "string"}),
        ));
        assert_fine(added(
            json!({"path": ["code"], "value": "'{{ record['a'] }}'"}),
        ));
        assert_fine(added(
            json!({"path": ["rank"], "value": "{{ record['a'] }}"}),
        ));
        assert_fine(added(
            json!({"path": ["code"], "value": "code {{ record['a'] }}"}),
        ));
    }

    #[test]
    fn an_added_text_of_a_stream_with_strict_types() {
        let mut change = added(json!({"path": ["code"], "value": "{{ record['a'] }}"}));
        change["streams"][0]["x_types"] = json!("strict");
        assert_fine(change);
        let mut change = added(json!({"path": ["code"], "value": "1.10"}));
        change["streams"][0]["x_types"] = json!("strict");
        assert_fine(change);
    }

    #[test]
    fn an_added_field_that_the_schema_does_not_know() {
        assert_trap(
            added(json!({"path": ["account"], "value": "{{ config['account'] }}"})),
            "added-field-of-mixed-types",
            "/streams/0/transformations/0/fields/0/value",
        );
        for fine in [
            json!({"path": ["account"], "value": "{{ config['account'] }}", "value_type": "string"}),
            json!({"path": ["account"], "value": "{{ config['account'] | int }}"}),
            json!({"path": ["account"], "value": "{{ record['a'] == 1 }}"}),
            json!({"path": ["account"], "value": "account {{ config['account'] }}"}),
        ] {
            assert_fine(added(fine));
        }
    }
}
