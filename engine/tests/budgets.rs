//! What a request says of its budgets, and what an answer tells of them.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use support::{Notebook, Server, answer, serve, settings};
use syncline_engine::{Connector, Outcome, ReadError};

fn connector(requester: &str, budget: &str) -> Connector {
    let yaml = format!(
        "type: DeclarativeSource\ncheck: {{type: CheckStream, stream_names: [a]}}\nstreams:\n  - name: a\n    \
         schema_loader: {{type: InlineSchemaLoader, schema: {{type: object}}}}\n    retriever:\n      requester: \
         {{url_base: 'https://h', path: /v1/reports, {requester}}}\n      record_selector: {{extractor: {{field_path: \
         [rows]}}}}\napi_budget:\n{budget}"
    );
    Connector::load("demo", &yaml).unwrap()
}

/// Reads one page against a server that always gives this answer.
async fn read(
    connector: &Connector,
    answer: String,
) -> (Result<(), ReadError>, Arc<Notebook>, Server) {
    let server = serve(move |_, _| answer.clone()).await;
    let host = Arc::new(Notebook::default());
    let config = json!({"account_id": "1001"});
    let settings = settings(config, &server.address, Arc::clone(&host));
    let mut reader = connector.reader("a", settings).unwrap();
    let result = reader.next_page().await.map(|_| ());
    (result, host, server)
}

