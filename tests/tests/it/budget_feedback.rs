//! What platforms tell of their limits, each in its own words, is known to every process.

use serde_json::{Value, json};
use syncline_tests::metered::{budget, connect, manifests, outcomes, wait_until_us};
use syncline_tests::wait::{Look, until};
use syncline_tests::{Cluster, Feed, Platform};

/// Seconds for which a platform that says so wants no call.
const TOLD_S: u64 = 5;
/// Seconds of the window of ours: for so long it is left alone that does not say for how long.
const OURS_S: u64 = 3;
/// Microseconds in which every process has heard of a refusal, on a machine that is busy with other tests.
const HEARD_US: u64 = 1_000_000;
/// The same on a machine that is not.
const PROVEN_HEARD_US: u64 = 250_000;
const PAGES: u32 = 50;

/// How a platform refuses.
struct Way {
    /// In the words of the simulator.
    refusal: &'static str,
    platform: &'static str,
    tells: bool,
}

impl Way {
    fn told_us(&self) -> u64 {
        1_000_000 * if self.tells { TOLD_S } else { OURS_S }
    }

    /// What the budget says while it is paused.
    fn reason(&self) -> &str {
        match (self.tells, self.refusal) {
            (true, _) => "HTTP 429, the platform asked to wait",
            (false, "code") => "HTTP 200, the platform did not say for how long",
            (false, _) => "HTTP 429, the platform did not say for how long",
        }
    }

    /// Settings of the feed, which refuses every call if it grants three in a window that holds more.
    fn feed(&self, calls: u32) -> Value {
        json!({
            "items": PAGES * Feed::PAGE_SIZE,
            "page_size": Feed::PAGE_SIZE,
            "points": {"items": 1, "changes": 3},
            "limits": [{"calls": calls, "window_ms": 10_000, "retry_after_s": TOLD_S}],
            "refusal": self.refusal,
            "delay_ms": 60,
        })
    }
}

/// Two workers sync two connections of one account; the platform refuses. Answers the runs as they ended.
async fn refuse_two_workers(way: &Way, patience_ms: &str, heard_us: u64) -> [Value; 2] {
    let folder = manifests();
    let mut cluster = Cluster::builder()
        .workers(2)
        .slots(2)
        .products(20)
        .connectors(folder.path())
        .variable("worker", "SYNCLINE_LIMIT_PATIENCE_MS", patience_ms)
        .start()
        .await;
    cluster.simulator.set_feed(way.feed(10_000)).await;
    // Far more than the platform will grant.
    let limits = json!({"points": {"windows": [{"limit": 1_000, "per_seconds": OURS_S}]}});
    connect(&cluster, "one", way.platform, "items", limits.clone()).await;
    connect(&cluster, "two", way.platform, "changes", limits).await;
    cluster.connect("other").await;
    let ids = [
        cluster.api.start_run("one").await,
        cluster.api.start_run("two").await,
    ];
    until("both runs to call the platform", async || {
        let calls = cluster.simulator.feed_arrivals().await;
        let of = |points| calls.iter().filter(|call| call.points == points).count();
        Look::is(of(1) >= 4 && of(3) >= 4, format!("{} and {}", of(1), of(3)))
    })
    .await;

    let before = cluster.simulator.feed_now_us().await;
    cluster.simulator.set_feed(way.feed(3)).await;
    let paused = until("the budget to be paused", async || {
        let budget = budget(&cluster, way.platform).await;
        let is_paused = budget["paused_until"].is_string();
        Look::some(is_paused.then(|| budget.clone()), &budget)
    })
    .await;
    // Whoever comes too early is not refused again, but seen.
    cluster.simulator.set_feed(way.feed(10_000)).await;
    let other = cluster.api.start_run("other").await;
    assert!(paused["limited"].as_u64() >= Some(1), "{paused:#}");
    let because = paused["paused_because"].as_str().unwrap();
    assert!(because.starts_with(way.reason()), "{because}");
    assert_eq!(paused["scope"], Feed::ACCOUNT, "{paused:#}");
    cluster.api.wait_for_success(&other).await;

    let runs = [
        cluster.api.wait_for_success(&ids[0]).await,
        cluster.api.wait_for_success(&ids[1]).await,
    ];
    let arrivals = cluster.simulator.feed_arrivals().await;
    let refused = |call: &&syncline_tests::feed::Arrival| match way.refusal {
        "code" => call.at_us > before,
        _ => call.answer == "429",
    };
    let first = arrivals.iter().find(refused).unwrap();
    let known_us = first.answered_us.unwrap() + heard_us;
    let told_us = first.at_us + way.told_us();
    let early = arrivals
        .iter()
        .filter(|call| (known_us..told_us).contains(&call.at_us))
        .map(|call| call.at_us - first.at_us);
    let early: Vec<u64> = early.collect();
    assert!(
        early.is_empty(),
        "calls came so many us after a refusal: {early:?}"
    );
    let all = arrivals.iter().filter(|call| call.at_us > first.at_us);
    let stragglers = all.clone().filter(|call| call.at_us < known_us).count();
    let next = all.map(|call| call.at_us).find(|at| *at >= known_us);
    println!(
        "{}: {stragglers} calls had left, the next came {} ms after the refusal",
        way.refusal,
        (next.unwrap() - first.at_us) / 1_000
    );
    let calls = cluster.simulator.referee(Platform::CLIENT_ID, 1_000).await;
    let first_of_other = calls["timeline"][0]["at_us"].as_u64().unwrap();
    assert!(first_of_other < told_us, "{first_of_other} {told_us}");

    for (run, points) in runs.iter().zip([1, 3]) {
        assert_eq!(run["failures"], json!(0), "{run:#}");
        let calls = arrivals.iter().filter(|call| call.points == points).count() as u64;
        let spent = &run["spent"];
        assert_eq!(
            (&spent["calls"], &spent["points"]),
            (&json!(calls), &json!(calls * points)),
            "{run:#}"
        );
        assert_eq!(run["progress"]["pages"], json!(PAGES), "{run:#}");
    }
    let problems = cluster.problems();
    assert!(problems.is_empty(), "{problems:#?}");
    runs
}

