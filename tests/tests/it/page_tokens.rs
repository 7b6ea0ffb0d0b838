//! 30 pages under a limit of 10 calls a window, with page tokens that may die while the run waits for the next window.
//!
//! In most tests the connection's budget is so large that the platform's own refusals make the run wait: at known places.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Map, Value, json};
use syncline_tests::database::{OWN_COLUMNS, Row, rows};
use syncline_tests::{Cluster, Feed, program};

const PAGES: u32 = 30;
const CALLS: u32 = 10;
const WINDOW_MS: u32 = 4_000;
/// Longer than the time between two pages, shorter than the wait for the next window.
const SHORT_LIFE_MS: u32 = 3_000;

/// A cluster whose platform grants `CALLS` calls a window, and hands out page tokens of this life.
async fn limited_cluster(token_ttl_ms: Option<u32>) -> Cluster {
    let manifests = program::checkout().join("tests/connectors");
    let cluster = Cluster::builder().connectors(manifests).start().await;
    limit_feed(&cluster, token_ttl_ms).await;
    cluster
}

async fn limit_feed(cluster: &Cluster, token_ttl_ms: Option<u32>) {
    let settings = json!({
        "items": PAGES * Feed::PAGE_SIZE,
        "page_size": Feed::PAGE_SIZE,
        "limit": {"calls": CALLS, "window_ms": WINDOW_MS},
        "token_ttl_ms": token_ttl_ms,
    });
    cluster.simulator.set_feed(settings).await;
}

/// Makes a connection to the feed; answers its id.
async fn connect(cluster: &Cluster, limits: Value) -> String {
    let business = json!({"key": "acme"});
    cluster.api.post("/businesses", business).await.expect(201);
    let connection = json!({
        "key": "acme-feed",
        "business": "acme",
        "platform": "feed",
        "config": Feed::config(),
        "base_url": cluster.simulator.feed_base_url(),
        "limits": limits,
    });
    let made = cluster
        .api
        .post("/connections", connection)
        .await
        .expect(201);
    made["id"].as_str().unwrap().to_owned()
}

fn no_limit_of_our_own() -> Value {
    json!({"requests": {"limit": 100_000, "per_seconds": 1}})
}

fn outcomes(run: &Value) -> Vec<&str> {
    let attempts = run["attempts"].as_array().unwrap();
    let outcomes = attempts.iter().map(|attempt| attempt["outcome"].as_str());
    outcomes.map(Option::unwrap).collect()
}

/// Read, inserted, updated, unchanged, deleted, failed, and pages.
fn counts(run: &Value) -> [u64; 7] {
    let names = [
        "read",
        "inserted",
        "updated",
        "unchanged",
        "deleted",
        "failed",
        "pages",
    ];
    names.map(|name| run["progress"][name].as_u64().unwrap())
}

/// What the run's log says of new starts.
fn new_starts(run: &Value) -> Vec<&str> {
    let lines = run["log"].as_array().unwrap();
    let lines = lines.iter().map(|line| line["message"].as_str().unwrap());
    lines.filter(|line| line.contains("starts again")).collect()
}

fn living(rows: BTreeMap<String, Row>) -> BTreeMap<String, Row> {
    rows.into_iter()
        .filter(|(_, row)| row["_deleted_at"].is_null())
        .collect()
}

/// Fails unless the connection's living rows are exactly these items.
async fn assert_rows_are(cluster: &Cluster, connection: &str, truth: &[Map<String, Value>]) {
    let found = living(rows(&cluster.pool, "feed_items", "id", connection).await);
    for item in truth {
        let id = item["id"].as_str().unwrap();
        let mut row = found[id].clone();
        row.retain(|column, _| !OWN_COLUMNS.contains(&column.as_str()));
        let instant = |of: &Row| {
            let text = of["published_at"].as_str().unwrap();
            DateTime::parse_from_rfc3339(text).unwrap()
        };
        assert_eq!(instant(&row), instant(item), "{id}");
        // The same instant, in the words of another.
        row.insert("published_at".to_owned(), item["published_at"].clone());
        assert_eq!(&row, item, "{id}");
    }
    assert_eq!(found.len(), truth.len());
}

#[tokio::test]
async fn a_token_that_survives_the_wait_is_gone_on_from() {
    let cluster = limited_cluster(None).await;
    let connection = connect(&cluster, no_limit_of_our_own()).await;
    let id = cluster.api.start_run("acme-feed").await;
    let run = cluster.api.wait_for_success(&id).await;

    assert_eq!(
        outcomes(&run),
        ["limited", "limited", "succeeded"],
        "{run:#}"
    );
    assert_eq!(counts(&run), [300, 300, 0, 0, 0, 0, 30], "{run:#}");
    assert_eq!(new_starts(&run), [""; 0], "{run:#}");
    let calls = cluster.simulator.feed_referee(WINDOW_MS).await;
    assert_eq!(calls["by_status"], json!({"200": 30, "429": 2}), "{calls}");
    let truth = cluster.simulator.feed_truth().await;
    assert_rows_are(&cluster, &connection, &truth).await;
}

