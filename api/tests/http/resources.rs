//! Businesses, connections and schedules.

use serde_json::{Value, json};
use sqlx::Row;

use crate::support::{App, connection};

fn named(problems: &[(String, String)]) -> Vec<(&str, &str)> {
    problems
        .iter()
        .map(|(pointer, code)| (pointer.as_str(), code.as_str()))
        .collect()
}

#[tokio::test]
async fn a_business_is_found_by_id_and_by_key() {
    let app = App::start().await;
    let input = json!({"key": "acme", "name": "Acme Ltd"});
    let answer = app.post("/api/v1/businesses", &input).await;
    let made = answer.expect(201);
    let by_id = app.get(answer.header("location")).await.expect(200);
    assert_eq!(by_id, made);
    assert_eq!(app.get("/api/v1/businesses/acme").await.expect(200), made);
    app.get("/api/v1/businesses/nobody").await.problems(404);
    let taken = app.post("/api/v1/businesses", &input).await.problems(409);
    assert_eq!(named(&taken), [("/key", "taken")]);
}

#[tokio::test]
async fn lists_page_to_their_end_without_gaps() {
    let app = App::start().await;
    for key in ["e", "a", "d", "b", "c"] {
        app.post("/api/v1/businesses", &json!({"key": key}))
            .await
            .expect(201);
    }
    let mut keys = Vec::new();
    let mut path = "/api/v1/businesses?limit=2".to_owned();
    loop {
        let page = app.get(&path).await.expect(200);
        for entry in page["data"].as_array().unwrap() {
            keys.push(entry["key"].as_str().unwrap().to_owned());
        }
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/businesses?limit=2&cursor={cursor}");
    }
    assert_eq!(keys, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let app = App::start().await;
    app.post("/api/v1/businesses", &json!({"key": "acme"}))
        .await
        .expect(201);
    let answer = app
        .post("/api/v1/connections", &connection("acme-shop"))
        .await;
    let made = answer.expect(201);
    assert_eq!(made["config"]["client_id"], "id-1");
    assert_eq!(made["config"]["client_secret"]["set"], true);
    assert!(made["config"]["client_secret"]["set_at"].is_string());
    assert_eq!(made["config"]["proxy"]["host"], "h");
    assert_eq!(made["config"]["proxy"]["token"]["set"], true);
    for path in ["/api/v1/connections", "/api/v1/connections/acme-shop"] {
        let shown = app.get(path).await;
        shown.expect(200);
        assert!(
            !shown.text.contains("hunter2") && shown.text.contains("set_at"),
            "{}",
            shown.text
        );
    }
    let row = sqlx::query("select config::text, credentials from syncline.connection")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert!(!row.get::<String, _>(0).contains("hunter2"));
    let sealed: Vec<u8> = row.get(1);
    assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
}

#[tokio::test]
async fn every_problem_of_a_connection_is_told_at_once() {
    let app = App::start().await;
    let input = json!({
        "key": "Bad Key", "business": "nobody", "platform": "shop", "base_url": "ftp://host",
        "config": {"client_id": 7, "colour": "red"}, "streams": ["products", "carts"],
        "limits": {"calls": {"limit": 1, "per_seconds": 1}}, "extra": 1,
    });
    let answer = app.post("/api/v1/connections", &input).await;
    let problems = answer.problems(422);
    let pointers: Vec<_> = problems
        .iter()
        .map(|(pointer, _)| pointer.as_str())
        .collect();
    for expected in [
        "/key",
        "/business",
        "/base_url",
        "/config/client_id",
        "/config/client_secret",
        "/streams/1",
        "/limits/calls",
        "/extra",
    ] {
        assert!(
            pointers.contains(&expected),
            "{expected} is missing in {pointers:?}"
        );
    }
    let stored: i64 = sqlx::query_scalar("select count(*) from syncline.connection")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn an_unknown_platform_is_named_beside_the_known_ones() {
    let app = App::start().await;
    app.post("/api/v1/businesses", &json!({"key": "acme"}))
        .await
        .expect(201);
    let mut input = connection("a");
    input["platform"] = json!("myspace");
    let answer = app.post("/api/v1/connections", &input).await;
    assert_eq!(
        named(&answer.problems(422)),
        [("/platform", "unknown-platform")]
    );
    let detail = answer.json()["errors"][0]["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        detail.contains("myspace") && detail.contains("known: shop"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_secret_as_it_is_shown_is_not_taken_for_the_secret() {
    let app = App::with_connection().await;
    let shown = app.get("/api/v1/connections/acme-shop").await.expect(200);
    let mut input = connection("copy");
    input["config"] = shown["config"].clone();
    let problems = app.post("/api/v1/connections", &input).await.problems(422);
    assert!(
        problems
            .iter()
            .any(|(pointer, code)| pointer == "/config/client_secret" && code == "secret")
    );
}

#[tokio::test]
async fn connections_are_filtered_by_business_and_platform() {
    let app = App::with_connection().await;
    app.post("/api/v1/businesses", &json!({"key": "beta"}))
        .await
        .expect(201);
    let mut other = connection("beta-shop");
    other["business"] = json!("beta");
    app.post("/api/v1/connections", &other).await.expect(201);
    let keys = async |query: &str| -> Vec<Value> {
        let page = app
            .get(&format!("/api/v1/connections?{query}"))
            .await
            .expect(200);
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["key"].clone())
            .collect()
    };
    assert_eq!(keys("business=beta").await, ["beta-shop"]);
    assert_eq!(keys("platform=shop").await, ["acme-shop", "beta-shop"]);
    assert!(keys("platform=other").await.is_empty());
    app.get("/api/v1/connections?business=nobody")
        .await
        .problems(404);
}

#[tokio::test]
async fn a_schedule_is_due_first_at_its_next_moment() {
    let app = App::with_connection().await;
    let input = json!({
        "key": "daily", "cron": "30 2 * * *", "zone": "Europe/Berlin",
        "target": {"connection": "acme-shop"}, "streams": ["products"], "kind": "full",
    });
    let answer = app.post("/api/v1/schedules", &input).await;
    let made = answer.expect(201);
    assert_eq!(made["target"], json!({"connection": "acme-shop"}));
    let due: bool = sqlx::query_scalar(
        "select next_at > now() and next_at <= now() + interval '25 hours'
                and to_char(next_at at time zone 'Europe/Berlin', 'HH24:MI') = '02:30'
         from syncline.schedule",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert!(due, "{made}");
    let shown = app.get("/api/v1/schedules/daily").await.expect(200);
    assert_eq!(shown["ticks"], json!([]));
    assert_eq!(shown["next_at"], made["next_at"]);
    let taken = app.post("/api/v1/schedules", &input).await.problems(409);
    assert_eq!(named(&taken), [("/key", "taken")]);
}

#[tokio::test]
async fn a_disabled_schedule_is_never_due() {
    let app = App::start().await;
    let input =
        json!({"key": "off", "every_seconds": 60, "target": "everything", "enabled": false});
    let made = app.post("/api/v1/schedules", &input).await.expect(201);
    assert_eq!(made["next_at"], Value::Null);
    assert!(made["anchor"].is_string());
}

#[tokio::test]
async fn every_problem_of_a_schedule_is_told_at_once() {
    let app = App::with_connection().await;
    let input = json!({
        "key": "bad", "cron": "61 * * * *", "zone": "Mars/Olympus", "priority": 101, "kind": "page",
        "target": {"connection": "acme-shop"}, "streams": ["carts"],
    });
    let problems = app.post("/api/v1/schedules", &input).await.problems(422);
    assert_eq!(
        named(&problems),
        [
            ("/zone", "zone"),
            ("/cron", "cron"),
            ("/page", "required"),
            ("/priority", "range"),
            ("/streams/0", "unknown-stream"),
        ]
    );
    for (target, pointer) in [
        (json!({"connection": "nobody"}), "/target/connection"),
        (json!({"business": "nobody"}), "/target/business"),
        (json!({"platform": "myspace"}), "/target/platform"),
    ] {
        let input = json!({"key": "bad", "cron": "@hourly", "target": target});
        let problems = app.post("/api/v1/schedules", &input).await.problems(422);
        assert_eq!(problems[0].0, pointer);
    }
}

#[tokio::test]
async fn a_preview_shows_the_ticks_in_both_zones_and_saves_nothing() {
    let app = App::start().await;
    let input = json!({"cron": "0 12 * * *", "zone": "Asia/Kathmandu", "count": 3});
    let preview = app
        .ask("viewer", "POST", "/api/v1/schedules/preview", Some(&input))
        .await
        .expect(200);
    let ticks = preview["ticks"].as_array().unwrap();
    assert_eq!(ticks.len(), 3);
    for tick in ticks {
        assert!(
            tick["at"].as_str().unwrap().ends_with("T06:15:00Z"),
            "{tick}"
        );
        assert!(
            tick["local"].as_str().unwrap().ends_with("T12:00:00+05:45"),
            "{tick}"
        );
    }
    let problems = app
        .post(
            "/api/v1/schedules/preview",
            &json!({"cron": "never", "count": 0}),
        )
        .await
        .problems(422);
    assert_eq!(named(&problems), [("/cron", "cron"), ("/count", "range")]);
    assert_eq!(
        app.get("/api/v1/schedules").await.expect(200)["data"],
        json!([])
    );
}

#[tokio::test]
async fn a_business_has_a_weight_that_can_be_changed() {
    let app = App::start().await;
    let address = "/api/v1/businesses/acme";
    let made = app
        .post("/api/v1/businesses", &json!({"key": "acme", "weight": 5}))
        .await
        .expect(201);
    assert_eq!(
        (&made["name"], &made["weight"]),
        (&json!("acme"), &json!(5))
    );
    let plain = app
        .post("/api/v1/businesses", &json!({"key": "beta"}))
        .await
        .expect(201);
    assert_eq!(plain["weight"], 1);
    let patch = async |role: &str, body: Value| app.ask(role, "PATCH", address, Some(&body)).await;
    let changed = patch("operator", json!({"weight": 100})).await.expect(200);
    assert_eq!(
        (&changed["name"], &changed["weight"]),
        (&json!("acme"), &json!(100))
    );
    let changed = patch("operator", json!({"name": "Acme Ltd"}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["name"], &changed["weight"]),
        (&json!("Acme Ltd"), &json!(100))
    );
    assert_eq!(app.get(address).await.expect(200)["weight"], 100);
    patch("viewer", json!({"weight": 2})).await.problems(403);
    let refused = patch("operator", json!({"weight": 0, "name": "", "key": "b"}));
    assert_eq!(
        named(&refused.await.problems(422)),
        [
            ("/name", "length"),
            ("/weight", "range"),
            ("/key", "unknown-field")
        ]
    );
    let unknown = json!({"weight": 2});
    app.ask(
        "operator",
        "PATCH",
        "/api/v1/businesses/nobody",
        Some(&unknown),
    )
    .await
    .problems(404);
}

#[tokio::test]
async fn limits_of_a_connection_have_one_window_or_several() {
    let app = App::start().await;
    app.post("/api/v1/businesses", &json!({"key": "acme"}))
        .await
        .expect(201);
    for (key, limit) in [
        ("one", json!({"limit": 100, "per_seconds": 1})),
        ("half", json!({"limit": 100, "per_seconds": 0.5})),
        (
            "several",
            json!({"windows": [{"limit": 5, "per": "month"}, {"limit": 2, "at_once": true}], "manual_reserve_percent": 0}),
        ),
        ("none", json!({"windows": []})),
    ] {
        let mut input = connection(key);
        input["limits"] = json!({"requests": limit});
        let made = app.post("/api/v1/connections", &input).await.expect(201);
        assert_eq!(made["limits"], json!({"requests": limit}));
    }
    let mut input = connection("wrong");
    input["limits"] =
        json!({"requests": {"windows": [{"limit": 1, "per": "day", "time_zone": "Berlin"}]}});
    assert_eq!(
        named(&app.post("/api/v1/connections", &input).await.problems(422)),
        [("/limits/requests/windows/0/time_zone", "zone")]
    );
}
