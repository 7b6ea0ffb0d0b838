//! Filters of error handlers that match too much.

use serde_json::Value;

use super::Found;
use super::component::Part;

/// What makes a filter match. The action is taken if any of them does.
const CONDITIONS: &[&str] = &["http_codes", "predicate", "error_message_contains"];
/// Codes by which a platform says that it will not answer, rather than that there is nothing.
const REFUSALS: &[u64] = &[401, 403, 429];

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    if part.kind == "HttpResponseFilter" {
        any_of_several(part, found);
        ignored_refusal(part, found);
    }
}

fn any_of_several(part: &Part<'_>, found: &mut Found) {
    let stated: Vec<&str> = CONDITIONS
        .iter()
        .copied()
        .filter(|name| part.get(name).is_some())
        .collect();
    if stated.len() > 1 {
        found.add(
            "filter-or",
            &part.path,
            format!(
                "the filter matches if any of {} does, not all of them: with http_codes [403] and a message every 403 matches",
                stated.join(", ")
            ),
            "if all are meant, ask for them in one predicate; if any is, write a filter for each",
        );
    }
}

fn ignored_refusal(part: &Part<'_>, found: &mut Found) {
    if part.text("action") != Some("IGNORE") {
        return;
    }
    let codes = part.get("http_codes").and_then(Value::as_array);
    let ignored: Vec<String> = codes
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .filter(|code| REFUSALS.contains(code))
        .map(|code| code.to_string())
        .collect();
    if !ignored.is_empty() {
        found.add(
            "ignored-refusal",
            &part.path,
            format!(
                "an answer {} counts as an empty page: a stream that may not be read looks as if it had no records, and a \
                 full read marks all of its rows as deleted",
                ignored.join(" or ")
            ),
            "let it fail (FAIL with an error_message, or RATE_LIMITED for 429), or ignore it by what the answer's body says",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, requester};
    use serde_json::{Value, json};

    const HANDLER: &str = "/streams/0/retriever/requester/error_handler";

    fn handler(filters: Value) -> Value {
        json!({"type": "DefaultErrorHandler", "response_filters": filters})
    }

    fn plain(filters: Value) -> Value {
        requester(json!({"error_handler": handler(filters)}))
    }

    #[test]
    fn a_filter_with_several_conditions() {
        assert_trap(
            plain(
                json!([{"type": "HttpResponseFilter", "http_codes": [404], "error_message_contains": "gone", "action": "FAIL"}]),
            ),
            "filter-or",
            &format!("{HANDLER}/response_filters/0"),
        );
        assert_fine(plain(
            json!([{"type": "HttpResponseFilter", "http_codes": [404, 410], "action": "IGNORE"}]),
        ));
    }

    #[test]
    fn a_refusal_that_is_ignored() {
        assert_trap(
            plain(
                json!([{"type": "HttpResponseFilter", "http_codes": [403, 404], "action": "IGNORE"}]),
            ),
            "ignored-refusal",
            &format!("{HANDLER}/response_filters/0"),
        );
    }
}
