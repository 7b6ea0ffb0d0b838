//! `api_budget` in manifests: what each key becomes, and how each mistake is named.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::time::Duration;

use syncline_engine::{BudgetPolicy, BudgetWindow, Connector, WindowKind};

fn manifest(budget: &str) -> String {
    format!(
        "type: DeclarativeSource\ncheck: {{type: CheckStream, stream_names: [a]}}\nstreams:\n  - name: a\n    \
         schema_loader: {{type: InlineSchemaLoader, schema: {{type: object}}}}\n    retriever: {{requester: \
         {{url_base: 'https://h'}}, record_selector: {{extractor: {{field_path: []}}}}}}\napi_budget:\n{budget}"
    )
}

/// A budget with one policy of these fields.
fn moving(fields: &str) -> String {
    manifest(&format!(
        "  policies: [{{type: MovingWindowCallRatePolicy, {fields}}}]\n"
    ))
}

fn policy(fields: &str) -> BudgetPolicy {
    let connector = Connector::load("demo", &moving(fields)).unwrap();
    connector.budgets()[0].clone()
}

fn problems(yaml: &str) -> Vec<String> {
    let errors = Connector::load("demo", yaml).unwrap_err();
    errors.problems.iter().map(ToString::to_string).collect()
}

fn window(limit: u64, kind: WindowKind) -> BudgetWindow {
    BudgetWindow { limit, kind }
}

fn rolling(limit: u64, seconds: f64) -> BudgetWindow {
    window(limit, WindowKind::Rolling(Duration::from_secs_f64(seconds)))
}

#[test]
fn each_kind_of_window_is_kept() {
    for (fields, expected) in [
        (
            "rates: [{limit: 5, interval: PT1S}, {limit: '100', interval: PT1M}]",
            vec![rolling(5, 1.0), rolling(100, 60.0)],
        ),
        ("x_concurrent: 4", vec![window(4, WindowKind::Concurrent)]),
        (
            "x_calendar: [{limit: 15000, unit: day, time_zone: America/Los_Angeles}, {limit: 9, unit: month}]",
            vec![
                window(15_000, WindowKind::Day("America/Los_Angeles".to_owned())),
                window(9, WindowKind::Month("UTC".to_owned())),
            ],
        ),
        // A bucket of 10 that gets 5 a second is full after 2 s; one of 10 and 3, after 3.33 s.
        (
            "x_bucket: {capacity: 10, refill: 5, interval: PT1S}",
            vec![rolling(10, 2.0)],
        ),
        (
            "x_bucket: {capacity: 10, refill: 3, interval: PT1S}",
            vec![window(
                10,
                WindowKind::Rolling(Duration::from_nanos(3_333_333_334)),
            )],
        ),
        // The strictest of those that move alike.
        (
            "rates: [{limit: 9, interval: PT2S}, {limit: 30, interval: PT2S}, {limit: 4, interval: PT60S}, \
             {limit: 2, interval: PT1M}], x_bucket: {capacity: 8, refill: 4, interval: PT1S}, \
             x_calendar: [{limit: 7, unit: day}, {limit: 6, unit: day, time_zone: UTC}]",
            vec![
                rolling(8, 2.0),
                rolling(2, 60.0),
                window(6, WindowKind::Day("UTC".to_owned())),
            ],
        ),
    ] {
        assert_eq!(policy(fields).windows, expected, "{fields}");
    }
    let fixed = manifest(
        "  policies: [{type: FixedWindowCallRatePolicy, call_limit: 900, period: PT15M, x_concurrent: 2}]\n",
    );
    let connector = Connector::load("demo", &fixed).unwrap();
    assert_eq!(
        connector.budgets()[0].windows,
        [
            window(900, WindowKind::Fixed(Duration::from_mins(15))),
            window(2, WindowKind::Concurrent)
        ]
    );
}

#[test]
fn policies_may_be_additional_and_keep_a_reserve() {
    let plain = policy("x_concurrent: 1");
    assert_eq!((plain.is_additional, plain.manual_reserve), (false, 0));
    let other = policy("x_concurrent: 1, x_additional: true, x_manual_reserve: 90");
    assert_eq!((other.is_additional, other.manual_reserve), (true, 90));
}

#[test]
fn a_condition_on_a_type_is_no_component() {
    // `$parameters` are handed down to whatever has a type, and would become conditions.
    let yaml = moving(
        "$parameters: {unit: minutes}, x_concurrent: 1, x_signals: [{header: x, used_percent: u, \
         when: {type: ads_insights}}]",
    );
    Connector::load("demo", &yaml).unwrap();
}