/// The same with runs that give their slots back while they wait.
async fn all_heed_a_refusal(refusal: &'static str, platform: &'static str, tells: bool) {
    all_heed_a_refusal_within(refusal, platform, tells, HEARD_US).await;
}

async fn all_heed_a_refusal_within(
    refusal: &'static str,
    platform: &'static str,
    tells: bool,
    heard_us: u64,
) {
    let way = Way {
        refusal,
        platform,
        tells,
    };
    for run in refuse_two_workers(&way, "500", heard_us).await {
        let mut ended = outcomes(&run);
        assert_eq!(ended.pop(), Some("succeeded"), "{run:#}");
        let has_waited = !ended.is_empty() && ended.iter().all(|outcome| *outcome == "limited");
        assert!(has_waited, "{run:#}");
    }
}

#[tokio::test]
async fn a_refusal_with_seconds_to_wait_is_heeded_by_all() {
    all_heed_a_refusal("retry_after", "metered", true).await;
}

#[tokio::test]
async fn a_refusal_with_a_date_to_wait_for_is_heeded_by_all() {
    all_heed_a_refusal("retry_date", "metered", true).await;
}

#[tokio::test]
async fn a_refusal_with_a_reset_is_heeded_by_all() {
    all_heed_a_refusal("reset", "metered", true).await;
}

#[tokio::test]
async fn a_refusal_with_a_delay_deep_in_its_body_is_heeded_by_all() {
    all_heed_a_refusal("retry_delay", "signalled", true).await;
}

#[tokio::test]
async fn a_refusal_by_a_code_in_a_good_answer_is_heeded_by_all() {
    all_heed_a_refusal("code", "metered", false).await;
}

#[tokio::test]
async fn a_refusal_without_a_word_is_heeded_by_all() {
    all_heed_a_refusal("bare", "metered", false).await;
}

#[tokio::test]
#[ignore = "wants a machine that is not busy: run by `cargo xtask proof`"]
async fn proof_a_refusal_is_heeded_by_all_within_a_quarter_of_a_second() {
    for (refusal, platform, tells) in [
        ("retry_after", "metered", true),
        ("reset", "metered", true),
        ("retry_delay", "signalled", true),
        ("code", "metered", false),
        ("bare", "metered", false),
    ] {
        all_heed_a_refusal_within(refusal, platform, tells, PROVEN_HEARD_US).await;
    }
}

#[tokio::test]
async fn a_wait_that_is_short_enough_is_spent_in_the_slot_and_counted() {
    let way = Way {
        refusal: "retry_after",
        platform: "metered",
        tells: true,
    };
    for run in refuse_two_workers(&way, "30000", HEARD_US).await {
        assert_eq!(outcomes(&run), ["succeeded"], "{run:#}");
        let waited = run["spent"]["waited_ms"].as_u64().unwrap();
        // What one connection's calls of before had to wait for is none of it.
        let told = (TOLD_S - 1) * 1_000..30_000;
        assert!(told.contains(&waited), "{run:#}");
    }
}

/// Of the platform's limit, which is ours, too, others have used so much.
const LIMIT: u32 = 30;
const OUTSIDE: u32 = 18;
const WINDOW_S: u32 = 6;

