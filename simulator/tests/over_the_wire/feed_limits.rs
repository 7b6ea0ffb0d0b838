//! The simulated feed's limits over real sockets: how they refuse, how usage is told, and what the referee saw of it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use syncline_simulator::FeedAccount;

use crate::support::{ManualTime, Simulator};

struct Feed {
    simulator: Simulator,
    time: Arc<ManualTime>,
}

impl Feed {
    async fn start() -> Self {
        let time = Arc::new(ManualTime::default());
        let simulator = Simulator::small_with_clock(Arc::clone(&time) as _).await;
        Self { simulator, time }
    }

    /// A feed of 50 items with these further settings.
    async fn set(&self, further: Value) {
        let mut settings =
            json!({"items": 50, "page_size": 10, "limit": null, "token_ttl_ms": null});
        let all = settings.as_object_mut().unwrap();
        all.extend(further.as_object().unwrap().clone());
        let (status, answer) = self
            .simulator
            .control(
                Method::PUT,
                "/_control/feed/settings",
                &settings.to_string(),
            )
            .await;
        assert_eq!((status, answer), (200, settings));
    }

    async fn try_call(&self, list: &str) -> reqwest::Result<Response> {
        let url = self.simulator.url(&format!("/feed/v1/{list}"));
        let call = self.simulator.client.get(url);
        call.bearer_auth(FeedAccount::demo().token).send().await
    }

    async fn call(&self, list: &str) -> Response {
        self.try_call(list).await.unwrap()
    }

    async fn status(&self, list: &str) -> u16 {
        self.call(list).await.status().as_u16()
    }

    async fn referee(&self, query: &str) -> Value {
        let path = format!("/_control/referee?key=feed/demo&{query}");
        self.simulator.control(Method::GET, &path, "").await.1
    }

