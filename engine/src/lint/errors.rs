//! Error handlers: filters that match too much, and composites that drop what a child says.

use super::component::Part;
use super::{Found, short};

/// What makes a filter match. The action is taken if any of them does.
const CONDITIONS: &[&str] = &["http_codes", "predicate", "error_message_contains"];
/// Codes by which a platform says that it will not answer, rather than that there is nothing.
const REFUSALS: &[u64] = &[401, 403, 429];

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    match part.kind {
        "HttpResponseFilter" => {
            any_of_several(part, found);
            ignored_refusal(part, found);
        }
        "CompositeErrorHandler" => composite(part, found),
        _ => {}
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
    let codes = part.get("http_codes").and_then(serde_json::Value::as_array);
    let ignored: Vec<String> = codes
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_u64)
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

/// A composite hands on what a child fails or limits; the last child's word stands.
fn composite(part: &Part<'_>, found: &mut Found) {
    let children = part.children("error_handlers");
    let last = children.len().saturating_sub(1);
    for (index, child) in children.iter().enumerate() {
        for filter in child.children("response_filters") {
            if let Some(action @ ("RATE_LIMITED" | "FAIL")) = filter.text("action")
                && index < last
            {
                found.add(
                    "composite-drops-verdict",
                    &filter.path,
                    format!(
                        "the composite hands {action} of handler {index} on to the next one, and the last one's word stands: \
                         what this filter matches ends as handler {last} has it, by default a failure without its message"
                    ),
                    "put the filter into the last handler, or use one DefaultErrorHandler with all filters",
                );
            }
            let looks_inside = ["predicate", "error_message_contains"]
                .iter()
                .find_map(|name| filter.text(name));
            if let Some(text) = looks_inside
                && index > 0
            {
                found.add(
                    "composite-hides-good-answers",
                    &filter.path,
                    format!(
                        "\"{}\" never sees an answer below HTTP 400: handler 0 takes it for a success before",
                        short(text)
                    ),
                    "put filters that look for errors in good answers into the first handler, or use one DefaultErrorHandler",
                );
            }
        }
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

    fn composite(first: Value, second: Value) -> Value {
        requester(json!({"error_handler": {
            "type": "CompositeErrorHandler",
            "error_handlers": [handler(first), handler(second)]
        }}))
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

    #[test]
    fn a_composite_that_drops_a_limit() {
        let limit =
            json!([{"type": "HttpResponseFilter", "http_codes": [400], "action": "RATE_LIMITED"}]);
        let retry = json!([{"type": "HttpResponseFilter", "http_codes": [500], "action": "RETRY"}]);
        assert_trap(
            composite(limit.clone(), retry.clone()),
            "composite-drops-verdict",
            &format!("{HANDLER}/error_handlers/0/response_filters/0"),
        );
        assert_fine(composite(retry, limit));
    }

    #[test]
    fn a_composite_that_hides_good_answers() {
        let retry = json!([{"type": "HttpResponseFilter", "http_codes": [500], "action": "RETRY"}]);
        let inside = json!([{"type": "HttpResponseFilter", "predicate": "{{ response.get('code') == 5 }}", "action": "FAIL"}]);
        assert_trap(
            composite(retry, inside),
            "composite-hides-good-answers",
            &format!("{HANDLER}/error_handlers/1/response_filters/0"),
        );
    }
}