/// Two workers sync two connections whose account others use, too. Answers when the others' use stops counting.
async fn begin_beside_others(cluster: &Cluster, platform: &str, tell: &str) -> ([String; 2], u64) {
    let settings = json!({
        "items": 15 * Feed::PAGE_SIZE,
        "page_size": Feed::PAGE_SIZE,
        "limits": [{"calls": LIMIT, "window_ms": WINDOW_S * 1_000}],
        "tell": [tell],
        "delay_ms": 40,
    });
    cluster.simulator.set_feed(settings).await;
    let window = json!({"limit": LIMIT, "per_seconds": WINDOW_S});
    let limits = json!({"points": {"windows": [window]}});
    for key in ["one", "two"] {
        connect(cluster, key, platform, "items", limits.clone()).await;
    }
    cluster.simulator.call_from_outside(OUTSIDE).await;
    let over = cluster.simulator.feed_now_us().await + u64::from(WINDOW_S) * 1_000_000;
    let ids = [
        cluster.api.start_run("one").await,
        cluster.api.start_run("two").await,
    ];
    (ids, over)
}

async fn two_workers(folder: &tempfile::TempDir) -> Cluster {
    let builder = Cluster::builder().workers(2).slots(1);
    builder.connectors(folder.path()).start().await
}

/// Fails if more calls were refused than each worker may have had under way while the other one was told that nothing is left.
async fn assert_hardly_any_was_refused(cluster: &Cluster, good: usize) {
    let arrivals = cluster.simulator.feed_arrivals().await;
    let answers: Vec<_> = arrivals
        .iter()
        .map(|call| (call.at_us / 1_000, call.answer.as_str()))
        .collect();
    let refused = arrivals.iter().filter(|call| call.answer == "429").count();
    assert!(refused <= 2, "{answers:?}");
    assert_eq!(arrivals.len() - refused, good, "{answers:?}");
}

async fn others_use_is_left_to_them(platform: &str, tell: &str) {
    let folder = manifests();
    let cluster = two_workers(&folder).await;
    let (ids, _) = begin_beside_others(&cluster, platform, tell).await;
    until("the others' use to be known", async || {
        let budgets = cluster
            .api
            .list(&format!("/budgets?platform={platform}"))
            .await;
        let outside = budgets
            .first()
            .map(|budget| &budget["windows"][0]["outside"]);
        let is_known = outside.and_then(Value::as_u64) >= Some(u64::from(OUTSIDE) - 4);
        Look::is(is_known, format!("{budgets:#?}"))
    })
    .await;
    for id in &ids {
        cluster.api.wait_for_success(id).await;
    }
    assert_hardly_any_was_refused(&cluster, 30).await;
}

#[tokio::test]
async fn what_others_have_used_of_a_counter_is_left_to_them() {
    others_use_is_left_to_them("metered", "rate_limit").await;
}

#[tokio::test]
async fn what_others_have_used_of_an_accounts_percentage_is_left_to_them() {
    others_use_is_left_to_them("signalled", "account_usage").await;
}

#[tokio::test]
async fn what_others_have_used_of_an_apps_percentage_is_left_to_them() {
    others_use_is_left_to_them("signalled", "app_usage").await;
}

#[tokio::test]
async fn an_account_that_is_used_up_is_left_alone_for_the_minutes_told_and_anothers_is_none_of_ours()
 {
    let folder = manifests();
    let cluster = two_workers(&folder).await;
    let (ids, over) = begin_beside_others(&cluster, "signalled", "business_usage").await;
    let paused = until("the budget to be paused", async || {
        let budgets = cluster.api.list("/budgets?platform=signalled").await;
        let paused = budgets
            .into_iter()
            .find(|of| of["paused_until"].is_string());
        Look::some(paused, "it is not")
    })
    .await;
    // A minute, and not the 55 of the other account.
    let told_at = paused["updated_at"]
        .as_str()
        .unwrap()
        .parse::<chrono::DateTime<chrono::Utc>>();
    let until_at = paused["paused_until"]
        .as_str()
        .unwrap()
        .parse::<chrono::DateTime<chrono::Utc>>();
    let seconds = (until_at.unwrap() - told_at.unwrap()).num_seconds();
    assert!((55..=65).contains(&seconds), "{paused:#}");
    let because = paused["paused_because"].as_str().unwrap();
    // By the answer to the last call that was let in, or to one that was under way then.
    assert!(
        because.contains("x-business-use-case-usage/demo/0") || because.contains("HTTP 429"),
        "{because}"
    );
    for id in &ids {
        let waits = |run: &Value| run["status"] == "waiting";
        cluster
            .api
            .wait_for_run(id, "the runs to wait", waits)
            .await;
    }
    let calls = cluster.simulator.feed_arrivals().await.len();
    wait_until_us(&cluster, over).await;
    let let_in = (LIMIT - OUTSIDE) as usize;
    assert!((let_in..=let_in + 2).contains(&calls), "{calls} calls");
    assert_eq!(cluster.simulator.feed_arrivals().await.len(), calls);

    // A person need not wait for it.
    let key = json!({"key": paused["key"]});
    let resumed = cluster.api.post("/budgets/resume", key).await.expect(200);
    assert_eq!(resumed["runs"], json!(2), "{resumed:#}");
    for id in &ids {
        cluster.api.wait_for_success(id).await;
    }
}
