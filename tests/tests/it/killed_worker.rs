//! Workers that die or stand still in the middle of a run: nothing is lost, nothing is doubled, nothing is written late.

use serde_json::{Value, json};
use syncline_tests::Cluster;
use syncline_tests::api_client::has_ended;
use syncline_tests::database::{assert_products_equal, rows};
use syncline_tests::wait::{Look, until};

const PRODUCTS: u32 = 990;

/// A run that takes several seconds: 50 pages of 80 ms and more.
async fn cluster_with_a_slow_run() -> (Cluster, String, String) {
    let cluster = Cluster::builder()
        .workers(2)
        .products(PRODUCTS)
        .start()
        .await;
    cluster
        .simulator
        .set_faults(json!({"latency_ms": 80}))
        .await;
    let connection = cluster.connect("acme-g2a").await;
    let run = cluster.api.start_run("acme-g2a").await;
    (cluster, connection, run)
}

/// Some checkpoints are written, many are to come.
fn is_in_the_middle(run: &Value) -> bool {
    run["status"] == "running" && run["checkpoint_sequence"].as_u64() >= Some(5)
}

fn outcomes(run: &Value) -> Vec<&str> {
    let attempts = run["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap_or("under way"))
        .collect()
}

fn calls_of_first_attempt(run: &Value) -> u64 {
    run["attempts"][0]["calls"].as_u64().unwrap()
}

async fn assert_complete(cluster: &Cluster, connection: &str, run: &Value) {
    let truth = cluster.simulator.truth().await;
    let found = rows(&cluster.pool, "g2a_products", "id", connection).await;
    assert_products_equal(&found, &truth);
    let progress = &run["progress"];
    assert_eq!(progress["inserted"], json!(PRODUCTS), "{progress}");
    assert!(
        progress["read"].as_u64() >= Some(u64::from(PRODUCTS)),
        "{progress}"
    );
    let none = ["updated", "deleted", "failed"].map(|name| progress[name].as_u64());
    assert_eq!(none, [Some(0); 3], "{progress}");
}

#[tokio::test]
async fn a_killed_workers_run_is_finished_by_another_one() {
    let (mut cluster, connection, id) = cluster_with_a_slow_run().await;
    let run = cluster
        .api
        .wait_for_run(&id, "the middle of the run", is_in_the_middle)
        .await;
    let (victim, others) = cluster.worker_of(&run);
    cluster.process(&victim).kill_9();

    let ended = cluster.api.wait_for_success(&id).await;
    assert_eq!(outcomes(&ended), ["lost", "succeeded"], "{ended:#}");
    assert_eq!(cluster.worker_of(&ended).0, others[0]);
    // A crash counts as a failure, until a checkpoint has advanced.
    assert_eq!(ended["failures"], json!(0), "{ended:#}");
    assert_eq!(ended["attempts"][0]["error"]["kind"], "lost", "{ended:#}");
    assert!(
        ended["checkpoint_sequence"].as_u64() > run["checkpoint_sequence"].as_u64(),
        "the checkpoints go on: {ended:#}"
    );
    assert_complete(&cluster, &connection, &ended).await;
    // What the lost attempt had spent by its last checkpoint is not forgotten.
    let seen = calls_of_first_attempt(&run);
    assert!(seen >= 5, "{run:#}");
    assert!(calls_of_first_attempt(&ended) >= seen, "{ended:#}");
    // It went on from the checkpoint, not from the start.
    let calls = cluster
        .simulator
        .referee(syncline_tests::Platform::CLIENT_ID, 1_000)
        .await;
    let pages = calls["total"].as_u64().unwrap();
    assert!((50..=53).contains(&pages), "{pages} calls for 50 pages");
}

#[tokio::test]
async fn a_worker_that_wakes_up_after_its_run_was_given_away_writes_nothing() {
    let (mut cluster, connection, id) = cluster_with_a_slow_run().await;
    let run = cluster
        .api
        .wait_for_run(&id, "the middle of the run", is_in_the_middle)
        .await;
    let (sleeper, others) = cluster.worker_of(&run);
    cluster.process(&sleeper).freeze();

    let given_away = |run: &Value| outcomes(run).len() == 2;
    cluster
        .api
        .wait_for_run(&id, "the run to be given away", given_away)
        .await;
    // The other one is at work: a write of the sleeper would now be seen in the counts or in the rows.
    cluster.process(&sleeper).thaw();
    cluster
        .process(&sleeper)
        .wait_for_log("were given to others")
        .await;
    let ended = cluster.api.wait_for_success(&id).await;
    assert_eq!(outcomes(&ended), ["lost", "succeeded"], "{ended:#}");
    assert_eq!(cluster.worker_of(&ended).0, others[0]);
    assert_complete(&cluster, &connection, &ended).await;
    let log = cluster.process(&sleeper).log();
    assert!(
        log.contains("lost its lease"),
        "the sleeper does not say that its attempt is lost:\n{log}"
    );

    // The sleeper is a worker like any other again.
    cluster.process(&others[0]).terminate().await;
    cluster.simulator.set_faults(json!({})).await;
    let next = cluster.api.start_run("acme-g2a").await;
    let next = cluster.api.wait_for_success(&next).await;
    assert_eq!(cluster.worker_of(&next).0, sleeper);
    assert_eq!(next["progress"]["unchanged"], json!(PRODUCTS), "{next:#}");
}

#[tokio::test]
async fn a_run_that_kills_its_workers_ends_at_its_cap() {
    let mut cluster = Cluster::builder().start().await;
    // It never comes to a checkpoint: that would forgive the failures.
    let latency = json!({"latency_ms": 300_000});
    cluster.simulator.set_faults(latency).await;
    let business = json!({"key": "acme"});
    cluster.api.post("/businesses", business).await.expect(201);
    let mut connection = cluster.connection("acme-g2a", "acme", &json!({}));
    connection["retry"] = json!({"max_failures": 2});
    let made = cluster.api.post("/connections", connection).await;
    made.expect(201);
    let id = cluster.api.start_run("acme-g2a").await;
    for deaths in 0..2 {
        let runs = |run: &Value| run["status"] == "running" && outcomes(run).len() == deaths + 1;
        let run = cluster.api.wait_for_run(&id, "an attempt", runs).await;
        let (victim, _) = cluster.worker_of(&run);
        cluster.process(&victim).kill_9();
        cluster.start_worker().await;
    }
    let ended = cluster.api.wait_for_run(&id, "its end", has_ended).await;
    assert_eq!(ended["status"], "failed", "{ended:#}");
    assert_eq!(outcomes(&ended), ["lost", "lost"], "{ended:#}");
    assert_eq!(ended["error"]["kind"], "lost", "{ended:#}");
}

#[tokio::test]
async fn a_run_whose_only_worker_died_waits_for_the_next_one_and_says_so() {
    let (mut cluster, connection, id) = cluster_with_a_slow_run().await;
    let run = cluster
        .api
        .wait_for_run(&id, "the middle of the run", is_in_the_middle)
        .await;
    let (victim, others) = cluster.worker_of(&run);
    cluster.process(&victim).kill_9();
    cluster.process(&others[0]).kill_9();
    let waiting = until("the run to be given back", async || {
        let run = cluster.api.run(&id).await;
        match run["status"].as_str() {
            Some("queued") => Look::Done(run),
            _ if has_ended(&run) => Look::Failed(run.to_string()),
            _ => Look::not_yet(run),
        }
    })
    .await;
    assert_eq!(waiting["why"]["code"], "ready", "{waiting:#}");
    assert_eq!(waiting["failures"], json!(1), "{waiting:#}");
    cluster.start_worker().await;
    let ended = cluster.api.wait_for_success(&id).await;
    assert_eq!(outcomes(&ended), ["lost", "succeeded"]);
    assert_complete(&cluster, &connection, &ended).await;
}