#[test]
fn every_mistake_of_a_budget_is_named_with_its_path() {
    for (fields, path, text) in [
        (
            "matchers: []",
            "/rates",
            "or one of x_bucket, x_calendar, x_concurrent",
        ),
        ("rates: 5", "/rates", "a list is needed here"),
        ("rates: [5]", "/rates/0", "a rate ({limit, interval})"),
        (
            "rates: [{limit: 0, interval: PT1S}]",
            "/rates/0/limit",
            "a whole number above 0",
        ),
        (
            "rates: [{limit: 1, interval: P1M}]",
            "/rates/0/interval",
            "an ISO 8601 duration such as",
        ),
        ("x_concurrent: 0", "/x_concurrent", "a whole number above 0"),
        (
            "x_concurrent: many",
            "/x_concurrent",
            "a whole number above 0",
        ),
        ("x_calendar: {}", "/x_calendar", "a list is needed here"),
        (
            "x_calendar: [7]",
            "/x_calendar/0",
            "a mapping of limit, unit, time_zone",
        ),
        (
            "x_calendar: [{limit: 1, unit: week}]",
            "/x_calendar/0/unit",
            "\"week\" is not allowed; allowed: day, month",
        ),
        (
            "x_calendar: [{limit: 1}]",
            "/x_calendar/0/unit",
            "allowed: day, month",
        ),
        (
            "x_calendar: [{limit: -1, unit: day}]",
            "/x_calendar/0/limit",
            "a whole number above 0",
        ),
        (
            "x_calendar: [{limit: 1, unit: day, time_zone: Mars/Base}]",
            "/x_calendar/0/time_zone",
            "\"Mars/Base\" is no known time zone; allowed: the IANA names",
        ),
        (
            "x_calendar: [{limit: 1, unit: day, zone: UTC}]",
            "/x_calendar/0/zone",
            "allowed: limit, unit, time_zone",
        ),
        (
            "x_bucket: 5",
            "/x_bucket",
            "a mapping of capacity, refill, interval",
        ),
        (
            "x_bucket: {capacity: 1, refill: 1}",
            "/x_bucket/interval",
            "an ISO 8601 duration such as",
        ),
        (
            "x_bucket: {capacity: 1, refill: 0, interval: PT1S}",
            "/x_bucket/refill",
            "a whole number above 0",
        ),
        (
            "x_bucket: {capacity: 10000000000000000000, refill: 1, interval: P1D}",
            "/x_bucket/capacity",
            "takes centuries",
        ),
        (
            "x_concurrent: 1, x_manual_reserve: 91",
            "/x_manual_reserve",
            "91 is not allowed; allowed: whole percents from 0 to 90",
        ),
        (
            "x_concurrent: 1, x_manual_reserve: 2.5",
            "/x_manual_reserve",
            "2.5 is not allowed",
        ),
        (
            "x_concurrent: 1, x_additional: 'no'",
            "/x_additional",
            "true or false is needed here",
        ),
        ("x_concurrent: 1, x_per: 5", "/x_per", "known here: x_scope"),
    ] {
        let found = problems(&moving(fields));
        let expected = format!("/api_budget/policies/0{path}: ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected) && found[0].contains(text),
            "{fields}\n{expected}{text}\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn every_mistake_of_a_signal_is_named_with_its_path() {
    for (entry, path, text) in [
        ("5", "", "a mapping of header, body, at, when"),
        (
            "{used_percent: u}",
            "",
            "either \"header: <name>\" or \"body: true\"",
        ),
        (
            "{header: x, body: true, at: [a], used_percent: u}",
            "",
            "either \"header: <name>\" or \"body: true\"",
        ),
        (
            "{header: 'a b', used_percent: u}",
            "/header",
            "\"a b\" is no name of a header",
        ),
        (
            "{header: 5, used_percent: u}",
            "/header",
            "a text is needed",
        ),
        (
            "{body: false, at: [a], used_percent: u}",
            "/body",
            "only \"true\" is allowed here",
        ),
        ("{body: true, wait: w}", "/at", "a body needs the way"),
        ("{header: x}", "", "at least one of used_percent, wait"),
        (
            "{header: x, at: a, wait: w}",
            "/at",
            "a list is needed here",
        ),
        (
            "{header: x, at: [a, {}], wait: w}",
            "/at/1",
            "a member's name, a list's index or \"*\"",
        ),
        (
            "{header: x, at: [\"{{ response['id'] }}\"], wait: w}",
            "/at/0",
            "\"response\"",
        ),
        (
            "{header: x, when: [a], wait: w}",
            "/when",
            "a mapping of members",
        ),
        (
            "{header: x, when: {type: {}}, wait: w}",
            "/when/type",
            "a value or a list of values",
        ),
        (
            "{header: x, used_percent: [a, 5]}",
            "/used_percent/1",
            "the name of a member",
        ),
        ("{header: x, wait: [a]}", "/wait", "a text is needed here"),
        (
            "{header: x, wait: w, unit: hours}",
            "/unit",
            "\"hours\" is not allowed; allowed: seconds, minutes, milliseconds, duration",
        ),
        (
            "{header: x, used_percent: u, unit: minutes}",
            "/unit",
            "neither is given",
        ),
        (
            "{header: x, waits: w, cost: c}",
            "/waits",
            "\"waits\" is not known in x_signals; allowed: header, body",
        ),
    ] {
        let found = problems(&moving(&format!("x_concurrent: 1, x_signals: [{entry}]")));
        let expected = format!("/api_budget/policies/0/x_signals/0{path}: ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected) && found[0].contains(text),
            "{entry}\n{expected}{text}\n{}",
            found.join("\n")
        );
    }
    let found = problems(&moving("x_concurrent: 1, x_signals: {}"));
    assert!(found[0].starts_with("/api_budget/policies/0/x_signals: a list is needed"));
}

#[test]
fn headers_and_statuses_of_the_budget_are_checked() {
    let policies = "policies: [{type: MovingWindowCallRatePolicy, x_concurrent: 1}]";
    let found = problems(&manifest(&format!(
        "  ratelimit_reset_header: 'a b'\n  status_codes_for_ratelimit_hit: [429, 'x', 70]\n  {policies}\n"
    )));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("/api_budget/ratelimit_reset_header: \"a b\""));
    assert!(found[1].starts_with("/api_budget/status_codes_for_ratelimit_hit/1: an HTTP status"));
    assert!(found[2].starts_with("/api_budget/status_codes_for_ratelimit_hit/2: an HTTP status"));
    let yaml = manifest(&format!(
        "  ratelimit_reset_header: X-Reset\n  status_codes_for_ratelimit_hit: [420]\n  {policies}\n"
    ));
    let connector = Connector::load("demo", &yaml).unwrap();
    let policy = &connector.budgets()[0];
    assert_eq!(policy.reset_header.as_deref(), Some("x-reset"));
    assert_eq!(policy.limit_statuses, [420]);
}
