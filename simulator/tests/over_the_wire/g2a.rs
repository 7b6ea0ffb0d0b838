//! The simulated G2A over real sockets: pages, credentials, limits, truth and changes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use syncline_simulator::SimulatorConfig;

use crate::support::{Simulator, authorization};

#[tokio::test(flavor = "multi_thread")]
async fn the_default_catalogue_is_771_pages_that_equal_the_truth_byte_by_byte() {
    let simulator = Simulator::start(SimulatorConfig::default()).await;
    let started = Instant::now();
    let mut served = Vec::new();
    for page in 1..=771 {
        let body = simulator
            .list(&format!("page={page}"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let head = format!("{{\"total\":15420,\"page\":{page},\"docs\":[");
        let docs = body
            .strip_prefix(&head)
            .unwrap()
            .strip_suffix("]}")
            .unwrap();
        served.push(docs.to_owned());
    }
    let took = started.elapsed();
    println!("771 pages in {took:?}");
    let truth = simulator.truth().await;
    assert_eq!(truth.len(), 15_420);
    for (docs, rows) in served.iter().zip(truth.chunks(20)) {
        assert_eq!(*docs, rows.join(","));
    }
    assert_eq!(served.len(), truth.chunks(20).len());
    let beyond = simulator.page("page=772").await;
    assert_eq!(
        (&beyond["total"], &beyond["docs"]),
        (&json!(15_420), &json!([]))
    );
    let referee = simulator.referee().await;
    assert_eq!(
        (&referee["total"], &referee["by_status"]["200"]),
        (&json!(772), &json!(772))
    );
    simulator.stop().await;
}

#[tokio::test]
async fn hidden_products_show_only_when_asked_for() {
    let simulator = Simulator::small().await;
    assert_eq!(simulator.page("").await["total"], 95);
    let all = simulator.page("includeOutOfStock=true&page=5").await;
    assert_eq!(
        (&all["total"], all["docs"].as_array().unwrap().len()),
        (&json!(100), 20)
    );
    let everything = simulator.url("/_control/g2a/truth?out_of_stock=true");
    let everything = simulator.client.get(everything).send().await.unwrap();
    assert_eq!(everything.text().await.unwrap().lines().count(), 100);
    assert_eq!(simulator.truth().await.len(), 95);
    let some_id = all["docs"][3]["id"].as_str().unwrap().to_owned();
    let one = simulator
        .page(&format!("includeOutOfStock=true&id={some_id}"))
        .await;
    assert_eq!(
        (&one["total"], &one["docs"][0]),
        (&json!(1), &all["docs"][3])
    );
    simulator.stop().await;
}

#[tokio::test]
async fn errors_carry_the_vendors_status_and_code() {
    let simulator = Simulator::small().await;
    let url = simulator.url("/g2a/v1/products");
    let missing = simulator.client.get(&url).send().await.unwrap();
    let wrong = simulator
        .client
        .get(&url)
        .header("authorization", "someone, 00")
        .send()
        .await
        .unwrap();
    let bad_page = simulator.list("page=0").await.unwrap();
    let bad_id = simulator.list("id=abc").await.unwrap();
    let expected = [
        (missing, 403, "AUTH01"),
        (wrong, 401, "AUTH02"),
        (bad_page, 400, "BR01"),
        (bad_id, 400, "BR04"),
    ];
    for (response, status, code) in expected {
        assert_eq!(response.status(), status);
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(
            (&body["status"], &body["code"]),
            (&json!("ERROR"), &json!(code))
        );
        assert!(body["message"].is_string());
    }
    let (_, referee) = simulator
        .control(Method::GET, "/_control/referee", "")
        .await;
    let total = |key: &str| referee["keys"][key]["total"].clone();
    assert_eq!(total("g2a/(no credentials)"), 1);
    assert_eq!(total("g2a/(unknown client)"), 1);
    assert_eq!(total("g2a/qdaiciDiyMaTjxMt"), 2);
    simulator.stop().await;
}

#[tokio::test]
async fn a_limit_refuses_what_is_over_it_and_the_referee_counts_violations() {
    let simulator = Simulator::small().await;
    let limit = r#"{"calls": 3, "window_ms": 3600000}"#;
    assert_eq!(
        simulator
            .control(Method::PUT, "/_control/g2a/limit", limit)
            .await
            .0,
        200
    );
    let mut statuses = Vec::new();
    for page in 1..=5 {
        let response = simulator.list(&format!("page={page}")).await.unwrap();
        assert!(!response.headers().contains_key("retry-after"));
        statuses.push(response.status().as_u16());
        if response.status() == 429 {
            let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            let vendors =
                json!({"status": "ERROR", "message": "Too many requests", "code": "BR03"});
            assert_eq!(body, vendors);
        }
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let referee = simulator.referee().await;
    assert_eq!(referee["violations"], 2);
    assert_eq!(referee["by_status"], json!({"200": 3, "429": 2}));
    assert_eq!(referee["max_in_window"]["calls"], 5);
    let pages: Vec<&Value> = referee["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["page"])
        .collect();
    assert_eq!(pages, [1, 2, 3, 4, 5]);
    assert_eq!(
        simulator
            .control(Method::DELETE, "/_control/g2a/limit", "")
            .await
            .0,
        200
    );
    assert_eq!(simulator.page("").await["total"], 95);
    simulator
        .control(Method::DELETE, "/_control/referee", "")
        .await;
    assert_eq!(simulator.referee().await["total"], 0);
    simulator.stop().await;
}

#[tokio::test]
async fn a_registered_account_may_call_until_it_is_removed() {
    let simulator = Simulator::small().await;
    let account =
        r#"{"client_id": "second", "email": "a@example.com", "client_secret": "hush-hush"}"#;
    let (status, answer) = simulator
        .control(Method::PUT, "/_control/g2a/accounts", account)
        .await;
    assert_eq!((status, answer.to_string().contains("hush")), (200, false));
    // printf 'seconda@example.comhush-hush' | sha256sum
    let key = "dfe95fea17cba4eae31179e9ee6a5fd988fe8011daf14059bf9b42766f623aa7";
    let call = || {
        let request = simulator.client.get(simulator.url("/g2a/v1/products"));
        request
            .header("authorization", format!("second, {key}"))
            .send()
    };
    assert_eq!(call().await.unwrap().status(), 200);
    let path = "/_control/g2a/accounts/second";
    assert_eq!(simulator.control(Method::DELETE, path, "").await.0, 200);
    assert_eq!(call().await.unwrap().status(), 401);
    assert_eq!(simulator.control(Method::DELETE, path, "").await.0, 422);
    simulator.stop().await;
}

#[tokio::test]
async fn a_change_reports_exactly_what_the_truth_shows() {
    let simulator = Simulator::small().await;
    let by_id = |lines: Vec<String>| -> BTreeMap<String, String> {
        let id = |line: &String| {
            serde_json::from_str::<Value>(line).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        lines.into_iter().map(|line| (id(&line), line)).collect()
    };
    let before = by_id(simulator.truth().await);
    let change = r#"{"update": 20, "insert": 4, "remove": 7, "seed": 5}"#;
    let (status, answer) = simulator
        .control(Method::POST, "/_control/g2a/changes", change)
        .await;
    assert_eq!((status, &answer["total"]), (200, &json!(92)));
    let after = by_id(simulator.truth().await);
    let inserted: Vec<&String> = after
        .keys()
        .filter(|id| !before.contains_key(*id))
        .collect();
    let removed: Vec<&String> = before
        .keys()
        .filter(|id| !after.contains_key(*id))
        .collect();
    let changed = |id: &&String| after.get(*id).is_some_and(|line| *line != before[*id]);
    let updated: Vec<&String> = before.keys().filter(changed).collect();
    assert_eq!((inserted.len(), removed.len(), updated.len()), (4, 7, 20));
    assert_eq!(answer["inserted"], json!(inserted));
    assert_eq!(answer["removed"], json!(removed));
    assert_eq!(answer["updated"], json!(updated));
    // Everything before was touched in or before 2025, by the simulator's calendar.
    let recent = simulator.page("updatedAtFrom=2026-01-02%2000:00:00").await;
    assert_eq!(recent["total"], 24);
    simulator.stop().await;
}

#[tokio::test]
async fn bad_control_input_names_field_value_and_what_is_allowed() {
    let simulator = Simulator::small().await;
    let cases = [
        (
            Method::PUT,
            "/_control/g2a/faults",
            r#"{"bad_gateway": {"every": 0}}"#,
            422,
            "bad_gateway.every",
        ),
        (Method::PUT, "/_control/g2a/faults", "{", 400, "(body)"),
        (
            Method::PUT,
            "/_control/g2a/limit",
            r#"{"calls": 5}"#,
            422,
            "window_ms",
        ),
        (
            Method::PUT,
            "/_control/g2a/limit",
            r#"{"calls":1,"window_ms":1,"client_id":"x"}"#,
            422,
            "client_id",
        ),
        (
            Method::POST,
            "/_control/g2a/changes",
            r#"{"update": 90, "remove": 6}"#,
            422,
            "update + remove",
        ),
        (
            Method::POST,
            "/_control/g2a/changes",
            r#"{"updates": 1}"#,
            422,
            "updates",
        ),
        (
            Method::POST,
            "/_control/g2a/changes",
            r#"{"insert": 1000000}"#,
            422,
            "insert",
        ),
        (
            Method::PUT,
            "/_control/g2a/accounts",
            r#"{"client_id": "a,b"}"#,
            422,
            "client_id",
        ),
        (
            Method::GET,
            "/_control/referee?window_ms=abc",
            "",
            422,
            "window_ms",
        ),
    ];
    let before = simulator.truth().await;
    for (method, path, body, status, field) in cases {
        let (answered, json) = simulator.control(method, path, body).await;
        assert_eq!(
            (answered, &json["field"]),
            (status, &json!(field)),
            "{path} {body}: {json}"
        );
        assert!(json["error"].as_str().unwrap().contains(field), "{json}");
        assert!(!json["allowed"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        simulator.truth().await,
        before,
        "refused input changes nothing"
    );
    simulator.stop().await;
}

#[tokio::test]
async fn every_listed_endpoint_is_served_and_others_are_told_so() {
    let simulator = Simulator::small().await;
    let (_, listed) = simulator.control(Method::GET, "/_control", "").await;
    let endpoints = listed["endpoints"].as_array().unwrap();
    assert!(endpoints.len() > 10);
    for endpoint in endpoints {
        let method: Method = endpoint["method"].as_str().unwrap().parse().unwrap();
        let path = endpoint["path"].as_str().unwrap();
        let request = simulator
            .client
            .request(method.clone(), simulator.url(path));
        let status = request.send().await.unwrap().status().as_u16();
        assert!(
            status != 404 && status != 405,
            "{method} {path} -> {status}"
        );
    }
    let (status, answer) = simulator.control(Method::GET, "/g2a/v2/products", "").await;
    assert!(status == 404 && answer["error"].as_str().unwrap().contains("/_control"));
    assert_eq!(
        simulator
            .control(Method::POST, "/g2a/v1/products", "")
            .await
            .0,
        405
    );
    simulator.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_is_booked_as_abandoned_and_a_stop_cuts_delays_short() {
    let simulator = Simulator::small().await;
    simulator.faults(r#"{"latency_ms": 600000}"#).await;
    let impatient = simulator.client.get(simulator.url("/g2a/v1/products"));
    let impatient = impatient.header("authorization", authorization());
    assert!(
        impatient
            .timeout(Duration::from_millis(100))
            .send()
            .await
            .is_err()
    );
    let abandoned = async {
        while simulator.referee().await["by_status"]["abandoned"] != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), abandoned)
        .await
        .unwrap();
    let waiting = simulator.list("page=1");
    let in_flight_then_stop = async {
        while simulator.referee().await["in_flight"] != 1 {
            tokio::task::yield_now().await;
        }
        simulator.begin_stop();
    };
    let (answer, ()) = tokio::join!(waiting, in_flight_then_stop);
    assert_eq!(answer.unwrap().status(), 200);
    simulator.stop().await;
}
