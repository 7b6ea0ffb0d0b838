//! Each fault switch, seen from a client's side of a real socket.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Simulator, split};

#[tokio::test]
async fn refusals_have_the_shape_of_the_real_ones() {
    let simulator = Simulator::small().await;
    simulator
        .faults(r#"{"rate_limited": {"next": 1, "retry_after_s": 7}}"#)
        .await;
    let limited = simulator.list("page=1").await.unwrap();
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    assert!(limited.text().await.unwrap().contains("BR03"));
    assert_eq!(
        simulator.list("page=1").await.unwrap().status(),
        200,
        "next: 1 is used up"
    );

    simulator.faults(r#"{"rate_limited": {}}"#).await;
    let limited = simulator.list("page=1").await.unwrap();
    assert!(limited.status() == 429 && !limited.headers().contains_key("retry-after"));

    simulator.faults(r#"{"bad_gateway": {"pages": [2]}}"#).await;
    assert_eq!(simulator.list("page=1").await.unwrap().status(), 200);
    let bad_gateway = simulator.list("page=2").await.unwrap();
    assert_eq!(bad_gateway.status(), 502);
    assert!(bad_gateway.bytes().await.unwrap().is_empty());

    simulator.faults(r#"{"server_error": {"every": 2}}"#).await;
    assert_eq!(simulator.list("page=1").await.unwrap().status(), 200);
    let server_error = simulator.list("page=1").await.unwrap();
    assert_eq!(server_error.status(), 500);
    let body: Value = serde_json::from_slice(&server_error.bytes().await.unwrap()).unwrap();
    assert_eq!(body["status"], "ERROR");

    simulator
        .faults(r#"{"unavailable": {"rate": 1, "retry_after_s": 3}}"#)
        .await;
    let unavailable = simulator.list("page=1").await.unwrap();
    assert_eq!(unavailable.status(), 503);
    assert_eq!(unavailable.headers()["content-type"], "text/html");
    assert_eq!(unavailable.headers()["retry-after"], "3");
    assert!(unavailable.text().await.unwrap().starts_with("<html>"));

    let (_, cleared) = simulator
        .control(Method::DELETE, "/_control/g2a/faults", "")
        .await;
    assert_eq!(cleared, json!({"seed": 0, "latency_ms": 0, "jitter_ms": 0}));
    assert_eq!(simulator.list("page=1").await.unwrap().status(), 200);
    let referee = simulator.referee().await;
    assert_eq!(
        referee["by_status"],
        json!({"200": 4, "429": 2, "500": 1, "502": 1, "503": 1})
    );
    assert_eq!(
        referee["violations"], 0,
        "a fault is no violation of the caller's"
    );
    assert_eq!(referee["timeline"][0]["faults"], json!(["rate_limited"]));
    simulator.stop().await;
}

#[tokio::test]
async fn broken_json_is_a_complete_message_that_does_not_parse() {
    let simulator = Simulator::small().await;
    simulator.faults(r#"{"broken_json": {}, "seed": 3}"#).await;
    for page in 1..=5 {
        let (answer, ended) = simulator.raw(&format!("page={page}")).await;
        ended.unwrap();
        let (head, length, body) = split(&answer);
        assert!(
            head.starts_with("http/1.1 200") && length == body.len(),
            "{head}"
        );
        assert!(serde_json::from_slice::<Value>(&body).is_err());
    }
    simulator.stop().await;
}

#[tokio::test]
async fn a_truncated_body_ends_before_its_announced_length() {
    let simulator = Simulator::small().await;
    simulator.faults(r#"{"truncated_body": {}}"#).await;
    let (answer, ended) = simulator.raw("page=1").await;
    ended.unwrap();
    let (head, length, body) = split(&answer);
    assert!(head.starts_with("http/1.1 200"));
    assert_eq!(body.len(), length / 2);
    let through_a_client = simulator.list("page=1").await.unwrap();
    assert_eq!(through_a_client.status(), 200);
    assert!(through_a_client.bytes().await.is_err());
    simulator.stop().await;
}

#[tokio::test]
async fn a_reset_comes_before_the_answer_or_within_the_body() {
    let simulator = Simulator::small().await;
    simulator
        .faults(r#"{"connection_reset": {"next": 1}}"#)
        .await;
    let (answer, ended) = simulator.raw("page=1").await;
    assert_eq!(
        (answer.len(), ended.unwrap_err().kind()),
        (0, ErrorKind::ConnectionReset)
    );

    simulator
        .faults(r#"{"connection_reset": {"after_bytes": 100}}"#)
        .await;
    let (answer, ended) = simulator.raw("page=1").await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let (head, length, body) = split(&answer);
    assert!(head.starts_with("http/1.1 200") && length > 1_000);
    assert_eq!(body.len(), 100);
    let by_status = &simulator.referee().await["by_status"];
    assert_eq!(*by_status, json!({"reset": 1, "200": 1}));
    simulator.stop().await;
}

#[tokio::test]
async fn a_slow_body_drips_but_arrives_whole() {
    let simulator = Simulator::small().await;
    let intact = simulator.page("page=5").await;
    let length = simulator
        .list("page=5")
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .len();
    let chunk = length / 4 + 1;
    simulator
        .faults(&format!(
            r#"{{"slow_body": {{"chunk_bytes": {chunk}, "pause_ms": 30}}}}"#
        ))
        .await;
    let started = Instant::now();
    assert_eq!(simulator.page("page=5").await, intact);
    assert!(
        started.elapsed() >= Duration::from_millis(90),
        "{:?}",
        started.elapsed()
    );
    simulator.stop().await;
}

#[tokio::test]
async fn a_wrong_content_type_leaves_the_body_intact() {
    let simulator = Simulator::small().await;
    let intact = simulator.page("page=1").await;
    simulator
        .faults(r#"{"wrong_content_type": {"content_type": "text/plain"}}"#)
        .await;
    let response = simulator.list("page=1").await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(simulator.page("page=1").await, intact);
    simulator.stop().await;
}

#[tokio::test]
async fn a_changing_total_and_repeated_rows_lose_no_row() {
    let simulator = Simulator::small().await;
    simulator
        .faults(r#"{"total_changing": {"by": 2}, "duplicated_rows": {"rows": 3}}"#)
        .await;
    let mut rows = Vec::new();
    for page in 1..=5 {
        let answer = simulator.page(&format!("page={page}")).await;
        let total = answer["total"].as_i64().unwrap();
        assert!(total != 95 && (93..=97).contains(&total), "{total}");
        rows.extend(
            answer["docs"]
                .as_array()
                .unwrap()
                .iter()
                .map(Value::to_string),
        );
    }
    assert_eq!(rows.len(), 95 + 4 * 3);
    assert_eq!(rows[17..20], rows[20..23], "the end of page 1 heads page 2");
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), 95);
    let beyond = simulator.page("page=6").await;
    assert_eq!(beyond["docs"], json!([]));
    simulator.stop().await;
}

#[tokio::test]
async fn latency_holds_each_answer_back() {
    let simulator = Simulator::small().await;
    simulator
        .faults(r#"{"latency_ms": 60, "jitter_ms": 5}"#)
        .await;
    let started = Instant::now();
    simulator.page("page=1").await;
    assert!(started.elapsed() >= Duration::from_millis(60));
    simulator.stop().await;
}
