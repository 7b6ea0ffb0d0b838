//! A platform that misbehaves, and one that refuses: runs end right, and nothing gives a secret away.

use serde_json::{Value, json};
use syncline_tests::database::{assert_products_equal, count, rows};
use syncline_tests::{Cluster, Platform};

#[tokio::test]
async fn broken_answers_are_read_again_until_every_row_is_there() {
    let cluster = Cluster::builder().products(190).start().await;
    let faults = json!({
        "broken_json": {"pages": [2], "next": 1},
        "bad_gateway": {"pages": [4], "next": 1},
        "truncated_body": {"pages": [6], "next": 1},
        "connection_reset": {"pages": [8], "next": 1},
        "slow_body": {"pages": [9], "next": 1, "chunk_bytes": 2000, "pause_ms": 10},
    });
    cluster.simulator.set_faults(faults.clone()).await;
    let connection = cluster.connect("acme-g2a").await;
    let id = cluster.api.start_run("acme-g2a").await;
    let ended = cluster.api.wait_for_success(&id).await;
    for (fault, _) in faults.as_object().unwrap() {
        assert_eq!(cluster.simulator.struck(fault).await, 1, "{fault}");
    }
    assert_eq!(ended["progress"]["inserted"], json!(190), "{ended:#}");
    assert_eq!(ended["progress"]["failed"], json!(0), "{ended:#}");
    let truth = cluster.simulator.truth().await;
    assert_products_equal(
        &rows(&cluster.pool, "g2a_products", "id", &connection).await,
        &truth,
    );
}

#[tokio::test]
async fn a_fault_that_lasts_makes_the_run_wait_for_its_next_try_and_count_a_failure() {
    let cluster = Cluster::builder().products(190).start().await;
    cluster
        .simulator
        .set_faults(json!({"bad_gateway": {"pages": [4]}}))
        .await;
    let connection = cluster.connect("acme-g2a").await;
    let id = cluster.api.start_run("acme-g2a").await;
    let retries = |run: &Value| run["status"] == "retrying";
    let retrying = cluster
        .api
        .wait_for_run(&id, "the run to be tried again", retries)
        .await;
    assert_eq!(retrying["why"]["code"], "backoff", "{retrying:#}");
    let text = retrying["why"]["text"].as_str().unwrap();
    assert!(
        text.contains("502") && text.contains("tried again at"),
        "{text}"
    );
    assert_eq!(retrying["failures"], json!(1), "{retrying:#}");
    assert_eq!(retrying["error"]["http_status"], json!(502), "{retrying:#}");
    // The pages before are kept.
    assert_eq!(retrying["progress"]["inserted"], json!(60), "{retrying:#}");

    cluster.simulator.set_faults(json!({})).await;
    let ended = cluster.api.wait_for_success(&id).await;
    let outcome = |index: usize| ended["attempts"][index]["outcome"].clone();
    assert_eq!(
        (outcome(0), outcome(1)),
        (json!("retry"), json!("succeeded")),
        "{ended:#}"
    );
    let truth = cluster.simulator.truth().await;
    assert_products_equal(
        &rows(&cluster.pool, "g2a_products", "id", &connection).await,
        &truth,
    );
}

#[tokio::test]
async fn refused_credentials_end_the_run_at_once_and_say_what_a_person_must_do() {
    let mut cluster = Cluster::builder().products(190).start().await;
    cluster.connect("acme-g2a").await;
    cluster.simulator.remove_account(Platform::CLIENT_ID).await;
    let started = json!({"connection": "acme-g2a", "wait": 30});
    let run = cluster.api.post("/runs", started).await.expect(200);
    assert_eq!(run["status"], "failed", "{run:#}");
    assert_eq!(run["attempt"], json!(1), "{run:#}");
    let error = &run["error"];
    assert_eq!(
        (&error["kind"], &error["http_status"]),
        (&json!("needs_person"), &json!(401))
    );
    assert_eq!(error["platform_code"], "AUTH02", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("check client id, e-mail and client secret"),
        "{message}"
    );

    // Whatever is stored, shown or logged of it: the API client and the end of the test look at their parts.
    let detail = cluster.api.run(run["id"].as_str().unwrap()).await;
    assert!(
        detail["log"].as_array().is_some_and(|log| !log.is_empty()),
        "{detail:#}"
    );
    let connection = cluster.api.get("/connections/acme-g2a").await.expect(200);
    assert_eq!(
        connection["config"]["client_secret"]["set"],
        json!(true),
        "{connection}"
    );
    assert_eq!(
        connection["config"]["client_id"],
        json!(Platform::CLIENT_ID),
        "{connection}"
    );
    let log = cluster.process("worker-1").log();
    assert!(
        log.contains(run["id"].as_str().unwrap()),
        "the worker does not tell of the run:\n{log}"
    );
}

#[tokio::test]
async fn a_target_on_this_machine_is_refused_unless_it_is_allowed() {
    let cluster = Cluster::builder().allow_hosts("").start().await;
    cluster.connect("acme-g2a").await;
    let started = json!({"connection": "acme-g2a", "wait": 30});
    let run = cluster.api.post("/runs", started).await.expect(200);
    assert_eq!(run["status"], "failed", "{run:#}");
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("SYNCLINE_ALLOW_HOSTS"), "{message}");
    let calls = cluster.simulator.referee(Platform::CLIENT_ID, 1_000).await;
    assert_eq!(calls["total"], json!(0), "it was called nevertheless");
    assert_eq!(
        count(
            &cluster.pool,
            "select count(*) from syncline.runs where status = 'failed'"
        )
        .await,
        1
    );
}
