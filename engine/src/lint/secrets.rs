//! Credentials that nothing says are secret.

use serde_json::Value;

use super::Found;
use super::component::Part;

/// Names of secrets, in lower case and without separators.
const WORDS: &[&str] = &[
    "secret",
    "password",
    "passwd",
    "apikey",
    "accesstoken",
    "refreshtoken",
    "privatekey",
    "apitoken",
    "authtoken",
    "bearertoken",
];

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    if part.kind == "Spec"
        && let Some(schema) = part.get("connection_specification")
    {
        properties(schema, &part.path_of("connection_specification"), 0, found);
    }
}

fn properties(schema: &Value, path: &str, depth: usize, found: &mut Found) {
    if depth > 16 {
        return;
    }
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let place = format!("{path}/properties/{name}");
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        let is_text = property.get("type").and_then(Value::as_str) == Some("string");
        let is_named_so = plain == "token" || WORDS.iter().any(|word| plain.ends_with(word));
        if is_text && is_named_so && property.get("airbyte_secret") != Some(&Value::Bool(true)) {
            found.add(
                "secret-not-marked",
                &place,
                format!(
                    "\"{name}\" is not marked as a secret, so it is stored in clear and may appear in errors and logs"
                ),
                "add airbyte_secret: true",
            );
        }
        properties(property, &place, depth + 1, found);
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        let choices = schema.get(word).and_then(Value::as_array);
        for (index, choice) in choices.into_iter().flatten().enumerate() {
            properties(choice, &format!("{path}/{word}/{index}"), depth + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap};
    use serde_json::{Value, json};

    fn schema(properties: Value) -> Value {
        json!({"spec": {"connection_specification": {"properties": properties}}})
    }

    #[test]
    fn a_secret_that_is_not_marked() {
        assert_trap(
            schema(json!({"client_secret": {"type": "string"}})),
            "secret-not-marked",
            "/spec/connection_specification/properties/client_secret",
        );
        assert_fine(schema(
            json!({"client_secret": {"type": "string", "airbyte_secret": true}}),
        ));
        assert_fine(schema(json!({"start_token_position": {"type": "string"}})));
    }

    #[test]
    fn a_secret_within_a_choice() {
        assert_trap(
            schema(
                json!({"credentials": {"type": "object", "oneOf": [{"properties": {"apiKey": {"type": "string"}}}]}}),
            ),
            "secret-not-marked",
            "/spec/connection_specification/properties/credentials/oneOf/0/properties/apiKey",
        );
    }
}
