//! Limits: a platform's 429 is waited out and explained, a budget holds for the whole fleet.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use syncline_tests::database::{assert_products_equal, rows};
use syncline_tests::{Cluster, Platform};

#[tokio::test]
async fn a_429_is_waited_out_without_a_failure_and_explained_meanwhile() {
    let cluster = Cluster::builder().products(190).start().await;
    let faults = json!({"rate_limited": {"pages": [5], "next": 1, "retry_after_s": 4}});
    cluster.simulator.set_faults(faults).await;
    let connection = cluster.connect("acme-g2a").await;
    let id = cluster.api.start_run("acme-g2a").await;

    let waits = |run: &Value| run["status"] == "waiting";
    let waiting = cluster
        .api
        .wait_for_run(&id, "the run to wait for the limit", waits)
        .await;
    let why = &waiting["why"];
    assert_eq!(why["code"], "limit", "{waiting:#}");
    let text = why["text"].as_str().unwrap();
    assert!(text.contains("g2a") && text.contains("until"), "{text}");
    assert!(why["until"].is_string(), "{waiting:#}");
    assert_eq!(waiting["failures"], json!(0), "{waiting:#}");
    let status = cluster.api.get("/scheduler/status").await.expect(200);
    assert_eq!(status["counts"]["budgets_paused"], json!(1), "{status:#}");

    let ended = cluster.api.wait_for_success(&id).await;
    let outcomes: Vec<_> = ended["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| &attempt["outcome"])
        .collect();
    assert_eq!(outcomes, ["limited", "succeeded"], "{ended:#}");
    assert_eq!(ended["failures"], json!(0), "{ended:#}");
    let calls = cluster.simulator.referee(Platform::CLIENT_ID, 1_000).await;
    assert_eq!(calls["by_status"], json!({"200": 10, "429": 1}), "{calls}");
    nothing_was_sent_within(&calls, 4_000_000);
    let truth = cluster.simulator.truth().await;
    assert_products_equal(
        &rows(&cluster.pool, "g2a_products", "id", &connection).await,
        &truth,
    );
}

/// After its 429 the platform was left alone for as long as it asked.
fn nothing_was_sent_within(calls: &Value, pause_us: u64) {
    let timeline = calls["timeline"].as_array().unwrap();
    let at = |call: &Value| call["at_us"].as_u64().unwrap();
    let refused = timeline
        .iter()
        .position(|call| call["status"] == 429)
        .unwrap();
    let pause = at(&timeline[refused + 1]) - at(&timeline[refused]);
    assert!(pause >= pause_us, "the next call came after {pause} us");
}

#[tokio::test]
async fn two_workers_on_one_account_stay_within_its_budget_together() {
    // A window of which the guard, a twentieth, is longer than a call may take to arrive on a machine that is busy with other tests.
    const CALLS: u64 = 30;
    const WINDOW_SECONDS: u32 = 3;
    let mut cluster = Cluster::builder()
        .workers(2)
        .slots(1)
        .products(390)
        .start()
        .await;
    let limits = json!({"requests": {"limit": CALLS, "per_seconds": WINDOW_SECONDS}});
    // Two connections of the same client: the budget's scope is the client, not the connection.
    for key in ["one", "two"] {
        cluster.connect_with(key, limits.clone()).await;
    }
    let (first, second) = (
        cluster.api.start_run("one").await,
        cluster.api.start_run("two").await,
    );
    let mut workers = BTreeSet::new();
    for id in [&first, &second] {
        let under_way = |run: &Value| run["status"] == "running";
        let run = cluster.api.wait_for_run(id, "both runs", under_way).await;
        workers.insert(cluster.worker_of(&run).0);
    }
    assert_eq!(workers.len(), 2, "one worker has both runs");
    for id in [&first, &second] {
        let ended = cluster.api.wait_for_success(id).await;
        assert_eq!(ended["progress"]["read"], json!(390), "{ended:#}");
    }

    let calls = cluster
        .simulator
        .referee(Platform::CLIENT_ID, WINDOW_SECONDS * 1_000)
        .await;
    assert!(calls["total"].as_u64() >= Some(40), "{}", calls["total"]);
    let fullest = &calls["max_in_window"];
    assert_eq!(fullest["exact"], json!(true));
    assert!(fullest["calls"].as_u64() <= Some(CALLS), "{fullest}");
    // Held, and also used.
    let timeline = calls["timeline"].as_array().unwrap();
    let at = |call: Option<&Value>| call.unwrap()["at_us"].as_u64().unwrap();
    let seconds = (at(timeline.last()) - at(timeline.first())) / 1_000_000;
    assert!(seconds <= 7, "{} calls took {seconds} s", timeline.len());
}
