//! What people ask of runs under way: to end, or to rest. Workers anywhere in the fleet heed it, and nothing is lost by it.

use serde_json::{Value, json};
use syncline_tests::api_client::has_ended;
use syncline_tests::database::{assert_products_equal, rows};
use syncline_tests::{Cluster, Platform};

/// The platform answers after the longest time that a test waits for anything.
async fn stand_still(cluster: &Cluster) {
    let latency = json!({"latency_ms": 300_000});
    cluster.simulator.set_faults(latency).await;
}

async fn calls(cluster: &Cluster) -> u64 {
    let calls = cluster.simulator.referee(Platform::CLIENT_ID, 1_000).await;
    calls["total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_cancel_cuts_off_the_request_that_a_run_waits_for() {
    let cluster = Cluster::builder().workers(2).start().await;
    stand_still(&cluster).await;
    cluster.connect("acme-g2a").await;
    let id = cluster.api.start_run("acme-g2a").await;
    let runs = |run: &Value| run["status"] == "running";
    cluster.api.wait_for_run(&id, "its request", runs).await;
    let asked = cluster
        .api
        .post(&format!("/runs/{id}/cancel"), json!({"note": "wrong shop"}))
        .await
        .expect(202);
    assert_eq!(asked["why"]["code"], "cancelling", "{asked:#}");
    let ended = cluster.api.wait_for_run(&id, "its end", has_ended).await;
    assert_eq!(ended["status"], "cancelled", "{ended:#}");
    assert_eq!(ended["failures"], json!(0), "{ended:#}");
    let attempt = &ended["attempts"][0];
    assert_eq!(attempt["outcome"], "cancelled", "{ended:#}");
    let reason = attempt["reason"].as_str().unwrap();
    assert!(
        reason.contains("tests") && reason.contains("wrong shop"),
        "{reason}"
    );

    // Its connection is free again, and nobody goes on with the cancelled run.
    let before = calls(&cluster).await;
    cluster.simulator.set_faults(json!({})).await;
    let next = cluster.api.start_run("acme-g2a").await;
    let next = cluster.api.wait_for_success(&next).await;
    let own = next["attempts"][0]["calls"].as_u64().unwrap();
    assert_eq!(calls(&cluster).await, before + own, "{next:#}");
}

#[tokio::test]
async fn a_paused_connection_hands_its_run_back_and_goes_on_where_it_was_after_the_resume() {
    let cluster = Cluster::builder().workers(2).products(590).start().await;
    cluster
        .simulator
        .set_faults(json!({"latency_ms": 80}))
        .await;
    let connection = cluster.connect("acme-g2a").await;
    let id = cluster.api.start_run("acme-g2a").await;
    let in_the_middle = |run: &Value| run["checkpoint_sequence"].as_u64() >= Some(5);
    cluster
        .api
        .wait_for_run(&id, "the middle of the run", in_the_middle)
        .await;
    let note = json!({"note": "the shop moves"});
    let path = "/connections/acme-g2a/pause";
    cluster.api.post(path, note).await.expect(200);
    let rests = |run: &Value| run["why"]["code"] == "pause";
    let resting = cluster.api.wait_for_run(&id, "its rest", rests).await;
    assert_eq!(resting["status"], "waiting", "{resting:#}");
    assert_eq!(
        resting["why"]["text"], "its connection is paused by tests: the shop moves",
        "{resting:#}"
    );
    assert_eq!(resting["attempts"][0]["outcome"], "paused", "{resting:#}");

    let path = "/connections/acme-g2a/resume";
    cluster.api.post(path, json!({})).await.expect(200);
    let ended = cluster.api.wait_for_success(&id).await;
    assert_eq!(ended["failures"], json!(0), "{ended:#}");
    assert_eq!(ended["progress"]["inserted"], json!(590), "{ended:#}");
    assert_eq!(ended["progress"]["read"], json!(590), "no page twice");
    let truth = cluster.simulator.truth().await;
    let found = rows(&cluster.pool, "g2a_products", "id", &connection).await;
    assert_products_equal(&found, &truth);
}
