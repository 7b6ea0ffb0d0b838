//! Budgets and circuits: what is shown of them, and how a pause of the platform is ended early.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use syncline_shared::db::budget::list_changes;
use syncline_shared::db::notify::{BUDGET_CHANGED, listen_on};
use tokio::sync::Notify;

use crate::draws::{fail, hourly, refuse, take, wait_for};
use crate::support::App;
use crate::work::start;

const KEY: &str = "shop/requests/a";

async fn budget(app: &App) -> Value {
    let page = app.get("/api/v1/budgets").await.expect(200);
    page["data"][0].clone()
}

#[tokio::test]
async fn a_budget_shows_what_of_each_window_is_used() {
    let app = App::start().await;
    take(&app, hourly("shop", "a"), 3).await;
    let shown = budget(&app).await;
    for (field, expected) in [
        ("key", json!(KEY)),
        ("platform", json!("shop")),
        ("name", json!("requests")),
        ("scope", json!("a")),
        ("paused_until", Value::Null),
        ("paused_because", Value::Null),
        ("granted", json!(3)),
        ("refused", json!(0)),
        ("limited", json!(0)),
        ("limited_at", Value::Null),
        ("waiting_runs", json!(0)),
    ] {
        assert_eq!(shown[field], expected, "{field}: {shown:#}");
    }
    assert!(shown["updated_at"].is_string());
    let windows = shown["windows"].as_array().unwrap();
    let of = |kind: &str| {
        windows
            .iter()
            .find(|window| window["kind"] == kind)
            .unwrap()
    };
    let (rolling, concurrent) = (of("rolling"), of("concurrent"));
    assert_eq!(
        (&rolling["per_seconds"], &rolling["time_zone"]),
        (&json!(3600.0), &Value::Null)
    );
    for (window, limit) in [(rolling, 10), (concurrent, 4)] {
        assert_eq!(
            (
                &window["limit"],
                &window["allowed"],
                &window["used"],
                &window["outside"]
            ),
            (&json!(limit), &json!(limit), &json!(3), &json!(0)),
            "{shown:#}"
        );
        assert!(window["refills_at"].is_string() && window["empty_at"].is_string());
    }
    assert_eq!(concurrent["per_seconds"], Value::Null);
}

