//! What the platforms send, read by the rules that manifests give for it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Heard, answered_at, retry_after};
use crate::expr::Scope;
use crate::host::BudgetTold;
use crate::load::model::Source;

const META: &str = "
- {header: X-App-Usage, used_percent: [call_count, total_time, total_cputime]}
- header: X-Business-Use-Case-Usage
  at: [\"{{ config['account_id'] }}\", '*']
  when: {type: ads_insights}
  used_percent: [call_count, total_time, total_cputime]
  wait: estimated_time_to_regain_access
  unit: minutes
- {header: X-Ad-Account-Usage, used_percent: acc_id_util_pct, resets: reset_time_duration}
- {header: X-FB-Ads-Insights-Throttle, used_percent: [app_id_util_pct, acc_id_util_pct]}
";

const GOOGLE: &str = "
- {body: true, at: [error, details, '*', errors, '*', details, quotaErrorDetails], wait: retryDelay, unit: duration}
- {body: true, at: [error, details, '*', quotaErrorDetails, retryDelay], wait: ., unit: duration}
- {body: true, at: [error, details, '*', retryDelay], wait: ., unit: duration}
";

/// 2026-09-21 14:13:20 UTC.
const NOW: i64 = 1_790_000_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

fn source(budget: &str) -> Source {
    let yaml = format!(
        "type: DeclarativeSource\ncheck: {{type: CheckStream, stream_names: [a]}}\nstreams:\n  - name: a\n    \
         schema_loader: {{type: InlineSchemaLoader, schema: {{type: object}}}}\n    retriever: {{requester: \
         {{url_base: 'https://h'}}, record_selector: {{extractor: {{field_path: []}}}}}}\napi_budget:\n{budget}"
    );
    crate::load::load("demo", &yaml).unwrap()
}

fn with_signals(rules: &str) -> Source {
    let rules = rules.trim().replace('\n', "\n        ");
    source(&format!(
        "  policies:\n    - type: MovingWindowCallRatePolicy\n      x_name: p\n      x_concurrent: 1\n      \
         x_signals:\n        {rules}\n"
    ))
}

fn usual() -> Source {
    source("  policies: [{type: MovingWindowCallRatePolicy, x_name: p, x_concurrent: 1}]\n")
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    headers.iter().map(pair).collect()
}

fn read(source: &Source, headers: &[(&str, &str)], body: &Value) -> Vec<BudgetTold> {
    let headers = header_map(headers);
    let config = json!({"account_id": 1001});
    let heard = Heard {
        headers: &headers,
        body: Some(body),
        at: answered_at(&headers, now()),
        scope: &Scope::of_config(&config),
    };
    let policy = &source.policies[0];
    policy.signals.read(policy, &heard)
}

/// `source: what was said`, which is easier to compare than a struct of options.
fn words(told: &[BudgetTold]) -> Vec<String> {
    let mut lines = Vec::new();
    for one in told {
        assert_eq!(one.policy, "p");
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64().to_string());
        let parts = [
            ("used", one.used.map(|used| used.to_string())),
            ("wait", seconds(one.wait)),
            ("remaining", one.remaining.map(|points| points.to_string())),
            ("limit", one.limit.map(|points| points.to_string())),
            ("resets", seconds(one.resets_in)),
            ("cost", one.cost.map(|points| points.to_string())),
        ];
        let said: Vec<String> = parts
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name} {value}")))
            .collect();
        lines.push(format!("{}: {}", one.source, said.join(" ")));
    }
    lines
}