    async fn arrivals(&self) -> Value {
        let path = "/_control/referee/arrivals?key=feed/demo";
        self.simulator.control(Method::GET, path, "").await.1
    }
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn calls_cost_what_their_list_costs_in_limits_and_books() {
    let feed = Feed::start().await;
    feed.set(json!({
        "points": {"items": 1, "changes": 4},
        "limits": [{"points": 9, "window_ms": 60_000}, {"calls": 5, "window_ms": 1_000}],
    }))
    .await;
    for (list, status) in [
        ("changes", 200),
        ("changes", 200),
        ("changes", 429),
        ("items", 200),
        ("items", 429),
    ] {
        assert_eq!(feed.status(list).await, status, "{list}");
        feed.time.advance_ms(1_000);
    }
    let refused = feed.call("items").await;
    assert_eq!(refused.headers()["retry-after"], "55");
    let books = feed.referee("window_ms=1000,2000&window_ms=60000").await;
    assert_eq!(books["total_points"], 15);
    assert_eq!(books["violations"], 3);
    assert_eq!(books["max_in_window"]["calls"], 1);
    assert_eq!(books["max_points_in_window"]["points"], 4);
    let lengths = [(1_000, 1, 4), (2_000, 2, 8), (60_000, 6, 15)];
    for (window, (window_ms, calls, points)) in
        books["windows"].as_array().unwrap().iter().zip(lengths)
    {
        let found = json!([window["window_ms"], window["calls"], window["points"]]);
        assert_eq!(found, json!([window_ms, calls, points]));
    }
    assert_eq!(books["windows"].as_array().unwrap().len(), 3);
    let arrivals = feed.arrivals().await;
    assert_eq!(arrivals["arrivals"][0], json!([0, 4, 200, 0]));
    assert_eq!(
        arrivals["arrivals"][5],
        json!([5_000_000, 1, 429, 5_000_000])
    );
    assert_eq!(arrivals["now_us"], 5_000_000);
    let (status, answer) = feed
        .simulator
        .control(Method::GET, "/_control/referee/arrivals", "")
        .await;
    assert_eq!((status, &answer["field"]), (422, &json!("key")));
    let (status, answer) = feed
        .simulator
        .control(Method::GET, "/_control/referee?window_ms=5,no", "")
        .await;
    assert_eq!((status, &answer["field"]), (422, &json!("window_ms[1]")));
    feed.simulator.stop().await;
}

#[tokio::test]
async fn a_refusal_is_told_as_the_setting_says() {
    let feed = Feed::start().await;
    let set = async |refusal: &str| {
        let limits = json!([{"calls": 1, "window_ms": 5_000}]);
        feed.set(json!({"limits": limits, "refusal": refusal}))
            .await;
        let refused = feed.call("items").await;
        let headers = refused.headers().clone();
        (refused.status().as_u16(), headers, json_of(refused).await)
    };
    feed.set(json!({"limits": [{"calls": 1, "window_ms": 5_000}]}))
        .await;
    assert_eq!(feed.status("items").await, 200);
    feed.time.advance_ms(1_200);
    assert_eq!(feed.call("items").await.headers()["retry-after"], "4");
    let (status, headers, _) = set("retry_date").await;
    assert_eq!((status, headers.get_all("date").iter().count()), (429, 1));
    assert_eq!(headers["date"], "Thu, 01 Jan 1970 00:00:01 GMT");
    assert_eq!(headers["retry-after"], "Thu, 01 Jan 1970 00:00:05 GMT");
    let (status, headers, _) = set("reset").await;
    assert_eq!((status, headers.get("retry-after")), (429, None));
    assert_eq!(headers["x-rate-limit-remaining"], "0");
    assert_eq!(headers["x-rate-limit-reset"], "5");
    let (status, headers, _) = set("bare").await;
    assert_eq!((status, headers.get("retry-after")), (429, None));
    let (status, _, body) = set("code").await;
    assert_eq!((status, &body["code"]), (200, &json!(40_100)));
    let (status, _, body) = set("retry_delay").await;
    let path = "/error/details/0/errors/0/details/quotaErrorDetails/retryDelay";
    assert_eq!((status, body.pointer(path)), (429, Some(&json!("4s"))));
    let books = feed.referee("").await;
    assert_eq!(books["violations"], 6);
    assert_eq!(books["by_status"], json!({"200": 2, "429": 5}));

    // Usage is told of the first window, the refusal is the second one's.
    let limits = json!([{"calls": 9, "window_ms": 60_000}, {"calls": 1, "window_ms": 5_000}]);
    feed.set(json!({"limits": limits, "refusal": "reset", "tell": ["rate_limit"]}))
        .await;
    let refused = feed.call("items").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["x-rate-limit-limit"], "9");
    assert_eq!(refused.headers()["x-rate-limit-remaining"], "0");
    assert_eq!(refused.headers()["x-rate-limit-reset"], "5");
    feed.simulator.stop().await;
}

#[tokio::test]
async fn a_limit_can_be_halved_while_calls_run_and_usage_is_told_with_it() {
    let feed = Feed::start().await;
    let set = async |calls: u32, window_ms: u32| {
        feed.set(json!({
            "limits": [{"calls": calls, "window_ms": window_ms}],
            "tell": ["rate_limit", "app_usage", "business_usage", "account_usage"],
        }))
        .await;
    };
    set(8, 90_000).await;
    let told = feed.call("items").await;
    assert_eq!(told.headers()["x-rate-limit-limit"], "8");
    assert_eq!(told.headers()["x-rate-limit-remaining"], "7");
    assert_eq!(told.headers()["x-rate-limit-reset"], "90");
    let usage = |response: &Response, name: &str| -> Value {
        serde_json::from_slice(response.headers()[name].as_bytes()).unwrap()
    };
    assert_eq!(usage(&told, "x-app-usage")["call_count"], 12);
    for _ in 0..3 {
        assert_eq!(feed.status("items").await, 200);
    }
    set(4, 90_000).await;
    let refused = feed.call("items").await;
    assert_eq!(refused.status(), 429, "what was admitted still counts");
    let business = usage(&refused, "x-business-use-case-usage");
    assert_eq!(business["demo"][0]["call_count"], 100);
    assert_eq!(business["demo"][0]["estimated_time_to_regain_access"], 2);
    assert_eq!(business["another-account"][0]["call_count"], 100);
    let account = usage(&refused, "x-ad-account-usage");
    assert_eq!(account["reset_time_duration"], 90);
    set(4, 80_000).await;
    assert_eq!(feed.status("items").await, 200, "another window");
    feed.simulator.stop().await;
}

