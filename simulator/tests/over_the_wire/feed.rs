//! The simulated feed over real sockets: pages by token, tokens that die, credentials, limits.

use std::sync::Arc;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use syncline_simulator::FeedAccount;

use crate::support::{ManualTime, Simulator};

const SETTINGS: &str = "/_control/feed/settings";

async fn call(simulator: &Simulator, query: &str) -> Response {
    let url = simulator.url(&format!("/feed/v1/items?{query}"));
    let call = simulator.client.get(url);
    call.bearer_auth(FeedAccount::demo().token)
        .send()
        .await
        .unwrap()
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn page(simulator: &Simulator, query: &str) -> Value {
    let response = call(simulator, query).await;
    assert_eq!(response.status(), 200, "{query}");
    json_of(response).await
}

async fn set(simulator: &Simulator, settings: &Value) {
    let (status, answer) = simulator
        .control(Method::PUT, SETTINGS, &settings.to_string())
        .await;
    assert_eq!((status, &answer), (200, settings));
}

async fn truth(simulator: &Simulator) -> Vec<Value> {
    let url = simulator.url("/_control/feed/truth");
    let text = simulator.client.get(url).send().await.unwrap();
    let text = text.text().await.unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn settings(items: u32, page_size: u32, limit: &Value, token_ttl_ms: &Value) -> Value {
    json!({"items": items, "page_size": page_size, "limit": limit, "token_ttl_ms": token_ttl_ms})
}

#[tokio::test]
async fn a_list_read_by_its_tokens_is_the_truth() {
    let simulator = Simulator::small().await;
    set(&simulator, &settings(25, 10, &Value::Null, &Value::Null)).await;
    let (mut rows, mut sizes, mut query) = (Vec::new(), Vec::new(), String::new());
    loop {
        let answer = page(&simulator, &query).await;
        let items = answer["items"].as_array().unwrap();
        sizes.push(items.len());
        rows.extend(items.iter().cloned());
        let Some(token) = answer.get("next_page_token") else {
            break;
        };
        query = format!("page_token={}", token.as_str().unwrap());
    }
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(rows, truth(&simulator).await);
    assert_eq!(
        page(&simulator, "page_size=25").await,
        json!({"items": rows}),
        "a last page that is full names no further one"
    );
    set(&simulator, &settings(0, 10, &Value::Null, &Value::Null)).await;
    assert_eq!(page(&simulator, "").await, json!({"items": []}));
    simulator.stop().await;
}

#[tokio::test]
async fn refusals_carry_status_and_code_and_are_booked_by_account() {
    let simulator = Simulator::small().await;
    let url = simulator.url("/feed/v1/items");
    let missing = simulator.client.get(&url).send().await.unwrap();
    let wrong = simulator.client.get(&url).bearer_auth("guess").send();
    let expected = [
        (missing, 401, "UNAUTHENTICATED"),
        (wrong.await.unwrap(), 401, "UNAUTHENTICATED"),
        (
            call(&simulator, "page_size=0").await,
            400,
            "INVALID_ARGUMENT",
        ),
        (
            call(&simulator, "page_token=F00").await,
            400,
            "INVALID_PAGE_TOKEN",
        ),
    ];
    for (response, status, code) in expected {
        assert_eq!(response.status(), status);
        let body = json_of(response).await;
        assert_eq!(body["error"]["code"], code, "{body}");
        assert!(body["error"]["message"].is_string(), "{body}");
    }
    let (_, referee) = simulator
        .control(Method::GET, "/_control/referee", "")
        .await;
    let total = |key: &str| referee["keys"][key]["total"].clone();
    assert_eq!(total("feed/(no credentials)"), 1);
    assert_eq!(total("feed/(unknown token)"), 1);
    assert_eq!(total("feed/demo"), 2);
    simulator.stop().await;
}

#[tokio::test]
async fn a_page_token_lives_for_as_long_as_it_was_given() {
    let time = Arc::new(ManualTime::default());
    let simulator = Simulator::small_with_clock(Arc::clone(&time) as _).await;
    set(&simulator, &settings(50, 10, &Value::Null, &json!(2_000))).await;
    let token = async |query: &str| {
        let answer = page(&simulator, query).await;
        answer["next_page_token"].as_str().unwrap().to_owned()
    };
    let short = format!("page_token={}", token("").await);
    time.advance_ms(1_999);
    let second = token(&short).await;
    time.advance_ms(1);
    let refused = call(&simulator, &short).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(
        json_of(refused).await["error"]["code"],
        "INVALID_PAGE_TOKEN"
    );
    token(&format!("page_token={second}")).await;

    set(&simulator, &settings(50, 10, &Value::Null, &Value::Null)).await;
    time.advance_ms(2_000);
    let second = call(&simulator, &format!("page_token={second}")).await;
    assert_eq!(second.status(), 400, "new settings revive no token");
    let lasting = format!("page_token={}", token("").await);
    time.advance_ms(86_400_000);
    page(&simulator, &lasting).await;
    simulator.stop().await;
}

#[tokio::test]
async fn a_call_over_the_limit_is_told_to_come_back_after_the_window() {
    let time = Arc::new(ManualTime::default());
    let simulator = Simulator::small_with_clock(Arc::clone(&time) as _).await;
    let limit = json!({"calls": 2, "window_ms": 1_500});
    set(&simulator, &settings(50, 10, &limit, &Value::Null)).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let response = call(&simulator, "").await;
        statuses.push(response.status().as_u16());
        if response.status() == 429 {
            assert_eq!(response.headers()["retry-after"], "2");
            assert_eq!(json_of(response).await["error"]["code"], "RATE_LIMITED");
        }
    }
    assert_eq!(statuses, [200, 200, 429]);
    time.advance_ms(1_500);
    page(&simulator, "").await;
    let (_, referee) = simulator
        .control(Method::GET, "/_control/referee?key=feed/demo", "")
        .await;
    assert_eq!(referee["by_status"], json!({"200": 3, "429": 1}));
    assert_eq!(referee["violations"], 1);
    let (status, answer) = simulator
        .control(Method::PUT, SETTINGS, r#"{"items": 5}"#)
        .await;
    assert_eq!((status, &answer["field"]), (422, &json!("page_size")));
    simulator.stop().await;
}
