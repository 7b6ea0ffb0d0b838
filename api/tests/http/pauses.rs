//! Pauses: what rests, what goes on, and who says so.

use serde_json::{Value, json};

use crate::support::App;
use crate::work::{claim_one, start};

async fn run_of(app: &App, run: &Value) -> Value {
    let id = run["id"].as_str().unwrap();
    app.get(&format!("/api/v1/runs/{id}")).await.expect(200)
}

#[tokio::test]
async fn what_is_paused_waits_and_says_for_whom_until_it_is_resumed() {
    let app = App::with_connection().await;
    for (path, scope, target, words) in [
        (
            "",
            "everything",
            Value::Null,
            "everything is paused by operator: stocktaking",
        ),
        (
            "/platforms/shop",
            "platform",
            json!("shop"),
            "platform shop is paused by operator: stocktaking",
        ),
        (
            "/businesses/acme",
            "business",
            json!("acme"),
            "its business is paused by operator: stocktaking",
        ),
        (
            "/connections/acme-shop",
            "connection",
            json!("acme-shop"),
            "its connection is paused by operator: stocktaking",
        ),
    ] {
        let before = start(&app, json!({"connection": "acme-shop"})).await;
        let note = json!({"note": "stocktaking"});
        let change = app
            .post(&format!("/api/v1{path}/pause"), &note)
            .await
            .expect(200);
        assert_eq!(
            change,
            json!({"paused": true, "changed": true, "runs": 1}),
            "{path}"
        );
        let after = start(&app, json!({"connection": "acme-shop"})).await;
        for run in [&before, &after] {
            let shown = run_of(&app, run).await;
            assert_eq!(
                (
                    &shown["status"],
                    &shown["why"]["code"],
                    &shown["why"]["text"]
                ),
                (&json!("waiting"), &json!("pause"), &json!(words))
            );
        }
        let listed = app.get("/api/v1/pauses").await.expect(200);
        let pause = &listed["data"][0];
        assert_eq!(listed["data"].as_array().unwrap().len(), 1);
        assert_eq!(
            (
                &pause["scope"],
                &pause["target"],
                &pause["cause"],
                &pause["note"],
                &pause["paused_by"]
            ),
            (
                &json!(scope),
                &target,
                &json!("person"),
                &json!("stocktaking"),
                &json!("operator")
            )
        );
        let again = app
            .ask("admin", "POST", &format!("/api/v1{path}/pause"), None)
            .await;
        assert_eq!(again.expect(200)["changed"], false);
        let listed = app.get("/api/v1/pauses").await.expect(200);
        assert_eq!(listed["data"][0]["paused_by"], "operator");

        let resume = format!("/api/v1{path}/resume");
        let change = app.ask("operator", "POST", &resume, None).await.expect(200);
        assert_eq!(
            change,
            json!({"paused": false, "changed": true, "runs": 2}),
            "{path}"
        );
        let again = app.ask("operator", "POST", &resume, None).await.expect(200);
        assert_eq!(again, json!({"paused": false, "changed": false, "runs": 0}));
        assert_eq!(run_of(&app, &before).await["status"], "queued");
        for run in [&before, &after] {
            let id = run["id"].as_str().unwrap();
            app.post(&format!("/api/v1/runs/{id}/cancel"), &json!({}))
                .await
                .expect(200);
        }
    }
}

#[tokio::test]
async fn a_pause_of_its_own_outlives_a_wider_one() {
    let app = App::with_connection().await;
    let run = start(&app, json!({"connection": "acme-shop"})).await;
    for path in ["pause", "connections/acme-shop/pause"] {
        app.post(&format!("/api/v1/{path}"), &json!({}))
            .await
            .expect(200);
    }
    let freed = app.post("/api/v1/resume", &json!({})).await.expect(200);
    assert_eq!(freed["runs"], 0);
    let listed = app.get("/api/v1/runs").await.expect(200);
    for shown in [&run_of(&app, &run).await, &listed["data"][0]] {
        assert_eq!(shown["status"], "waiting");
        assert_eq!(shown["why"]["text"], "its connection is paused by operator");
    }
    app.post("/api/v1/connections/acme-shop/resume", &json!({}))
        .await
        .expect(200);
    assert_eq!(run_of(&app, &run).await["status"], "queued");
}

#[tokio::test]
async fn more_runs_than_one_transaction_takes_are_held_and_freed() {
    let app = App::with_connection().await;
    start(&app, json!({"connection": "acme-shop"})).await;
    sqlx::query(
        "insert into syncline.run
             (id, queue, state, batch_id, connection_id, business_id, platform, origin, kind, priority, fair_turn, due_at)
         select syncline.new_run_id(), queue, 'blocked', batch_id, connection_id, business_id, platform, origin, kind,
                priority, fair_turn + n, due_at
         from syncline.run, generate_series(1, 2499) n",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let held = app
        .post("/api/v1/platforms/shop/pause", &json!({}))
        .await
        .expect(200);
    assert_eq!(held["runs"], 2500);
    let freed = app
        .post("/api/v1/platforms/shop/resume", &json!({}))
        .await
        .expect(200);
    assert_eq!(freed["runs"], 2500);
    let claimed = claim_one(&app).await;
    assert_eq!(claimed.attempt, 1);
}

#[tokio::test]
async fn what_is_unknown_is_not_paused_and_viewers_pause_nothing() {
    let app = App::with_connection().await;
    let answer = app.post("/api/v1/platforms/shoop/pause", &json!({})).await;
    answer.problems(404);
    assert!(answer.text.contains("known: shop"), "{}", answer.text);
    for path in [
        "platforms/shoop/resume",
        "businesses/nobody/pause",
        "businesses/nobody/resume",
        "connections/nobody/pause",
        "connections/00000000-0000-4000-8000-000000000000/resume",
    ] {
        app.post(&format!("/api/v1/{path}"), &json!({}))
            .await
            .problems(404);
    }
    for path in [
        "pause",
        "resume",
        "connections/acme-shop/pause",
        "platforms/shop/resume",
    ] {
        let path = format!("/api/v1/{path}");
        app.ask("viewer", "POST", &path, Some(&json!({})))
            .await
            .problems(403);
        let problems = app
            .post(&path, &json!({"until": "tomorrow"}))
            .await
            .problems(422);
        assert_eq!(problems[0].0, "/until");
    }
    let listed = app.get("/api/v1/pauses").await.expect(200);
    assert_eq!(listed["data"], json!([]));
}

#[tokio::test]
async fn the_pause_of_what_was_deleted_can_be_lifted_by_its_id() {
    let app = App::with_connection().await;
    app.post("/api/v1/connections/acme-shop/pause", &json!({}))
        .await
        .expect(200);
    sqlx::query("delete from syncline.connection")
        .execute(&app.pool)
        .await
        .unwrap();
    let listed = app.get("/api/v1/pauses").await.expect(200);
    let id = listed["data"][0]["target"].as_str().unwrap().to_owned();
    let change = app
        .post(&format!("/api/v1/connections/{id}/resume"), &json!({}))
        .await
        .expect(200);
    assert_eq!(change["changed"], true);
}