#[tokio::test]
async fn somebody_else_fills_the_window_but_not_the_books() {
    let feed = Feed::start().await;
    feed.set(json!({
        "limits": [{"calls": 10, "window_ms": 1_000}, {"at_once": 3}],
        "tell": ["rate_limit"],
    }))
    .await;
    let outside = async |body: Value| {
        feed.simulator
            .control(Method::POST, "/_control/feed/outside", &body.to_string())
            .await
    };
    let (status, answer) = outside(json!({"account": "demo", "calls": 8})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["windows"],
        json!([{"limit": {"calls": 10, "window_ms": 1_000}, "used": 8}])
    );
    let told = feed.call("items").await;
    assert_eq!(told.headers()["x-rate-limit-remaining"], "1");
    assert_eq!(feed.status("items").await, 200);
    assert_eq!(feed.status("items").await, 429);
    assert_eq!(feed.referee("").await["total"], 3);
    feed.time.advance_ms(1_000);
    assert_eq!(feed.status("items").await, 200);
    let (status, answer) = outside(json!({"account": "nobody", "calls": 8})).await;
    assert_eq!((status, &answer["field"]), (422, &json!("account")));
    assert_eq!(answer["allowed"], "demo");
    let (status, answer) = outside(json!({"account": "demo", "calls": 0})).await;
    assert_eq!((status, &answer["field"]), (422, &json!("calls")));
    feed.simulator.stop().await;
}

#[tokio::test]
async fn calls_in_flight_are_counted_until_answered_or_abandoned() {
    let feed = Feed::start().await;
    // Only the end of the test, or of a client, ends a call this slow.
    feed.set(json!({"limits": [{"at_once": 2}], "delay_ms": 3_600_000}))
        .await;
    let in_flight = async |calls: u64| {
        let mut tries = 0;
        while feed.referee("").await["in_flight"] != calls {
            tries += 1;
            assert!(tries < 1_000, "never {calls} in flight");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut first = Box::pin(feed.try_call("items"));
    let mut second = Box::pin(feed.try_call("items"));
    tokio::select! {
        _ = &mut first => panic!("the first was answered"),
        _ = &mut second => panic!("the second was answered"),
        () = in_flight(2) => {}
    }
    feed.set(json!({"limits": [{"at_once": 2}]})).await;
    let refused = feed.call("items").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    drop(first);
    in_flight(1).await;
    assert_eq!(feed.status("items").await, 200);
    drop(second);
    in_flight(0).await;
    let books = feed.referee("").await;
    assert_eq!(
        books["max_at_once"],
        json!({"calls": 3, "at_us": 0, "exact": true})
    );
    assert_eq!(
        books["by_status"],
        json!({"200": 1, "429": 1, "abandoned": 2})
    );
    let arrivals = feed.arrivals().await;
    assert_eq!(arrivals["arrivals"][0], json!([0, 1, "abandoned", 0]));
    feed.simulator.stop().await;
}

#[tokio::test]
async fn a_platform_that_is_down_answers_nobody() {
    let feed = Feed::start().await;
    feed.set(json!({"unavailable": "status"})).await;
    let down = feed.call("items").await;
    assert_eq!(down.status(), 503);
    assert_eq!(down.headers()["content-type"], "text/html");
    feed.set(json!({"unavailable": "reset"})).await;
    assert!(feed.try_call("items").await.is_err());
    feed.set(json!({})).await;
    assert_eq!(feed.status("items").await, 200);
    let books = feed.referee("").await;
    assert_eq!(books["by_status"]["503"], 1);
    assert_eq!(books["by_status"]["200"], 1);
    // The client may try again on a new connection when a kept one is reset.
    assert!(books["by_status"]["reset"].as_u64().unwrap() >= 1);
    assert_eq!(books["violations"], 0);
    feed.simulator.stop().await;
}
