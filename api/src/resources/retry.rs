//! A retry policy, or the part of one that differs: `{"base_seconds": 60, "max_failures": 3}`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use syncline_shared::run::RetryPolicy;
use utoipa::ToSchema;

use super::Notes;

/// When failed runs are tried again. What is left out is as it is by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = RetryPolicy, example = json!({"base_seconds": 60, "max_failures": 3}))]
pub struct RetryView {
    /// Upper bound of the first wait in seconds; 5
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.1, maximum = 86_400)]
    pub base_seconds: Option<f64>,
    /// What each further failure multiplies the bound by; 2
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10)]
    pub factor: Option<f64>,
    /// No bound is higher, in seconds; 600
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.1, maximum = 604_800)]
    pub cap_seconds: Option<f64>,
    /// The part of the wait that is drawn at random, 0 to 1; 1
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub jitter: Option<f64>,
    /// Failures in a row after which a run ends; 8
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_failures: Option<i32>,
}

impl From<RetryPolicy> for RetryView {
    fn from(policy: RetryPolicy) -> Self {
        Self {
            base_seconds: policy.base_seconds,
            factor: policy.factor,
            cap_seconds: policy.cap_seconds,
            jitter: policy.jitter,
            max_failures: policy.max_failures,
        }
    }
}

impl From<RetryView> for RetryPolicy {
    fn from(view: RetryView) -> Self {
        Self {
            base_seconds: view.base_seconds,
            factor: view.factor,
            cap_seconds: view.cap_seconds,
            jitter: view.jitter,
            max_failures: view.max_failures,
        }
    }
}

/// Reads a policy that stands at `pointer`.
pub fn read(value: &Value, pointer: &str, notes: &mut Notes) -> RetryPolicy {
    let policy: RetryPolicy = match serde_json::from_value(value.clone()) {
        Ok(policy) => policy,
        Err(error) => {
            notes.refuse(
                pointer,
                "retry",
                format!(
                    "a retry policy is an object with any of base_seconds, factor, cap_seconds, jitter, max_failures: {error}"
                ),
            );
            return RetryPolicy::default();
        }
    };
    for (field, problem) in policy.problems() {
        notes.refuse(format!("{pointer}/{field}"), "range", problem);
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_is_read_whole_or_told_what_is_wrong_with_it() {
        let mut notes = Notes::default();
        let value = json!({"base_seconds": 1.5, "max_failures": 3});
        let policy = read(&value, "/retry", &mut notes);
        assert_eq!(
            (policy.base_seconds, policy.max_failures),
            (Some(1.5), Some(3))
        );
        assert!(notes.is_empty());

        let value = json!({"factor": 0.5, "max_failures": 0});
        read(&value, "/retry", &mut notes);
        read(&json!({"faktor": 2}), "/retry", &mut notes);
        let fields: Vec<_> = notes
            .into_problems()
            .into_iter()
            .map(|problem| problem.pointer)
            .collect();
        assert_eq!(fields, ["/retry/factor", "/retry/max_failures", "/retry"]);
    }
}
