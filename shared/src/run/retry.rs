//! Whether a failed run is tried again, and when. Pure; the worker asks after an error, the rescue after a silence.
//!
//! A policy is put together from the defaults, the platform's settings and the connection's; each gives only what it changes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Backoff, FailureKind, MAX_FAILURES};

/// A retry policy, or a part of one: what is `None` is left as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Upper bound of the first wait, in seconds: 0.1 to 86,400. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_seconds: Option<f64>,
    /// What each further failure multiplies the bound by: 1 to 10. Default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// No bound is higher, in seconds: 0.1 to 604,800. Default 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_seconds: Option<f64>,
    /// The part of the wait that is drawn at random: 0 (none) to 1 (all of it, the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    /// Failures in a row after which the run ends: 1 to 100. Default 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<i32>,
}

impl RetryPolicy {
    /// Reads a stored part. What a later release wrote, and is not understood, changes nothing.
    pub fn read(stored: &Value) -> Self {
        serde_json::from_value(stored.clone()).unwrap_or_default()
    }

    /// The same with another's changes on top.
    #[must_use]
    pub fn with(self, over: Self) -> Self {
        Self {
            base_seconds: over.base_seconds.or(self.base_seconds),
            factor: over.factor.or(self.factor),
            cap_seconds: over.cap_seconds.or(self.cap_seconds),
            jitter: over.jitter.or(self.jitter),
            max_failures: over.max_failures.or(self.max_failures),
        }
    }

    /// What cannot be accepted, each with the field's name and what is allowed.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let fields = [
            ("base_seconds", self.base_seconds, 0.1, 86_400.0),
            ("factor", self.factor, 1.0, 10.0),
            ("cap_seconds", self.cap_seconds, 0.1, 604_800.0),
            ("jitter", self.jitter, 0.0, 1.0),
            ("max_failures", self.max_failures.map(f64::from), 1.0, 100.0),
        ];
        for (name, value, least, most) in fields {
            // Not a range check of `contains`: NaN must not pass.
            if value.is_some_and(|value| !(value >= least && value <= most)) {
                problems.push((name, format!("{name} lies between {least} and {most}")));
            }
        }
        problems
    }

    /// The waits between tries.
    pub fn backoff(&self) -> Backoff {
        let default = Backoff::default();
        let seconds = |value: Option<f64>, default| {
            value
                .and_then(|value| Duration::try_from_secs_f64(value).ok())
                .unwrap_or(default)
        };
        Backoff {
            base: seconds(self.base_seconds, default.base),
            factor: self.factor.unwrap_or(default.factor),
            cap: seconds(self.cap_seconds, default.cap),
            jitter: self.jitter.unwrap_or(default.jitter),
            floor: default.floor,
        }
    }

    /// Failures in a row after which the run ends.
    pub fn max_failures(&self) -> i32 {
        self.max_failures.unwrap_or(MAX_FAILURES)
    }
}

/// What becomes of a run after a failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AfterFailure {
    /// It is tried again at once: its worker was lost, which is nobody's fault the first time.
    Again,
    /// It is tried again after a wait.
    After(Duration),
    /// It ends as failed.
    End,
}

/// Decides by the kind of the failure. `failures` counts this one; `at_least` is what the platform asked to wait; `draw` is
/// uniform in [0, 1).
pub fn after_failure(
    policy: &RetryPolicy,
    kind: FailureKind,
    failures: i32,
    at_least: Option<Duration>,
    draw: f64,
) -> AfterFailure {
    let retried = matches!(
        kind,
        FailureKind::Transient | FailureKind::RateLimited | FailureKind::Lost
    );
    if !retried || failures >= policy.max_failures() {
        return AfterFailure::End;
    }
    if kind == FailureKind::Lost && failures <= 1 {
        return AfterFailure::Again;
    }
    let backoff = policy
        .backoff()
        .wait(u32::try_from(failures).unwrap_or(1), draw);
    AfterFailure::After(backoff.max(at_least.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_connections_policy_changes_only_what_it_names() {
        let platform = RetryPolicy::read(&json!({"base_seconds": 60, "max_failures": 3}));
        let connection = RetryPolicy::read(&json!({"max_failures": 5, "jitter": 0}));
        let policy = platform.with(connection);
        assert_eq!(policy.max_failures(), 5);
        let backoff = policy.backoff();
        assert_eq!(backoff.base, Duration::from_mins(1));
        assert_eq!(backoff.wait(1, 0.3), Duration::from_mins(1));
    }

    #[test]
    fn what_a_later_release_wrote_changes_nothing() {
        let policy = RetryPolicy::read(&json!({"base_seconds": 60, "moon_phase": 3}));
        assert_eq!(policy, RetryPolicy::default());
    }

    #[test]
    fn a_policy_names_what_it_cannot_accept() {
        let policy = RetryPolicy {
            factor: Some(0.5),
            jitter: Some(f64::NAN),
            max_failures: Some(0),
            ..RetryPolicy::default()
        };
        let fields: Vec<_> = policy
            .problems()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["factor", "jitter", "max_failures"]);
    }

    #[test]
    fn permanent_errors_end_the_run_at_once() {
        for kind in [
            FailureKind::Permanent,
            FailureKind::NeedsPerson,
            FailureKind::NeedsToken,
        ] {
            let next = after_failure(&RetryPolicy::default(), kind, 1, None, 0.5);
            assert_eq!(next, AfterFailure::End, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn a_run_that_always_fails_ends_after_its_cap(cap in 1_i32..100, lost: bool, draw in 0.0_f64..1.0) {
            let policy = RetryPolicy { max_failures: Some(cap), ..RetryPolicy::default() };
            let kind = if lost { FailureKind::Lost } else { FailureKind::Transient };
            for failures in 1..=cap {
                let next = after_failure(&policy, kind, failures, None, draw);
                prop_assert_eq!(next == AfterFailure::End, failures == cap);
            }
        }

        #[test]
        fn nobody_is_tried_before_the_platform_allows_it(failures in 1_i32..8, seconds in 0_u64..100_000, draw in 0.0_f64..1.0) {
            let asked = Duration::from_secs(seconds);
            let next = after_failure(&RetryPolicy::default(), FailureKind::Transient, failures, Some(asked), draw);
            if let AfterFailure::After(wait) = next {
                prop_assert!(wait >= asked);
            }
        }
    }
}
