//! Composites of error handlers, which drop what a child says.

use serde_json::Value;

use super::component::Part;
use super::waits::unreachable_waits;
use super::{Found, short};

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    // Those within another one are looked at with it.
    if part.kind == "CompositeErrorHandler" && !part.path.contains("/error_handlers/") {
        composite(part, found);
    }
}

/// The handlers of a composite in the order in which they are asked: one within another stands for its own.
fn leaves<'v>(composite: &Part<'v>) -> Vec<Part<'v>> {
    let mut found = Vec::new();
    for child in composite.children("error_handlers") {
        if child.kind == "CompositeErrorHandler" {
            found.extend(leaves(&child));
        } else {
            found.push(child);
        }
    }
    found
}

/// What a filter says that a composite hands on, in the manifest's words.
fn handed_on(filter: &Part<'_>) -> Option<String> {
    let stated = |name: &str| Some(format!("{name} {}", filter.text(name)?));
    match filter.text("action") {
        Some(action @ ("RATE_LIMITED" | "FAIL" | "REFRESH_TOKEN_THEN_RETRY")) => {
            Some(action.to_owned())
        }
        Some(_) => None,
        // A filter without an action fails, is limited or tries again by the kind that it names.
        None => match (filter.text("x_error_kind"), filter.text("failure_type")) {
            (Some("transient"), _) | (None, Some("transient_error")) => None,
            (Some(_), _) => stated("x_error_kind"),
            (None, Some(_)) => stated("failure_type"),
            (None, None) if filter.get("error_message").is_some() && may_fail(filter) => {
                Some("the error_message".to_owned())
            }
            (None, None) => None,
        },
    }
}

/// Whether some status of a filter without an action means a failure or a limit by itself.
fn may_fail(filter: &Part<'_>) -> bool {
    let Some(codes) = filter.get("http_codes").and_then(Value::as_array) else {
        return true;
    };
    let is_retried = |code: &Value| code.as_u64().is_some_and(|code| code == 408 || code >= 500);
    !codes.iter().all(is_retried)
}

/// A composite hands on what a child fails or limits; the last child's word stands.
fn composite(part: &Part<'_>, found: &mut Found) {
    let children = leaves(part);
    let last = children.len().saturating_sub(1);
    for (index, child) in children.iter().enumerate() {
        for filter in child.children("response_filters") {
            if let Some(verdict) = handed_on(&filter)
                && index < last
            {
                found.add(
                    "composite-drops-verdict",
                    &filter.path,
                    format!(
                        "the composite hands {verdict} of handler {index} on to the next one, and the last one's word stands: \
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
        if index > 0
            && let Some(own) = child.get("max_retries")
            && Some(own) != children[0].get("max_retries")
        {
            found.add(
                "composite-ignores-retries",
                &child.path_of("max_retries"),
                format!(
                    "a composite tries as often as its first handler says: max_retries {own} of handler {index} counts for nothing"
                ),
                "state max_retries on the first handler",
            );
        }
    }
    shared_waits(&children, found);
    unreachable_waits(&children, found);
}

/// All strategies of a composite are one list, whoever has matched.
fn shared_waits(children: &[Part<'_>], found: &mut Found) {
    let waits = |child: &Part<'_>| !child.children("backoff_strategies").is_empty();
    let Some(owner) = children.iter().position(waits) else {
        return;
    };
    for (index, child) in children.iter().enumerate() {
        let tries_again = child
            .children("response_filters")
            .iter()
            .any(|filter| matches!(filter.text("action"), Some("RETRY" | "RATE_LIMITED")));
        if tries_again && !waits(child) {
            found.add(
                "composite-shares-waits",
                &child.path,
                format!(
                    "the backoff_strategies of all handlers of a composite are one list: what handler {index} tries again waits \
                     as handler {owner} says"
                ),
                "give waits that fit all handlers, or use a strategy that reads the answer's header first",
            );
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

    fn composite(first: Value, second: Value) -> Value {
        requester(json!({"error_handler": {
            "type": "CompositeErrorHandler",
            "error_handlers": [handler(first), handler(second)]
        }}))
    }

    fn of_handlers(handlers: Value) -> Value {
        requester(
            json!({"error_handler": {"type": "CompositeErrorHandler", "error_handlers": handlers}}),
        )
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

    #[test]
    fn a_composite_that_drops_what_needs_no_action() {
        let retry = json!([{"type": "HttpResponseFilter", "http_codes": [500], "action": "RETRY"}]);
        for verdict in [
            json!({"action": "REFRESH_TOKEN_THEN_RETRY"}),
            json!({"x_error_kind": "needs_person"}),
            json!({"failure_type": "config_error"}),
            json!({"error_message": "no such account"}),
        ] {
            let mut filter = json!({"type": "HttpResponseFilter", "http_codes": [400]});
            for (name, value) in verdict.as_object().unwrap() {
                filter[name] = value.clone();
            }
            assert_trap(
                composite(json!([filter]), retry.clone()),
                "composite-drops-verdict",
                &format!("{HANDLER}/error_handlers/0/response_filters/0"),
            );
            assert_fine(composite(retry.clone(), json!([filter])));
        }
        let transient = json!([{"type": "HttpResponseFilter", "http_codes": [400], "x_error_kind": "transient"}]);
        assert_fine(composite(transient, retry));
    }

    #[test]
    fn a_composite_within_another() {
        let limit = handler(
            json!([{"type": "HttpResponseFilter", "http_codes": [400], "action": "RATE_LIMITED"}]),
        );
        let retry = handler(
            json!([{"type": "HttpResponseFilter", "http_codes": [500], "action": "RETRY"}]),
        );
        let within =
            |inner: Value| json!({"type": "CompositeErrorHandler", "error_handlers": [inner]});
        assert_trap(
            of_handlers(json!([within(limit.clone()), retry])),
            "composite-drops-verdict",
            &format!("{HANDLER}/error_handlers/0/error_handlers/0/response_filters/0"),
        );
        assert_fine(of_handlers(json!([retry, within(limit)])));
    }

    #[test]
    fn a_composite_whose_later_handlers_count_tries() {
        let counting = |tries: u64| json!({"type": "DefaultErrorHandler", "max_retries": tries});
        assert_trap(
            of_handlers(json!([counting(3), counting(9)])),
            "composite-ignores-retries",
            &format!("{HANDLER}/error_handlers/1/max_retries"),
        );
        assert_fine(of_handlers(json!([counting(3), counting(3)])));
        assert_fine(of_handlers(
            json!([counting(3), {"type": "DefaultErrorHandler"}]),
        ));
    }

    #[test]
    fn a_composite_whose_waits_are_shared() {
        let retry = |code: u16, waits: Value| {
            json!({
                "type": "DefaultErrorHandler", "backoff_strategies": waits,
                "response_filters": [{"type": "HttpResponseFilter", "http_codes": [code], "action": "RETRY"}],
            })
        };
        let constant = json!([{"type": "ConstantBackoffStrategy", "backoff_time_in_seconds": 60}]);
        let told = json!([{"type": "WaitTimeFromHeader", "header": "wait"}]);
        assert_trap(
            of_handlers(json!([retry(500, constant.clone()), retry(502, json!([]))])),
            "composite-shares-waits",
            &format!("{HANDLER}/error_handlers/1"),
        );
        assert_trap(
            of_handlers(json!([
                retry(500, constant.clone()),
                retry(502, told.clone())
            ])),
            "wait-never-used",
            &format!("{HANDLER}/error_handlers/1/backoff_strategies/0"),
        );
        assert_fine(of_handlers(json!([retry(502, told), retry(500, constant)])));
    }
}