#[tokio::test]
async fn budgets_are_paged_by_key_within_their_platform() {
    let app = App::start().await;
    for (platform, scope) in [
        ("shop", "b"),
        ("other", "a"),
        ("shop", "a/with/slashes"),
        ("shop", "c"),
    ] {
        take(&app, hourly(platform, scope), 1).await;
    }
    let mut keys = Vec::new();
    let mut path = "/api/v1/budgets?platform=shop&limit=2".to_owned();
    loop {
        let page = app.get(&path).await.expect(200);
        for budget in page["data"].as_array().unwrap() {
            keys.push(budget["key"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/budgets?platform=shop&limit=2&cursor={cursor}");
    }
    assert_eq!(
        keys,
        [
            "shop/requests/a/with/slashes",
            "shop/requests/b",
            "shop/requests/c"
        ]
    );
    let all = app.get("/api/v1/budgets").await.expect(200);
    assert_eq!(all["data"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn a_person_ends_a_pause_and_everybody_who_waits_goes_on() {
    let app = App::with_connection().await;
    take(&app, hourly("shop", "a"), 4).await;
    refuse(&app, &hourly("shop", "a")).await;
    start(&app, json!({"connection": "acme-shop"})).await;
    wait_for(&app, KEY).await;
    let paused = budget(&app).await;
    assert_eq!(
        (
            &paused["paused_because"],
            &paused["limited"],
            &paused["waiting_runs"]
        ),
        (&json!("HTTP 429 \"slow down\""), &json!(1), &json!(1))
    );
    assert!(paused["paused_until"].is_string() && paused["limited_at"].is_string());
    let allowed = |shown: &Value| {
        let windows = shown["windows"].as_array().unwrap();
        let rolling = windows.iter().find(|window| window["kind"] == "rolling");
        rolling.unwrap()["allowed"].as_i64().unwrap()
    };
    assert!(allowed(&paused) < 10, "{paused:#}");
    let status = app.get("/api/v1/scheduler/status").await.expect(200);
    assert_eq!(status["counts"]["budgets_paused"], 1);

    let woken = Arc::new(Notify::new());
    let heard = listen_on(
        app.database.clone(),
        BUDGET_CHANGED,
        woken.clone(),
        app.life.clone(),
    );
    app.life.spawn("listening", heard);
    // The first wake-up is that of the connection.
    woken.notified().await;
    let mut db = app.database.session().await.unwrap();
    let before = syncline_shared::db::now(&mut db).await.unwrap();
    let input = json!({"key": KEY});
    app.ask("viewer", "POST", "/api/v1/budgets/resume", Some(&input))
        .await
        .problems(403);
    let resumed = app.post("/api/v1/budgets/resume", &input).await.expect(200);
    assert_eq!(resumed, json!({"key": KEY, "runs": 1}));
    tokio::time::timeout(Duration::from_mins(1), woken.notified())
        .await
        .expect("a wake-up for workers");
    let changes = list_changes(&mut db, before).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].key.as_str(), changes[0].is_circuit),
        (KEY, false)
    );

    let open = budget(&app).await;
    assert_eq!(
        (&open["paused_until"], &open["paused_because"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!((allowed(&open), &open["granted"]), (10, &json!(4)));
    assert_eq!(open["windows"][1]["used"], 4, "what was sent still counts");
    let status = app.get("/api/v1/scheduler/status").await.expect(200);
    assert_eq!(status["counts"]["budgets_paused"], 0);
    let due: bool = sqlx::query_scalar("select due_at <= syncline.now() from syncline.run")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert!(due);
}

#[tokio::test]
async fn only_a_budget_that_is_there_can_be_resumed() {
    let app = App::start().await;
    let path = "/api/v1/budgets/resume";
    let unknown = app.post(path, &json!({"key": "shop/requests/z"})).await;
    unknown.problems(404);
    assert!(
        unknown.text.contains("shop/requests/z") && unknown.text.contains("GET /api/v1/budgets"),
        "{}",
        unknown.text
    );
    for (body, pointers) in [
        (json!({}), vec!["/key"]),
        (json!({"key": 7, "all": true}), vec!["/key", "/all"]),
        (json!([]), vec![""]),
    ] {
        let problems = app.post(path, &body).await.problems(422);
        let found: Vec<_> = problems
            .iter()
            .map(|(pointer, _)| pointer.as_str())
            .collect();
        assert_eq!(found, pointers, "{body}");
    }
}

#[tokio::test]
async fn hosts_that_fail_are_listed_until_they_answer() {
    let app = App::start().await;
    fail(&app, "shop/api.shop.example:443", "shop").await;
    let page = app.get("/api/v1/circuits").await.expect(200);
    assert_eq!(
        (&page["has_more"], &page["next_cursor"]),
        (&json!(false), &Value::Null)
    );
    let shown = &page["data"][0];
    for (field, expected) in [
        ("key", json!("shop/api.shop.example:443")),
        ("platform", json!("shop")),
        ("failures", json!(5)),
        ("is_probing", json!(false)),
        ("because", json!("HTTP 503")),
    ] {
        assert_eq!(shown[field], expected, "{field}: {shown:#}");
    }
    assert!(shown["open_until"].is_string() && shown["failed_at"].is_string());
}

#[tokio::test]
async fn metrics_tell_of_budgets_and_circuits() {
    let app = App::start().await;
    let none = app.ask("", "GET", "/metrics", None).await.text;
    assert!(
        none.contains("# TYPE syncline_budget_saturation gauge"),
        "{none}"
    );
    // What was read of budgets is shown for a while.
    app.clock.forward(chrono::Duration::seconds(10));
    take(&app, hourly("shop", "a"), 1).await;
    take(&app, hourly("shop", "b"), 2).await;
    refuse(&app, &hourly("shop", "b")).await;
    fail(&app, "shop/h:443", "shop").await;
    let text = app.ask("", "GET", "/metrics", None).await.text;
    for line in [
        "syncline_circuits_open{platform=\"shop\"} 1",
        "syncline_budgets_paused 1",
        "syncline_budget_keys{platform=\"shop\",budget=\"requests\"} 2",
        "syncline_budget_permits_granted_total{platform=\"shop\",budget=\"requests\"} 3",
        "syncline_budget_refusals_total{platform=\"shop\",budget=\"requests\"} 0",
        "syncline_budget_limited_total{platform=\"shop\",budget=\"requests\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    // Two points are used of the one that the refusal has left.
    let saturation = text
        .lines()
        .find_map(|line| {
            line.strip_prefix("syncline_budget_saturation{platform=\"shop\",budget=\"requests\"} ")
        })
        .and_then(|number| number.parse::<f64>().ok());
    assert!(saturation.is_some_and(|part| part >= 1.0), "{text}");
}
