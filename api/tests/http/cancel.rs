//! Cancelling: what ends at once, what is asked for, and what has ended already.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use syncline_shared::db::access::Role;
use syncline_shared::run::{FailureKind, Outcome, RunError};

use crate::support::{App, connection};
use crate::work::{claim_one, end, start};

fn address(run: &Value) -> String {
    format!("/api/v1/runs/{}/cancel", run["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_run_that_nobody_executes_ends_at_once_and_the_next_one_moves_up() {
    let app = App::with_connection().await;
    let first = start(&app, json!({"connection": "acme-shop"})).await;
    let second = start(&app, json!({"connection": "acme-shop"})).await;
    let shown = app
        .get(&format!("/api/v1/runs/{}", second["id"].as_str().unwrap()))
        .await
        .expect(200);
    let front = format!("{}, which is queued", first["id"].as_str().unwrap());
    assert!(
        shown["why"]["text"].as_str().unwrap().ends_with(&front),
        "{shown}"
    );

    let note = json!({"note": "wrong shop"});
    let ended = app.post(&address(&first), &note).await.expect(200);
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["cancelled_by"], "operator");
    assert_eq!(ended["cancel_note"], "wrong shop");
    assert_eq!(ended["why"], Value::Null);
    let shown = app
        .get(&format!("/api/v1/runs/{}", second["id"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(shown["status"], "queued");

    let answer = app.post(&address(&first), &json!({})).await;
    assert_eq!(answer.problems(409), [(String::new(), "ended".to_owned())]);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("ended already: cancelled by operator at 2"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_running_run_is_asked_to_end_and_says_so() {
    let app = App::with_connection().await;
    let run = start(&app, json!({"connection": "acme-shop"})).await;
    let claimed = claim_one(&app).await;
    let asked = app.ask("operator", "POST", &address(&run), None).await;
    let asked = asked.expect(202);
    assert_eq!(asked["status"], "running");
    assert_eq!(asked["why"]["code"], "cancelling");
    assert_eq!(asked["why"]["text"], "cancelling: asked by operator");
    // Who asked first stays on record.
    let again = app
        .ask(
            "admin",
            "POST",
            &address(&run),
            Some(&json!({"note": "me too"})),
        )
        .await
        .expect(202);
    assert_eq!(
        (&again["cancelled_by"], &again["cancel_note"]),
        (&json!("operator"), &Value::Null)
    );
    end(&app, &claimed, Outcome::Cancelled, None).await;
    let answer = app.post(&address(&run), &json!({})).await;
    answer.problems(409);
}

#[tokio::test]
async fn how_a_run_ended_is_told_to_whoever_comes_too_late() {
    let app = App::with_connection().await;
    let run = start(&app, json!({"connection": "acme-shop"})).await;
    let claimed = claim_one(&app).await;
    let error = RunError::new(FailureKind::Permanent, "no such page");
    end(&app, &claimed, Outcome::Failed, Some(error)).await;
    let answer = app.post(&address(&run), &json!({})).await;
    answer.problems(409);
    assert!(
        answer.text.contains("ended already: failed at"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_body_may_be_left_out_but_not_be_something_else() {
    let app = App::with_connection().await;
    let run = start(&app, json!({"connection": "acme-shop"})).await;
    let send = async |kind: &str, body: &'static str| {
        let request = Request::post(address(&run))
            .header("authorization", format!("Bearer {}", app.token("operator")))
            .header("content-type", kind)
            .body(Body::from(body));
        app.send(request.unwrap()).await
    };
    send("text/plain", "note=x").await.problems(415);
    send("application/json", "{").await.problems(400);
    send("application/x-www-form-urlencoded", "")
        .await
        .expect(200);
    let second = start(&app, json!({"connection": "acme-shop"})).await;
    app.post(&address(&second), &Value::Null).await.expect(200);
}

#[tokio::test]
async fn only_operators_cancel_and_only_runs_that_are_there() {
    let app = App::with_connection().await;
    app.post("/api/v1/connections", &connection("other"))
        .await
        .expect(201);
    let run = start(&app, json!({"connection": "acme-shop"})).await;
    let refused = app
        .ask(
            Role::Viewer.as_str(),
            "POST",
            &address(&run),
            Some(&json!({})),
        )
        .await;
    refused.problems(403);
    for id in ["none", "00000000-0000-7000-8000-000000000000"] {
        app.post(&format!("/api/v1/runs/{id}/cancel"), &json!({}))
            .await
            .problems(404);
    }
    for (body, pointer) in [
        (json!({"note": 1}), "/note"),
        (json!({"note": "x".repeat(1001)}), "/note"),
        (json!({"reason": "x"}), "/reason"),
        (json!([]), ""),
    ] {
        let problems = app.post(&address(&run), &body).await.problems(422);
        assert_eq!(problems[0].0, pointer, "{body}");
    }
    let shown = app
        .get(&format!("/api/v1/runs/{}", run["id"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(shown["status"], "queued");
}