const TWO_BUDGETS: &str = "
  policies:
    - type: MovingWindowCallRatePolicy
      x_name: account
      x_scope: \"{{ config['account_id'] }}\"
      rates: [{limit: 5, interval: PT1S}]
      matchers: [{url_path_pattern: /v1/reports, weight: 3}]
      x_signals:
        - header: x-usage
          at: [\"{{ config['account_id'] }}\"]
          used_percent: calls
          wait: minutes
          unit: minutes
    - type: MovingWindowCallRatePolicy
      x_name: rest
      rates: [{limit: 1, interval: PT1S}]
    - type: MovingWindowCallRatePolicy
      x_name: app
      x_additional: true
      x_calendar: [{limit: 100, unit: day}]
      x_signals:
        - {body: true, at: [error, details, '*', retryDelay], wait: ., unit: duration}
        - {header: x-left, remaining: .}
";

#[tokio::test]
async fn a_request_draws_on_its_own_budget_and_on_the_additional_ones() {
    let connector = connector("http_method: GET", TWO_BUDGETS);
    let (result, host, server) = read(&connector, answer(200, "", r#"{"rows":[]}"#)).await;
    assert_eq!(result, Ok(()));
    let requests = host.requests.lock().unwrap();
    let budgets: Vec<(&str, &str, u32)> = requests[0]
        .budgets
        .iter()
        .map(|key| (key.policy.as_str(), key.scope.as_str(), key.weight))
        .collect();
    assert_eq!(budgets, [("account", "1001", 3), ("app", "", 1)]);
    assert_eq!(format!("http://{}", requests[0].authority), server.address);
    assert_eq!(server.targets(), ["/v1/reports"]);
    assert!(server.seen.lock().unwrap()[0].head.starts_with("GET "));
    assert_eq!(host.signals.lock().unwrap()[0].told, []);
}

#[tokio::test]
async fn good_and_failed_answers_tell_of_each_budget_in_order() {
    let connector = connector("http_method: GET", TWO_BUDGETS);
    let usage = "x-usage: {\"1001\":{\"calls\":80,\"minutes\":0},\"2002\":{\"calls\":100,\"minutes\":9}}\r\nx-left: 7\r\n";
    let (result, host, _) = read(&connector, answer(200, usage, r#"{"rows":[]}"#)).await;
    assert_eq!(result, Ok(()));
    let signals = host.signals.lock().unwrap()[0].clone();
    let told: Vec<(&str, &str)> = signals
        .told
        .iter()
        .map(|told| (told.policy.as_str(), told.source.as_str()))
        .collect();
    assert_eq!(told, [("account", "x-usage/1001"), ("app", "x-left")]);
    assert_eq!(
        (signals.told[0].used, signals.told[0].wait),
        (Some(0.8), None)
    );
    assert_eq!(signals.told[1].remaining, Some(7));
    assert!(
        signals
            .headers
            .contains(&("x-left".to_owned(), "7".to_owned()))
    );

    let blocked = "x-usage: {\"1001\":{\"calls\":100,\"minutes\":2}}\r\n";
    let body = r#"{"error":{"details":[{"retryDelay":"30s"}]}}"#;
    let (result, host, _) = read(&connector, answer(429, blocked, body)).await;
    // The read stays away until the last of its budgets is there again.
    let Err(ReadError::RateLimited { retry_after, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(retry_after, Some(Duration::from_mins(2)));
    let signals = host.signals.lock().unwrap()[0].clone();
    let told: Vec<(&str, Option<u64>)> = signals
        .told
        .iter()
        .map(|told| (told.policy.as_str(), told.wait.map(|wait| wait.as_secs())))
        .collect();
    assert_eq!(told, [("account", Some(120)), ("app", Some(30))]);
    // None of the waits is for all budgets.
    assert_eq!(
        (signals.outcome, signals.retry_after),
        (Outcome::RateLimited, None)
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_told_by_its_headers() {
    let connector = connector("http_method: GET", TWO_BUDGETS);
    let broken =
        "HTTP/1.1 200 OK\r\ncontent-length: 500\r\nx-left: 3\r\nconnection: close\r\n\r\n{";
    let (result, host, _) = read(&connector, broken.to_owned()).await;
    assert_eq!(result.unwrap_err().kind(), "transient");
    let signals = host.signals.lock().unwrap()[0].clone();
    assert_eq!(signals.outcome, Outcome::Transport);
    assert_eq!(signals.told[0].remaining, Some(3));
}

const PLAIN: &str =
    "  policies: [{type: MovingWindowCallRatePolicy, rates: [{limit: 9, interval: PT1S}]}]\n";

#[tokio::test]
async fn a_limit_within_a_good_answer_is_a_limit() {
    // TikTok answers 200 to everything.
    let requester = "error_handler: {type: DefaultErrorHandler, response_filters: [{type: HttpResponseFilter, \
                     predicate: '{{ response.code == 40100 }}', action: RATE_LIMITED}]}";
    let connector = connector(requester, PLAIN);
    let body =
        r#"{"code":40100,"message":"Too many requests. Please retry in some time.","data":{}}"#;
    let (result, host, _) = read(&connector, answer(200, "", body)).await;
    assert_eq!(result.unwrap_err().kind(), "rate_limited");
    let signals = host.signals.lock().unwrap()[0].clone();
    assert_eq!(
        (signals.status, signals.outcome),
        (Some(200), Outcome::RateLimited)
    );
    let (result, _, _) = read(&connector, answer(200, "", r#"{"code":0,"rows":[]}"#)).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn the_budgets_statuses_mean_a_limit_unless_a_filter_says_otherwise() {
    let budget = format!("  status_codes_for_ratelimit_hit: [420, 503]\n{PLAIN}");
    let filter = "error_handler: {type: DefaultErrorHandler, response_filters: [{type: HttpResponseFilter, \
                  http_codes: [503], action: FAIL}]}";
    for (requester, status, kind, outcome) in [
        (
            "http_method: GET",
            420,
            "rate_limited",
            Outcome::RateLimited,
        ),
        (
            "http_method: GET",
            503,
            "rate_limited",
            Outcome::RateLimited,
        ),
        (
            "http_method: GET",
            429,
            "rate_limited",
            Outcome::RateLimited,
        ),
        ("http_method: GET", 500, "transient", Outcome::Transient),
        (filter, 503, "permanent", Outcome::Refused),
        (filter, 420, "rate_limited", Outcome::RateLimited),
    ] {
        let connector = connector(requester, &budget);
        let (result, host, _) = read(&connector, answer(status, "", "{}")).await;
        assert_eq!(result.unwrap_err().kind(), kind, "{status} {requester}");
        assert_eq!(host.signals.lock().unwrap()[0].outcome, outcome);
    }
}
