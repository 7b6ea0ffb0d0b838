//! SIGTERM: a worker leaves within seconds, hands its run back without a failure, and another one goes on from there.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use syncline_tests::database::{assert_products_equal, rows};
use syncline_tests::{Cluster, Platform};

#[tokio::test]
async fn a_drained_worker_hands_its_run_back_and_no_page_is_read_twice() {
    let mut cluster = Cluster::builder().workers(2).products(990).start().await;
    cluster
        .simulator
        .set_faults(json!({"latency_ms": 80}))
        .await;
    let connection = cluster.connect("acme-g2a").await;
    let id = cluster.api.start_run("acme-g2a").await;
    let in_the_middle = |run: &Value| run["checkpoint_sequence"].as_u64() >= Some(5);
    let run = cluster
        .api
        .wait_for_run(&id, "the middle of the run", in_the_middle)
        .await;
    let (leaver, others) = cluster.worker_of(&run);
    cluster.process(&leaver).terminate().await;

    let handed_back = cluster.api.run(&id).await;
    assert_eq!(
        handed_back["attempts"][0]["outcome"], "drained",
        "{handed_back:#}"
    );
    assert_eq!(handed_back["failures"], json!(0), "{handed_back:#}");
    let ended = cluster.api.wait_for_success(&id).await;
    assert_eq!(ended["attempts"][1]["outcome"], "succeeded", "{ended:#}");
    assert_eq!(
        (ended["attempt"].as_u64(), &ended["error"]),
        (Some(2), &Value::Null),
        "{ended:#}"
    );
    assert_eq!(cluster.worker_of(&ended).0, others[0]);
    assert_eq!(ended["progress"]["read"], json!(990), "{ended:#}");
    assert_eq!(ended["progress"]["inserted"], json!(990), "{ended:#}");

    let calls = cluster.simulator.referee(Platform::CLIENT_ID, 1_000).await;
    let mut pages: BTreeMap<u64, u32> = BTreeMap::new();
    for call in calls["timeline"].as_array().unwrap() {
        *pages.entry(call["page"].as_u64().unwrap()).or_default() += 1;
    }
    let again: Vec<_> = pages.iter().filter(|(_, times)| **times > 1).collect();
    assert!(again.len() <= 2, "read ahead and thrown away: {again:?}");
    assert!(pages.keys().copied().eq(1..=50), "{pages:?}");

    let truth = cluster.simulator.truth().await;
    assert_products_equal(
        &rows(&cluster.pool, "g2a_products", "id", &connection).await,
        &truth,
    );
}

#[tokio::test]
async fn every_role_that_is_idle_ends_at_once() {
    let mut cluster = Cluster::builder().start().await;
    for role in ["worker-1", "scheduler-1", "api", "simulator"] {
        let took = cluster.process(role).terminate().await;
        assert!(took.as_secs() < 5, "{role} took {took:?}");
    }
}