#[tokio::test]
async fn a_run_whose_tokens_always_die_while_it_waits_fails_and_says_why() {
    let cluster = limited_cluster(Some(SHORT_LIFE_MS)).await;
    let connection = connect(&cluster, no_limit_of_our_own()).await;
    let started = json!({"connection": "acme-feed", "wait": 60});
    let ended = cluster.api.post("/runs", started).await.expect(200);
    assert_eq!(ended["status"], "failed", "{ended:#}");

    let run = cluster.api.run(ended["id"].as_str().unwrap()).await;
    let error = &run["error"];
    assert_eq!(
        (&error["kind"], &error["stream"]),
        (&json!("permanent"), &json!("items")),
        "{run:#}"
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("this slice needs at least 11 calls, the budget gives 10: ")
            && message.contains("INVALID_PAGE_TOKEN"),
        "{message}"
    );
    // The first pass and two new starts; a refused position costs a call, so that these came to page 9.
    assert_eq!(
        outcomes(&run),
        ["limited", "limited", "limited", "failed"],
        "{run:#}"
    );
    let starts = new_starts(&run);
    assert_eq!(starts.len(), 2, "{run:#}");
    assert!(
        starts[0].contains("page 10, further than before")
            && starts[1].contains("page 9, no further than before, 1 of 2 times in a row"),
        "{starts:?}"
    );
    let calls = cluster.simulator.feed_referee(WINDOW_MS).await;
    assert_eq!(
        calls["by_status"],
        json!({"200": 28, "429": 3, "400": 3}),
        "{calls}"
    );
    assert_eq!(run["failures"], json!(0), "waits are no failures: {run:#}");

    // What was read is there, once, and nothing is taken for deleted.
    assert_eq!(counts(&run), [280, 100, 0, 180, 0, 0, 28], "{run:#}");
    let truth = cluster.simulator.feed_truth().await;
    assert_rows_are(&cluster, &connection, &truth[..100]).await;
}

#[tokio::test]
async fn a_new_start_that_is_refused_by_the_limit_is_counted_all_the_same() {
    let cluster = limited_cluster(None).await;
    // The refusal of the position uses up the window's only call, so nothing is read after it.
    let settings = json!({
        "items": PAGES * Feed::PAGE_SIZE,
        "page_size": Feed::PAGE_SIZE,
        "limit": {"calls": 1, "window_ms": 2_000},
        "token_ttl_ms": 1_000,
    });
    cluster.simulator.set_feed(settings).await;
    connect(&cluster, no_limit_of_our_own()).await;
    let started = json!({"connection": "acme-feed", "wait": 60});
    let run = cluster.api.post("/runs", started).await.expect(200);
    assert_eq!(run["status"], "failed", "{run:#}");
    let message = run["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("this slice needs at least 2 calls, the budget gives 1: "),
        "{message}"
    );
    let calls = cluster.simulator.feed_referee(WINDOW_MS).await;
    assert_eq!(
        calls["by_status"],
        json!({"200": 3, "429": 5, "400": 3}),
        "{calls}"
    );
}

#[tokio::test]
async fn a_run_whose_token_dies_once_starts_again_and_succeeds() {
    const GONE: u32 = 10;
    let cluster = limited_cluster(None).await;
    let more = json!({"items": PAGES * Feed::PAGE_SIZE + GONE, "page_size": Feed::PAGE_SIZE});
    cluster.simulator.set_feed(more).await;
    let connection = connect(&cluster, no_limit_of_our_own()).await;
    let id = cluster.api.start_run("acme-feed").await;
    let before = cluster.api.wait_for_success(&id).await;
    assert_eq!(counts(&before), [310, 310, 0, 0, 0, 0, 31], "{before:#}");

    limit_feed(&cluster, Some(SHORT_LIFE_MS)).await;
    cluster.simulator.forget_calls().await;
    let id = cluster.api.start_run("acme-feed").await;
    let waits = |run: &Value| run["status"] == "waiting";
    cluster
        .api
        .wait_for_run(&id, "the run to wait for the limit", waits)
        .await;
    // The token of page 11 keeps its life; those handed out from now on live for ever.
    limit_feed(&cluster, None).await;
    let run = cluster.api.wait_for_success(&id).await;

    let starts = new_starts(&run);
    assert_eq!(starts.len(), 1, "{run:#}");
    assert!(
        starts[0].contains("page 10, further than before"),
        "{starts:?}"
    );
    let calls = cluster.simulator.feed_referee(WINDOW_MS).await;
    assert_eq!(
        (&calls["by_status"]["200"], &calls["by_status"]["400"]),
        (&json!(CALLS + PAGES), &json!(1)),
        "{calls}"
    );
    // The ten pages that were read twice are unchanged rows; what is gone at the source is marked, and nothing else.
    assert_eq!(
        counts(&run),
        [400, 0, 0, 400, u64::from(GONE), 0, 40],
        "{run:#}"
    );
    let truth = cluster.simulator.feed_truth().await;
    assert_rows_are(&cluster, &connection, &truth).await;
}

#[tokio::test]
async fn the_manifests_budget_spares_the_platform_every_refusal() {
    let cluster = limited_cluster(None).await;
    let connection = connect(&cluster, json!({})).await;
    let id = cluster.api.start_run("acme-feed").await;
    let run = cluster.api.wait_for_success(&id).await;

    assert_eq!(counts(&run), [300, 300, 0, 0, 0, 0, 30], "{run:#}");
    let calls = cluster.simulator.feed_referee(WINDOW_MS).await;
    assert_eq!(calls["by_status"], json!({"200": PAGES}), "{calls}");
    let fullest = &calls["max_in_window"];
    assert_eq!(fullest["exact"], json!(true));
    assert!(
        fullest["calls"].as_u64() <= Some(u64::from(CALLS)),
        "{fullest}"
    );
    let truth = cluster.simulator.feed_truth().await;
    assert_rows_are(&cluster, &connection, &truth).await;
}
