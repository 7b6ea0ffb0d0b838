//! Inbound triggers: an address that is a secret.

use serde_json::{Value, json};

use crate::support::App;

async fn schedule(app: &App) -> Value {
    app.get("/api/v1/schedules/a").await.expect(200)
}

async fn with_trigger(debounce: i64) -> (App, String) {
    let app = App::with_connection().await;
    let input = json!({
        "key": "a", "trigger": "manual", "target": "everything", "inbound_trigger": {"debounce_seconds": debounce},
    });
    app.post("/api/v1/schedules", &input).await.expect(201);
    let made = app
        .ask(
            "operator",
            "POST",
            "/api/v1/schedules/a/inbound-trigger",
            None,
        )
        .await
        .expect(201);
    assert_eq!(
        (&made["replaced"], &made["debounce_seconds"]),
        (&json!(false), &json!(debounce))
    );
    let path = made["path"].as_str().unwrap().to_owned();
    (app, path)
}

#[tokio::test]
async fn a_call_needs_nothing_but_the_address_and_calls_within_the_debounce_time_are_one() {
    let (app, path) = with_trigger(60).await;
    assert_eq!(schedule(&app).await["due_at"], Value::Null);
    let first = app.ask("", "POST", &path, None).await.expect(202);
    let second = app
        .ask("", "POST", &path, Some(&json!({"anything": [1]})))
        .await
        .expect(202);
    assert_eq!(first["due_at"], second["due_at"]);
    let shown = schedule(&app).await;
    assert_eq!(
        (&shown["due_at"], &shown["inbound_trigger"]["due_at"]),
        (&first["due_at"], &first["due_at"])
    );
    assert!(shown["inbound_trigger"]["called_at"].is_string());
    // A change of the configuration does not lose the call.
    let change = json!({"priority": 3});
    let changed = app
        .ask("operator", "PATCH", "/api/v1/schedules/a", Some(&change))
        .await
        .expect(200);
    assert_eq!(changed["due_at"], first["due_at"]);
    app.post("/api/v1/schedules/a/pause", &json!({}))
        .await
        .expect(200);
    let resting = app.ask("", "POST", &path, None).await.expect(200);
    assert_eq!(resting, json!({"due_at": null}));
}

#[tokio::test]
async fn the_secret_is_shown_once_and_stored_nowhere() {
    let (app, path) = with_trigger(0).await;
    let secret = path.rsplit('/').next().unwrap();
    assert!(secret.starts_with("trg_") && secret.len() == 47, "{secret}");
    let shown = app.get("/api/v1/schedules/a").await;
    assert_eq!(shown.expect(200)["inbound_trigger"]["set"], true);
    assert!(!shown.text.contains(secret));
    let stored: String = sqlx::query_scalar("select to_jsonb(s)::text from syncline.schedule s")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert!(!stored.contains(secret));
}

#[tokio::test]
async fn what_is_no_secret_gets_one_answer_whatever_it_looks_like() {
    let (app, path) = with_trigger(0).await;
    let like = format!("{}x", &path[..path.len() - 1]);
    let mut answers = Vec::new();
    for path in ["/api/v1/triggers/x", "/api/v1/triggers/%00", like.as_str()] {
        let answer = app.ask("", "POST", path, None).await;
        answer.problems(404);
        let mut problem = answer.json();
        assert_eq!(problem["instance"], "/api/v1/triggers/{secret}");
        problem["request_id"] = Value::Null;
        answers.push(problem);
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:#?}"
    );
}

#[tokio::test]
async fn a_new_address_replaces_the_old_one_and_none_works_once_it_is_removed() {
    let (app, old) = with_trigger(0).await;
    let address = "/api/v1/schedules/a/inbound-trigger";
    let made = app.ask("operator", "POST", address, None).await.expect(201);
    assert_eq!(made["replaced"], true);
    let new = made["path"].as_str().unwrap();
    app.ask("", "POST", &old, None).await.problems(404);
    app.ask("", "POST", new, None).await.expect(202);
    app.ask("operator", "DELETE", address, None)
        .await
        .expect(204);
    app.ask("", "POST", new, None).await.problems(404);
    // The call that was made before stays.
    assert!(schedule(&app).await["due_at"].is_string());
    app.ask("viewer", "POST", address, None).await.problems(403);
    app.ask(
        "operator",
        "POST",
        "/api/v1/schedules/nobody/inbound-trigger",
        None,
    )
    .await
    .problems(404);
}
