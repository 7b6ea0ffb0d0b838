//! Truth values that a request carries as a text: Python writes them `True` and `False`.

use serde_json::Value;

use super::component::Part;
use super::{Found, short};
use crate::expr::{Method, Node, Var};

/// Fields of a request whose values are written as texts.
const SENT_AS_TEXT: &[&str] = &["request_parameters", "request_headers", "request_body_data"];

pub(super) fn look(source: &Part<'_>, found: &mut Found) {
    // From the top, where the spec says which fields of the config are truth values.
    if source.kind != "DeclarativeSource" {
        return;
    }
    let of_config = boolean_fields(source);
    source.each(&mut |part| {
        let fields = match part.kind {
            "HttpRequester" => SENT_AS_TEXT,
            "RequestBodyUrlEncodedForm" => &["value"],
            _ => return,
        };
        for field in fields {
            for (path, value) in part.values_of(field) {
                let shown = match value {
                    Value::Bool(truth) => truth.to_string(),
                    Value::String(text) if is_truth(part, text, &path, &of_config) => {
                        format!("\"{}\"", short(text))
                    }
                    _ => continue,
                };
                found.add(
                    "python-boolean",
                    &path,
                    format!(
                        "{shown} is sent as the text True or False, in Python's words, which most platforms do not know"
                    ),
                    "write the platform's own word: \"true\" in quotes, or {{ 'true' if ... else 'false' }}",
                );
            }
        }
    });
}

/// The fields of the config that are truth values.
fn boolean_fields(source: &Part<'_>) -> Vec<String> {
    let properties = source
        .get("spec")
        .and_then(|spec| spec.pointer("/connection_specification/properties"))
        .and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter(|(_, schema)| schema.get("type").and_then(Value::as_str) == Some("boolean"))
        .map(|(name, _)| name.clone())
        .collect()
}

fn is_truth(part: &Part<'_>, source: &str, path: &str, of_config: &[String]) -> bool {
    // Text around an expression is meant to be a text.
    let is_alone = source.trim().starts_with("{{") && source.trim().ends_with("}}");
    let template = part.template(source, path).filter(|_| is_alone);
    let Some(template) = template else {
        return false;
    };
    let mut nodes = template.expressions();
    let (first, second) = (nodes.next(), nodes.next());
    first.is_some_and(|node| gives_truth(node, of_config)) && second.is_none()
}

/// Whether an expression gives true or false and nothing else.
fn gives_truth(node: &Node, of_config: &[String]) -> bool {
    let named = |of: &Node, name: &str| {
        matches!(of, Node::Var(Var::Config)) && of_config.iter().any(|known| known == name)
    };
    match node {
        Node::Const(value) => value.is_boolean(),
        Node::Not(_) | Node::Compare(..) | Node::Test(..) => true,
        Node::And(left, right) | Node::Or(left, right) => {
            gives_truth(left, of_config) && gives_truth(right, of_config)
        }
        Node::If {
            then,
            otherwise: Some(otherwise),
            ..
        } => gives_truth(then, of_config) && gives_truth(otherwise, of_config),
        Node::Attribute(of, name) => named(of, name),
        Node::Item(of, key) => match key.as_ref() {
            Node::Const(Value::String(name)) => named(of, name),
            _ => false,
        },
        Node::Method(Method::Get, of, arguments) => match arguments.first() {
            Some(Node::Const(Value::String(name))) => named(of, name),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, requester};
    use serde_json::json;

    const REQUESTER: &str = "/streams/0/retriever/requester";

    #[test]
    fn a_truth_value_that_is_sent_in_words_of_python() {
        let spec = json!({"connection_specification": {"properties": {"archived": {"type": "boolean"}, "name": {"type": "string"}}}});
        for value in [
            json!(true),
            json!("{{ config['archived'] }}"),
            json!("{{ config.get('archived', false) }}"),
            json!("{{ config.name == 'x' }}"),
            json!("{{ not config.archived }}"),
        ] {
            let mut change = requester(json!({"request_parameters": {"v": value}}));
            change["spec"] = spec.clone();
            assert_trap(
                change,
                "python-boolean",
                &format!("{REQUESTER}/request_parameters/v"),
            );
        }
        for value in [
            json!("true"),
            json!("True"),
            json!("{{ config['name'] }}"),
            json!("{{ 'true' if config['archived'] else 'false' }}"),
            json!("archived:{{ config['archived'] }}"),
        ] {
            let mut change = requester(json!({"request_parameters": {"v": value}}));
            change["spec"] = spec.clone();
            assert_fine(change);
        }
        // JSON has words of its own.
        assert_fine(requester(json!({"request_body_json": {"v": true}})));
    }
}
