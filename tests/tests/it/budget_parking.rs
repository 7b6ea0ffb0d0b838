//! Runs that would only find a budget empty keep no slot busy; a reserve lets people's runs through.

use serde_json::{Value, json};
use syncline_tests::metered::{budget, connect, manifests, outcomes};
use syncline_tests::wait::{Look, until};
use syncline_tests::{Cluster, Feed};

const CALLS: u64 = 5;
const WINDOW_S: u32 = 12;
const CONNECTIONS: u64 = 4;

#[tokio::test]
async fn runs_of_an_empty_budget_wait_without_a_slot_in_which_others_go_on() {
    let folder = manifests();
    let cluster = Cluster::builder()
        .slots(1)
        .products(20)
        .connectors(folder.path())
        .variable("worker", "SYNCLINE_LIMIT_PATIENCE_MS", "500")
        .start()
        .await;
    let feed = |pages: u32| json!({"items": pages * Feed::PAGE_SIZE, "page_size": Feed::PAGE_SIZE, "delay_ms": 50});
    cluster.simulator.set_feed(feed(1)).await;
    let limits = json!({"points": {"windows": [{"limit": CALLS, "per_seconds": WINDOW_S}]}});
    let keys: Vec<String> = (1..=CONNECTIONS)
        .map(|number| format!("metered-{number}"))
        .collect();
    // What a connection draws on is known once it has drawn on it: a call of each, four of five.
    for key in &keys {
        connect(&cluster, key, "metered", "items", limits.clone()).await;
        let id = cluster.api.start_run(key).await;
        cluster.api.wait_for_success(&id).await;
    }
    cluster.connect("other").await;

    // Three pages more than there is room for; the others are queued behind it.
    cluster.simulator.set_feed(feed(4)).await;
    let mut ids = Vec::new();
    for key in &keys {
        ids.push(cluster.api.start_run(key).await);
    }
    let other = cluster.api.start_run("other").await;
    let counted = until("all runs of the budget to wait", async || {
        let budget = budget(&cluster, "metered").await;
        let all_wait = budget["waiting_runs"] == json!(CONNECTIONS);
        Look::some(all_wait.then(|| budget.clone()), &budget)
    })
    .await;
    let mut reasons = Vec::new();
    let mut claims = Vec::new();
    for id in &ids {
        let run = cluster.api.run(id).await;
        assert_eq!(
            (&run["status"], &run["why"]["code"]),
            (&json!("waiting"), &json!("limit")),
            "{run:#}"
        );
        reasons.push(run["why"]["text"].as_str().unwrap().to_owned());
        claims.push(run["attempts"].as_array().unwrap().len());
    }
    println!("{reasons:#?} {claims:?}");
    let key = counted["key"].as_str().unwrap();
    assert!(
        reasons.iter().all(|reason| reason.contains(key)),
        "{reasons:#?}"
    );
    // One had to find out.
    assert!(
        claims.contains(&0),
        "all were claimed to find out: {claims:?}"
    );
    let ended = cluster.api.wait_for_success(&other).await;
    let mut all = Vec::new();
    for id in &ids {
        all.push(cluster.api.run(id).await);
    }
    let at = |run: &Value, name: &str| -> chrono::DateTime<chrono::Utc> {
        run[name]
            .as_str()
            .unwrap_or_else(|| panic!("{run:#}"))
            .parse()
            .unwrap()
    };
    let other_ended = at(&ended, "finished_at");

    // Sixteen calls, five in twelve seconds.
    for id in &ids {
        let run = syncline_tests::wait::until_within(
            "the run's end",
            std::time::Duration::from_mins(3),
            async || {
                let run = cluster.api.run(id).await;
                let has_ended = syncline_tests::api_client::has_ended(&run);
                Look::some(has_ended.then(|| run.clone()), &run)
            },
        )
        .await;
        assert_eq!(run["status"], "succeeded", "{run:#}");
        assert_eq!(run["failures"], json!(0), "{run:#}");
        assert!(
            at(&run, "finished_at") > other_ended,
            "{run:#} {other_ended}"
        );
        let mut ended = outcomes(&run);
        println!("{ended:?}");
        assert_eq!(ended.pop(), Some("succeeded"), "{run:#}");
        assert!(ended.iter().all(|outcome| *outcome == "limited"), "{run:#}");
        // A claim for each window that it may have had to wait for, and one.
        assert!(ended.len() <= 6, "{ended:?}");
    }
    let fullest = cluster.simulator.feed_referee(WINDOW_S * 1_000).await;
    let fullest = &fullest["max_in_window"]["calls"];
    assert!(fullest.as_u64() <= Some(CALLS), "{fullest}");
}

#[tokio::test]
async fn what_is_reserved_for_people_lets_their_runs_through_at_once() {
    const LIMIT: u64 = 10;
    let folder = manifests();
    let cluster = Cluster::builder().connectors(folder.path()).start().await;
    let feed = |pages: u64| json!({"items": pages * u64::from(Feed::PAGE_SIZE), "page_size": Feed::PAGE_SIZE, "delay_ms": 20});
    cluster.simulator.set_feed(feed(12)).await;
    // A window that is long enough for all that follows.
    let limits = json!({"points": {
        "windows": [{"limit": LIMIT, "per_seconds": 50}], "manual_reserve_percent": 50}});
    connect(&cluster, "scheduled", "metered", "items", limits.clone()).await;
    connect(&cluster, "manual", "metered", "items", limits).await;
    let schedule = json!({
        "key": "nightly", "trigger": "manual", "target": {"connection": "scheduled"},
        "inbound_trigger": {"debounce_seconds": 1},
    });
    cluster.api.post("/schedules", schedule).await.expect(201);
    let made = cluster
        .api
        .post("/schedules/nightly/inbound-trigger", json!({}))
        .await
        .expect(201);
    let address = made["path"].as_str().unwrap();
    let anybody = cluster.api.with_token(None);
    anybody
        .send(reqwest::Method::POST, address, None)
        .await
        .expect(202);

    until(
        "the scheduled run to have used what is not reserved",
        async || {
            let budgets = cluster.api.list("/budgets").await;
            let waits = budgets
                .first()
                .is_some_and(|budget| budget["waiting_runs"] == json!(1));
            Look::is(waits, format!("{budgets:#?}"))
        },
    )
    .await;
    let calls = cluster.simulator.feed_arrivals().await.len() as u64;
    assert_eq!(calls, LIMIT / 2, "half is reserved");

    cluster.simulator.set_feed(feed(3)).await;
    let id = cluster.api.start_run("manual").await;
    let run = cluster.api.wait_for_success(&id).await;
    assert_eq!(outcomes(&run), ["succeeded"], "{run:#}");
    assert_eq!(run["spent"]["calls"], json!(3), "{run:#}");
}
