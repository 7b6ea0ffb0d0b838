//! Those who share a budget, and those who do not: what becomes of one of them is felt by the others as it should.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::raw_sql;
use syncline_tests::metered::{budget, connect, manifests};
use syncline_tests::wait::{Look, until};
use syncline_tests::{Cluster, Feed};

fn feed(pages: u32, settings: &Value) -> Value {
    let mut feed = json!({"items": pages * Feed::PAGE_SIZE, "page_size": Feed::PAGE_SIZE});
    let members = feed.as_object_mut().unwrap();
    members.extend(settings.as_object().unwrap().clone());
    feed
}

fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_request_that_is_cut_off_keeps_nobody_else_waiting() {
    let folder = manifests();
    let mut cluster = Cluster::builder()
        .slots(2)
        .connectors(folder.path())
        .start()
        .await;
    cluster.simulator.set_feed(feed(3, &json!({}))).await;
    let limits = json!({"points": {"windows": [{"limit": 1, "at_once": true}]}});
    for key in ["one", "two"] {
        connect(&cluster, key, "metered", "items", limits.clone()).await;
    }
    let first = cluster.api.start_run("one").await;
    cluster.api.wait_for_success(&first).await;

    // The first page is refused while the second is on its way.
    let refuse =
        "alter table synced.metered_items add constraint nothing_new check (false) not valid";
    raw_sql(refuse).execute(&cluster.pool).await.unwrap();
    cluster
        .simulator
        .set_feed(feed(3, &json!({"delay_ms": 2_000})))
        .await;
    let refused = cluster.api.start_run("two").await;
    let run = cluster
        .api
        .wait_for_run(
            &refused,
            "the run's end",
            syncline_tests::api_client::has_ended,
        )
        .await;
    assert_eq!(run["status"], "failed", "{run:#}");
    let arrivals = cluster.simulator.feed_arrivals().await;
    assert_eq!(arrivals.len(), 3 + 2, "{arrivals:#?}");
    until("no request to be under way", async || {
        let budget = budget(&cluster, "metered").await;
        Look::is(budget["windows"][0]["used"] == json!(0), &budget)
    })
    .await;

    let accept = "alter table synced.metered_items drop constraint nothing_new";
    raw_sql(accept).execute(&cluster.pool).await.unwrap();
    cluster.simulator.set_feed(feed(3, &json!({}))).await;
    let again = cluster.api.start_run("two").await;
    cluster.api.wait_for_success(&again).await;
    let problems = cluster.problems();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test]
async fn another_account_of_a_platform_goes_on_while_one_is_paused() {
    let folder = manifests();
    let cluster = Cluster::builder()
        .workers(2)
        .slots(2)
        .connectors(folder.path())
        .variable("worker", "SYNCLINE_LIMIT_PATIENCE_MS", "500")
        .start()
        .await;
    let limited = |calls: u32| {
        let limit = json!({"calls": calls, "window_ms": 10_000, "retry_after_s": 15});
        feed(20, &json!({"limits": [limit], "refusal": "retry_after"}))
    };
    cluster.simulator.set_feed(limited(3)).await;
    let limits = json!({"points": {"windows": [{"limit": 1_000, "per_seconds": 3}]}});
    connect(&cluster, "one", "metered", "items", limits.clone()).await;
    let one = cluster.api.start_run("one").await;
    let paused = until("the budget to be paused", async || {
        let budgets = cluster.api.list("/budgets?platform=metered").await;
        let paused = budgets.iter().find(|of| of["paused_until"].is_string());
        Look::some(paused.cloned(), format!("{budgets:#?}"))
    })
    .await;
    cluster.simulator.set_feed(limited(10_000)).await;
    let elsewhere = json!({
        "key": "elsewhere",
        "business": "one-business",
        "platform": "metered",
        "config": {"account": "elsewhere", "token": Feed::TOKEN},
        "base_url": cluster.simulator.feed_base_url(),
        "streams": ["items"],
        "limits": limits,
    });
    cluster
        .api
        .post("/connections", elsewhere)
        .await
        .expect(201);
    let elsewhere = cluster.api.start_run("elsewhere").await;
    let run = cluster.api.wait_for_success(&elsewhere).await;
    let (ended, until) = (moment(&run["finished_at"]), moment(&paused["paused_until"]));
    assert!(ended < until, "{ended} {until}");
    assert_eq!(run["progress"]["pages"], json!(20), "{run:#}");
    let waiting = cluster.api.run(&one).await;
    assert_eq!(waiting["status"], "waiting", "{waiting:#}");
    cluster.api.wait_for_success(&one).await;
}

/// Pages of each run; so many of the favoured one's are compared.
const PAGES: u32 = 150;
const COMPARED: u64 = 90;

#[tokio::test]
async fn businesses_that_share_an_accounts_budget_take_turns_by_their_weight() {
    let folder = manifests();
    let cluster = Cluster::builder()
        .workers(2)
        .slots(1)
        .connectors(folder.path())
        .start()
        .await;
    cluster.simulator.set_feed(feed(PAGES, &json!({}))).await;
    let limits = json!({"points": {"windows": [{"limit": 20, "per_seconds": 2}]}});
    for key in ["plain", "favoured"] {
        connect(&cluster, key, "metered", "items", limits.clone()).await;
    }
    let weight = json!({"weight": 3});
    let path = "/api/v1/businesses/favoured-business";
    let patched = cluster
        .api
        .send(reqwest::Method::PATCH, path, Some(&weight));
    patched.await.expect(200);
    let plain = cluster.api.start_run("plain").await;
    let favoured = cluster.api.start_run("favoured").await;
    let pages = async |id: &str| {
        let run = cluster.api.run(id).await;
        run["progress"]["pages"].as_u64().unwrap_or(0)
    };
    // Until both wait for turns, whoever was first has got what was there.
    let began = until("both to have begun", async || {
        let (plain, favoured) = (pages(&plain).await, pages(&favoured).await);
        Look::some(
            (plain > 0 && favoured >= 30).then_some((plain, favoured)),
            format!("{plain} {favoured}"),
        )
    })
    .await;
    let (of_plain, of_favoured) = until("the favoured to get on", async || {
        let (plain, favoured) = (pages(&plain).await, pages(&favoured).await);
        let got = (plain - began.0, favoured - began.1);
        Look::some((got.1 >= COMPARED).then_some(got), format!("{got:?}"))
    })
    .await;
    println!("pages by weight, 1 and 3: {of_plain} and {of_favoured}");
    assert!(of_plain * 2 < of_favoured, "{of_plain} {of_favoured}");
    assert!(of_plain * 4 > of_favoured, "{of_plain} {of_favoured}");
}
