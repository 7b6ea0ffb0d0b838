//! A platform's host that fails is left alone, and found again without a person.

use serde_json::{Value, json};
use syncline_tests::metered::{connect, manifests, wait_until_us};
use syncline_tests::wait::{Look, until};
use syncline_tests::{Cluster, Feed};

const CONNECTIONS: u32 = 4;
/// Failures in a row that open a circuit, and microseconds for which it is open at first.
const FAILURES: usize = 5;
const OPEN_US: u64 = 10_000_000;
/// Microseconds in which every process has heard of it, on a machine that is busy with other tests.
const HEARD_US: u64 = 1_000_000;

fn feed(unavailable: Option<&str>) -> Value {
    json!({
        "items": 3 * Feed::PAGE_SIZE,
        "page_size": Feed::PAGE_SIZE,
        "unavailable": unavailable,
    })
}

async fn circuits(cluster: &Cluster) -> Vec<Value> {
    let answer = cluster.api.get("/circuits").await.expect(200);
    answer["data"].as_array().unwrap().clone()
}

async fn a_failing_host_is_left_alone_and_found_again(unavailable: &str, because: &str) {
    let folder = manifests();
    let mut cluster = Cluster::builder()
        .workers(2)
        .slots(4)
        .products(20)
        .connectors(folder.path())
        .variable("worker", "SYNCLINE_LIMIT_PATIENCE_MS", "500")
        .start()
        .await;
    cluster.simulator.set_feed(feed(Some(unavailable))).await;
    let limits = json!({"points": {"windows": [{"limit": 1_000, "per_seconds": 1}]}});
    let mut ids = Vec::new();
    for number in 1..=CONNECTIONS {
        let key = format!("metered-{number}");
        connect(&cluster, &key, "metered", "items", limits.clone()).await;
        ids.push(cluster.api.start_run(&key).await);
    }
    cluster.connect("other").await;

    let open = until("the circuit to be open", async || {
        let circuits = circuits(&cluster).await;
        let open = circuits.iter().find(|of| of["open_until"].is_string());
        Look::some(open.cloned(), format!("{circuits:#?}"))
    })
    .await;
    let host = cluster.simulator.feed_base_url();
    let host = host
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap();
    let key = format!("metered/{host}");
    assert_eq!(open["key"], json!(key), "{open:#}");
    assert_eq!(open["because"], json!(because), "{open:#}");
    assert!(
        open["failures"].as_u64() >= Some(FAILURES as u64),
        "{open:#}"
    );

    // The same host for another platform.
    let other = cluster.api.start_run("other").await;
    cluster.api.wait_for_success(&other).await;
    for id in &ids {
        let names_host = |run: &Value| {
            let text = run["why"]["text"].as_str().unwrap_or_default();
            run["status"] == "waiting" && run["why"]["code"] == "limit" && text.contains(&key)
        };
        cluster
            .api
            .wait_for_run(id, "the run to wait for the host", names_host)
            .await;
    }

    // One that had left before may fail later than the fifth.
    let arrivals = cluster.simulator.feed_arrivals().await;
    let opened = arrivals[FAILURES - 1].answered_us.unwrap();
    wait_until_us(&cluster, opened + OPEN_US - HEARD_US).await;
    let arrivals = cluster.simulator.feed_arrivals().await;
    let known = opened + HEARD_US;
    let after = arrivals.iter().filter(|call| call.at_us >= known).count();
    println!(
        "{} calls failed, {after} of them later than a second after the fifth",
        arrivals.len()
    );
    assert_eq!(after, 0, "{arrivals:#?}");
    assert!(
        arrivals.len() <= FAILURES + 2 * CONNECTIONS as usize,
        "{arrivals:#?}"
    );

    // The first request finds out that it is back.
    cluster.simulator.set_feed(feed(None)).await;
    for id in &ids {
        let run = cluster.api.wait_for_success(id).await;
        assert_eq!(run["progress"]["pages"], json!(3), "{run:#}");
    }
    let all = cluster.simulator.feed_arrivals().await;
    let next = &all[arrivals.len()];
    println!(
        "the next call came {} ms after the fifth failure",
        (next.at_us - opened) / 1_000
    );
    let left = circuits(&cluster).await;
    assert!(left.is_empty(), "{left:#?}");
    let problems = cluster.problems();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test]
async fn a_host_that_answers_503_is_left_alone_and_found_again() {
    a_failing_host_is_left_alone_and_found_again("status", "HTTP 503").await;
}

#[tokio::test]
async fn a_host_that_resets_connections_is_left_alone_and_found_again() {
    a_failing_host_is_left_alone_and_found_again("reset", "no answer").await;
}

#[tokio::test]
async fn while_a_host_fails_nothing_but_one_request_at_a_time_finds_out() {
    let folder = manifests();
    let cluster = Cluster::builder()
        .workers(2)
        .slots(4)
        .connectors(folder.path())
        .variable("worker", "SYNCLINE_LIMIT_PATIENCE_MS", "500")
        .start()
        .await;
    cluster.simulator.set_feed(feed(Some("status"))).await;
    let limits = json!({"points": {"windows": [{"limit": 1_000, "per_seconds": 1}]}});
    let mut ids = Vec::new();
    for number in 1..=CONNECTIONS {
        let key = format!("metered-{number}");
        connect(&cluster, &key, "metered", "items", limits.clone()).await;
        ids.push(cluster.api.start_run(&key).await);
    }
    let first_five = until("five failures", async || {
        let arrivals = cluster.simulator.feed_arrivals().await;
        let fifth = arrivals.get(FAILURES - 1).and_then(|call| call.answered_us);
        Look::some(fifth, arrivals.len())
    })
    .await;
    let known = first_five + HEARD_US;
    let probes = async || {
        let arrivals = cluster.simulator.feed_arrivals().await;
        let late = arrivals
            .iter()
            .map(|call| call.at_us)
            .filter(|at| *at >= known);
        late.collect::<Vec<_>>()
    };
    let probe = until("a probe", async || {
        Look::some(probes().await.first().copied(), "none")
    })
    .await;
    assert!(
        probe >= first_five + OPEN_US - HEARD_US,
        "{probe} {first_five}"
    );
    // It fails, too: for twice as long nothing is sent.
    wait_until_us(&cluster, probe + OPEN_US).await;
    let sent = probes().await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    for id in &ids {
        let run = cluster.api.run(id).await;
        assert!(!syncline_tests::api_client::has_ended(&run), "{run:#}");
    }
}