#[test]
fn metas_headers_tell_use_waits_and_resets_each_in_its_unit() {
    let source = with_signals(META);
    let two_accounts = r#"{"2002":[{"type":"ads_insights","call_count":100,"estimated_time_to_regain_access":55}],
        "1001":[{"type":"ads_management","call_count":99,"estimated_time_to_regain_access":40},
        {"type":"ads_insights","call_count":95,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":19}]}"#
        .replace('\n', "");
    let own_is_fine = r#"{"1001":[{"type":"ads_insights","call_count":5,"total_cputime":2,"total_time":7,"estimated_time_to_regain_access":0}]}"#;
    for (header, value, expected) in [
        (
            "x-app-usage",
            r#"{"call_count":28,"total_time":25,"total_cputime":75}"#,
            vec!["x-app-usage: used 0.75"],
        ),
        (
            "x-business-use-case-usage",
            two_accounts.as_str(),
            vec!["x-business-use-case-usage/1001/1: used 0.95 wait 1140"],
        ),
        (
            "x-business-use-case-usage",
            own_is_fine,
            vec!["x-business-use-case-usage/1001/0: used 0.07"],
        ),
        // Only somebody else is in trouble.
        (
            "x-business-use-case-usage",
            r#"{"2002":[{"type":"ads_insights","call_count":100,"estimated_time_to_regain_access":55}]}"#,
            vec![],
        ),
        (
            "x-ad-account-usage",
            r#"{"acc_id_util_pct":50,"reset_time_duration":100,"ads_api_access_tier":"standard_access"}"#,
            vec!["x-ad-account-usage: used 0.5 resets 100"],
        ),
        (
            "x-fb-ads-insights-throttle",
            r#"{"app_id_util_pct":75,"acc_id_util_pct":9,"ads_api_access_tier":"standard_access"}"#,
            vec!["x-fb-ads-insights-throttle: used 0.75"],
        ),
        // A member that cannot be read does not spoil its neighbours.
        (
            "x-app-usage",
            r#"{"call_count":"many","total_time":[25],"total_cputime":"50"}"#,
            vec!["x-app-usage: used 0.5"],
        ),
        ("x-app-usage", "{\"call_count\":28", vec![]),
        ("x-app-usage", "null", vec![]),
        ("x-app-usage", "[1,2]", vec![]),
        ("x-app-usage", "", vec![]),
        ("x-business-use-case-usage", r#"{"1001":"none"}"#, vec![]),
        (
            "x-business-use-case-usage",
            r#"{"1001":[null,7,{"type":null}]}"#,
            vec![],
        ),
        ("x-unknown", "1", vec![]),
    ] {
        let told = read(&source, &[(header, value)], &json!({}));
        assert_eq!(words(&told), expected, "{header}: {value}");
    }
}

#[test]
fn googles_body_tells_the_wait_wherever_its_details_have_it() {
    let source = with_signals(GOOGLE);
    let quota = |delay: &str| {
        json!({"error": {"code": 429, "details": [{"@type": "x.GoogleAdsFailure", "errors": [
            {"errorCode": {"quotaError": "RESOURCE_TEMPORARILY_EXHAUSTED"},
             "details": {"quotaErrorDetails": {"rateScope": "ACCOUNT", "retryDelay": delay}}}
        ]}]}})
    };
    for (body, expected) in [
        (
            quota("60s"),
            vec!["/error/details/0/errors/0/details/quotaErrorDetails: wait 60"],
        ),
        (
            quota("1.5s"),
            vec!["/error/details/0/errors/0/details/quotaErrorDetails: wait 1.5"],
        ),
        (
            json!({"error": {"details": [{}, {"quotaErrorDetails": {"retryDelay": "0.500s"}}]}}),
            vec!["/error/details/1/quotaErrorDetails/retryDelay: wait 0.5"],
        ),
        (
            json!({"error": {"details": [
                {"retryDelay": "5s"}, {"retryDelay": "60s"}, {"retryDelay": "7s"}
            ]}}),
            vec!["/error/details/1/retryDelay: wait 60"],
        ),
        (quota("soon"), vec![]),
        (quota(""), vec![]),
        (json!({"error": {"details": "none"}}), vec![]),
        (json!({"error": []}), vec![]),
        (json!({"results": [{"retryDelay": "60s"}]}), vec![]),
        (json!(null), vec![]),
    ] {
        assert_eq!(words(&read(&source, &[], &body)), expected, "{body}");
    }
}

#[test]
fn usual_headers_are_read_without_any_rule() {
    let source = usual();
    let at_90 = (NOW + 90).to_string();
    let skewed = DateTime::from_timestamp(NOW - 3_600, 0).unwrap();
    let skewed = skewed.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let skewed_90 = (NOW - 3_600 + 90).to_string();
    for (headers, expected) in [
        (
            vec![
                ("x-rate-limit-limit", "900"),
                ("x-rate-limit-remaining", "899"),
                ("x-rate-limit-reset", &at_90),
            ],
            vec![
                "x-rate-limit-limit, x-rate-limit-remaining, x-rate-limit-reset: remaining 899 limit 900 resets 90",
            ],
        ),
        // The platform's clock counts.
        (
            vec![("x-rate-limit-reset", &skewed_90), ("date", &skewed)],
            vec!["x-rate-limit-reset: resets 90"],
        ),
        (
            vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")],
            vec!["x-ratelimit-remaining, x-ratelimit-reset: remaining 0 resets 30"],
        ),
        (
            vec![
                ("ratelimit-limit", "100, 100;w=60"),
                ("ratelimit-reset", "23"),
            ],
            vec!["ratelimit-limit, ratelimit-reset: limit 100 resets 23"],
        ),
        // One set counts, not a mixture.
        (
            vec![
                ("x-rate-limit-remaining", "5"),
                ("ratelimit-remaining", "7"),
            ],
            vec!["x-rate-limit-remaining: remaining 5"],
        ),
        (
            vec![
                ("x-rate-limit-remaining", "junk"),
                ("ratelimit-remaining", "7"),
            ],
            vec!["ratelimit-remaining: remaining 7"],
        ),
        (vec![("x-ratelimit-remaining", "-1")], vec![]),
        (vec![("x-ratelimit-reset", "tomorrow")], vec![]),
        (vec![], vec![]),
    ] {
        let told = read(&source, &headers, &json!({}));
        assert_eq!(words(&told), expected, "{headers:?}");
    }
}

#[test]
fn named_headers_stand_for_the_usual_ones_and_rules_for_both() {
    let policies = "policies: [{type: MovingWindowCallRatePolicy, x_name: p, x_concurrent: 1}]";
    let named = source(&format!(
        "  ratelimit_reset_header: X-Reset\n  {policies}\n"
    ));
    let headers = [("x-reset", "12"), ("x-ratelimit-remaining", "3")];
    assert_eq!(
        words(&read(&named, &headers, &json!({}))),
        ["x-reset: resets 12"]
    );
    let rules = with_signals("- {header: x-cost, cost: .}");
    let headers = [("x-cost", "3"), ("x-ratelimit-remaining", "3")];
    assert_eq!(
        words(&read(&rules, &headers, &json!({}))),
        ["x-cost: cost 3"]
    );
    let silent = with_signals("[]");
    assert_eq!(read(&silent, &headers, &json!({})), []);
}

#[test]
fn an_additional_policy_reads_nothing_by_itself() {
    let source = source(
        "  policies: [{type: MovingWindowCallRatePolicy, x_name: p, x_additional: true, x_concurrent: 1}]\n",
    );
    assert_eq!(
        read(&source, &[("x-ratelimit-remaining", "3")], &json!({})),
        []
    );
}

#[test]
fn of_several_objects_the_worst_counts() {
    let source = with_signals(
        "- {body: true, at: [limits, '*'], when: {kind: [a, 7]}, wait: w, resets: r, remaining: left, limit: all, \
         used_percent: u, cost: c}",
    );
    let body = json!({"limits": {
        "x": {"kind": "a", "w": 5, "r": 9, "left": 70, "all": 100, "u": 30, "c": 1},
        "y/z": {"kind": 7, "w": 8, "r": 2, "left": 2, "all": 900, "u": 98, "c": 4},
        "other": {"kind": "b", "w": 900, "left": 0}
    }});
    assert_eq!(
        words(&read(&source, &[], &body)),
        ["/limits/y~1z: used 0.98 wait 8 remaining 2 limit 100 resets 9 cost 4"]
    );
}

#[test]
fn a_retry_after_is_counted_by_the_platforms_own_clock() {
    let date = "Mon, 21 Sep 2026 10:00:00 GMT";
    for (value, date, expected) in [
        ("7", None, Some(7)),
        ("7", Some(date), Some(7)),
        // The platform's clock is hours behind.
        ("Mon, 21 Sep 2026 10:02:00 GMT", Some(date), Some(120)),
        ("Mon, 21 Sep 2026 14:14:20 GMT", None, Some(60)),
        ("Mon, 21 Sep 2026 14:14:20 GMT", Some("yesterday"), Some(60)),
        ("Mon, 21 Sep 2026 09:00:00 GMT", Some(date), None),
        (
            "Thu, 21 Sep 3026 10:00:00 GMT",
            Some(date),
            Some(31_536_000),
        ),
        ("99999999999999", None, Some(31_536_000)),
        ("0", None, None),
        ("-3", None, None),
        ("NaN", None, None),
        ("soon", Some(date), None),
        ("", None, None),
    ] {
        let mut headers = vec![("retry-after", value)];
        headers.extend(date.map(|date| ("date", date)));
        let headers = header_map(&headers);
        let wait = retry_after(&headers, answered_at(&headers, now()));
        assert_eq!(
            wait.map(|wait| wait.as_secs()),
            expected,
            "{value} {date:?}"
        );
    }
}
