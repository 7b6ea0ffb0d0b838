//! Limits: none stated, and policies that do not do what they say.

use serde_json::Value;

use super::Found;
use super::component::Part;

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    match part.kind {
        "DeclarativeSource" => no_budget(part, found),
        "HTTPAPIBudget" => {
            resets(part, found);
            shadowed(part, found);
        }
        _ => {}
    }
}

fn no_budget(part: &Part<'_>, found: &mut Found) {
    if part.get("api_budget").is_none() {
        found.add(
            "no-budget",
            "/api_budget",
            "no limit is stated, so requests are sent as fast as the platform answers, by all workers at once; only its \
             refusals slow them down"
                .to_owned(),
            "state the platform's limit as api_budget, with x_scope for what it is counted by",
        );
    }
}

/// The language learns of a fixed window's resets from headers only.
fn resets(part: &Part<'_>, found: &mut Found) {
    let has_header = part.get("ratelimit_reset_header").is_some();
    for policy in part.children("policies") {
        let is_told =
            has_header || policy.get("x_signals").is_some() || policy.get("x_calendar").is_some();
        if policy.kind == "FixedWindowCallRatePolicy" && !is_told {
            found.add(
                "fixed-window-without-reset",
                &policy.path,
                "nothing tells when the window begins anew: the reference takes it to end 10 days after its first request; here \
                 it is counted from our own requests, whatever the platform's window is"
                    .to_owned(),
                "give ratelimit_reset_header (or x_signals with resets), or use MovingWindowCallRatePolicy",
            );
        }
    }
}

/// The first policy that matches governs; one without matchers matches everything.
fn shadowed(part: &Part<'_>, found: &mut Found) {
    let mut caught_by: Option<usize> = None;
    for (index, policy) in part.children("policies").into_iter().enumerate() {
        if policy.is_set("x_additional") {
            continue;
        }
        if let Some(earlier) = caught_by {
            found.add(
                "shadowed-policy",
                &policy.path,
                format!("it never governs a request: policy {earlier} stands before it and matches everything"),
                "put it first, or set x_additional: true if both limits hold at once",
            );
        }
        let matchers = policy.get("matchers").and_then(Value::as_array);
        let matches_all = matchers.is_none_or(Vec::is_empty);
        if matches_all && caught_by.is_none() {
            caught_by = Some(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap};
    use serde_json::{Value, json};

    fn fixed() -> Value {
        json!({"type": "FixedWindowCallRatePolicy", "call_limit": 10, "period": "PT1M", "matchers": []})
    }

    fn rolling() -> Value {
        json!({"type": "MovingWindowCallRatePolicy", "rates": [{"limit": 10, "interval": "PT1S"}], "matchers": []})
    }

    #[test]
    fn a_missing_budget() {
        assert_trap(json!({"api_budget": null}), "no-budget", "/api_budget");
    }

    #[test]
    fn a_fixed_window_that_nobody_resets() {
        let budget = |change: Value| json!({"api_budget": change});
        assert_trap(
            budget(json!({"policies": [fixed()]})),
            "fixed-window-without-reset",
            "/api_budget/policies/0",
        );
        assert_fine(budget(
            json!({"policies": [fixed()], "ratelimit_reset_header": "x-reset"}),
        ));
    }

    #[test]
    fn a_policy_behind_one_that_matches_everything() {
        assert_trap(
            json!({"api_budget": {"policies": [rolling(), rolling()]}}),
            "shadowed-policy",
            "/api_budget/policies/1",
        );
        let mut additional = rolling();
        additional["x_additional"] = Value::Bool(true);
        assert_fine(json!({"api_budget": {"policies": [rolling(), additional]}}));
    }
}
