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

/// Words that hold no schemas; the properties are looked at on their own.
const OF_VALUES: &[&str] = &["properties", "const", "default", "enum", "examples"];
/// Words that hold schemas by names.
const BY_NAME: &[&str] = &["dependencies", "dependentSchemas", "patternProperties"];

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
    let named = schema.get("properties").and_then(Value::as_object);
    for (name, property) in named.into_iter().flatten() {
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
    let words = schema.as_object().into_iter().flatten();
    for (word, within) in words.filter(|(word, _)| !OF_VALUES.contains(&word.as_str())) {
        let place = format!("{path}/{word}");
        match within {
            Value::Array(schemas) => {
                for (index, schema) in schemas.iter().enumerate() {
                    properties(schema, &format!("{place}/{index}"), depth + 1, found);
                }
            }
            Value::Object(schemas) => {
                properties(within, &place, depth + 1, found);
                // By the names of members, or by patterns of them.
                for (name, schema) in schemas.iter().filter(|_| BY_NAME.contains(&word.as_str())) {
                    properties(schema, &format!("{place}/{name}"), depth + 1, found);
                }
            }
            _ => {}
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
    fn a_secret_within_a_list_a_mapping_or_a_branch() {
        let token = json!({"properties": {"apiKey": {"type": "string"}}});
        let at = |place: &str| {
            format!("/spec/connection_specification/properties/accounts/{place}/properties/apiKey")
        };
        for (schema_of_accounts, place) in [
            (json!({"items": token}), "items"),
            (json!({"prefixItems": [token]}), "prefixItems/0"),
            (
                json!({"additionalProperties": token}),
                "additionalProperties",
            ),
            (
                json!({"patternProperties": {"^a": token}}),
                "patternProperties/^a",
            ),
            (json!({"if": {}, "then": token}), "then"),
        ] {
            let accounts = json!({"accounts": schema_of_accounts});
            assert_trap(schema(accounts), "secret-not-marked", &at(place));
        }
        assert_fine(schema(json!({"accounts": {"default": token}})));
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
