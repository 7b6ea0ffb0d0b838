//! Platforms: their retry policy and limits, and whether they rest.

use serde_json::json;

use crate::support::App;

#[tokio::test]
async fn a_platform_has_the_defaults_until_somebody_changes_them() {
    let app = App::start().await;
    let shown = app.get("/api/v1/platforms/shop").await.expect(200);
    assert_eq!(shown["streams"], json!(["products", "orders", "visits"]));
    assert_eq!(
        (&shown["retry"], &shown["paused"]),
        (&json!({}), &json!(false))
    );
    assert_eq!(
        shown["effective_retry"],
        json!({"base_seconds": 5.0, "factor": 2.0, "cap_seconds": 600.0, "jitter": 1.0, "max_failures": 8})
    );

    let input = json!({"retry": {"base_seconds": 60, "max_failures": 3}});
    let changed = app
        .ask("operator", "PUT", "/api/v1/platforms/shop", Some(&input))
        .await
        .expect(200);
    assert_eq!(
        changed["retry"],
        json!({"base_seconds": 60.0, "max_failures": 3})
    );
    assert_eq!(changed["effective_retry"]["max_failures"], 3);
    app.post("/api/v1/platforms/shop/pause", &json!({}))
        .await
        .expect(200);
    let listed = app.get("/api/v1/platforms").await.expect(200);
    let listed = &listed["data"][0];
    assert_eq!(listed["retry"], changed["retry"]);
    assert_eq!(
        (
            &listed["name"],
            &listed["paused"],
            &listed["pause"]["paused_by"]
        ),
        (&json!("shop"), &json!(true), &json!("operator"))
    );

    let reset = json!({"retry": {}});
    let changed = app
        .ask("operator", "PUT", "/api/v1/platforms/shop", Some(&reset))
        .await
        .expect(200);
    assert_eq!(changed["retry"], json!({}));
}

#[tokio::test]
async fn policies_that_cannot_be_accepted_are_refused_whole() {
    let app = App::start().await;
    let put = async |role: &str, name: &str, body: serde_json::Value| {
        let path = format!("/api/v1/platforms/{name}");
        app.ask(role, "PUT", &path, Some(&body)).await
    };
    put("viewer", "shop", json!({"retry": {}}))
        .await
        .problems(403);
    let unknown = put("operator", "shoop", json!({"retry": {}})).await;
    unknown.problems(404);
    assert!(unknown.text.contains("known: shop"), "{}", unknown.text);
    app.get("/api/v1/platforms/shoop").await.problems(404);
    for (body, pointers) in [
        (json!({}), vec!["/retry"]),
        (
            json!({"retry": {"factor": 0.5, "max_failures": 0}}),
            vec!["/retry/factor", "/retry/max_failures"],
        ),
        (json!({"retry": {"faktor": 2}}), vec!["/retry"]),
        (json!({"retry": {}, "paused": true}), vec!["/paused"]),
        (
            json!({"limits": {"calls": {"limit": 1, "per_seconds": 1}, "requests": {"limit": 1}}}),
            vec!["/limits/requests/per_seconds", "/limits/calls", "/retry"],
        ),
    ] {
        let problems = put("operator", "shop", body.clone()).await.problems(422);
        let found: Vec<_> = problems
            .iter()
            .map(|(pointer, _)| pointer.as_str())
            .collect();
        assert_eq!(found, pointers, "{body}");
    }
}

#[tokio::test]
async fn limits_of_a_platform_are_kept_until_they_are_replaced() {
    let app = App::start().await;
    let put = async |body: serde_json::Value| {
        app.ask("operator", "PUT", "/api/v1/platforms/shop", Some(&body))
            .await
            .expect(200)
    };
    let shown = app.get("/api/v1/platforms/shop").await.expect(200);
    assert_eq!(shown["limits"], json!({}));
    let limits = json!({"requests": {
        "windows": [
            {"limit": 10, "per_seconds": 0.5},
            {"limit": 15_000, "per": "day", "time_zone": "Europe/Berlin"},
            {"limit": 4, "at_once": true},
        ],
        "manual_reserve_percent": 10,
    }});
    let set = put(json!({"retry": {}, "limits": limits})).await;
    assert_eq!(set["limits"], limits);
    let kept = put(json!({"retry": {"max_failures": 3}})).await;
    assert_eq!(
        (&kept["limits"], &kept["retry"]["max_failures"]),
        (&limits, &json!(3))
    );
    let listed = app.get("/api/v1/platforms").await.expect(200);
    assert_eq!(listed["data"][0]["limits"], limits);
    let none = put(json!({"retry": {}, "limits": {"requests": {"windows": []}}})).await;
    assert_eq!(none["limits"], json!({"requests": {"windows": []}}));
    let removed = put(json!({"retry": {}, "limits": {}})).await;
    assert_eq!(removed["limits"], json!({}));
}
