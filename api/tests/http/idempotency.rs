//! `Idempotency-Key`: a request that is repeated is carried out once.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use syncline_shared::db::{Transaction, idempotency};
use syncline_shared::run::Outcome;

use crate::support::{Answer, App};
use crate::work::{claim_one, end};

async fn post(app: &App, role: &str, path: &str, key: &str, body: &Value) -> Answer {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {}", app.token(role)))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()));
    app.send(request.unwrap()).await
}

async fn count(app: &App) -> i64 {
    sqlx::query_scalar("select count(*) from syncline.runs")
        .fetch_one(&app.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_run_as_it_is_now() {
    let app = App::with_connection().await;
    let body = json!({"connection": "acme-shop"});
    let first = post(&app, "operator", "/api/v1/runs", "k-1", &body)
        .await
        .expect(202);
    let again = post(&app, "operator", "/api/v1/runs", "k-1", &body)
        .await
        .expect(202);
    assert_eq!(again["id"], first["id"]);
    let claimed = claim_one(&app).await;
    end(&app, &claimed, Outcome::Failed, None).await;
    // What has changed since does not matter: nothing is done.
    sqlx::query("update syncline.connection set enabled = false")
        .execute(&app.pool)
        .await
        .unwrap();
    let answer = post(&app, "operator", "/api/v1/runs", "k-1", &body).await;
    let ended = answer.expect(200);
    assert_eq!(
        (&ended["id"], &ended["status"]),
        (&first["id"], &json!("failed"))
    );
    assert!(
        answer
            .header("location")
            .ends_with(first["id"].as_str().unwrap())
    );
    assert_eq!(count(&app).await, 1);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let app = App::with_connection().await;
    let body = json!({"connection": "acme-shop"});
    post(&app, "operator", "/api/v1/runs", "k-1", &body)
        .await
        .expect(202);
    let other = json!({"connection": "acme-shop", "kind": "full"});
    let answer = post(&app, "operator", "/api/v1/runs", "k-1", &other).await;
    assert_eq!(
        answer.problems(422),
        [("Idempotency-Key".to_owned(), "other-request".to_owned())]
    );
    post(&app, "operator", "/api/v1/runs?wait=0", "k-1", &body)
        .await
        .problems(422);
    // Keys belong to their caller.
    post(&app, "admin", "/api/v1/runs", "k-1", &other)
        .await
        .expect(202);
    assert_eq!(count(&app).await, 2);
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let app = App::with_connection().await;
    let body = json!({"connection": "acme-shop"});
    for key in ["", "a b", &"x".repeat(256)] {
        post(&app, "operator", "/api/v1/runs", key, &body)
            .await
            .problems(400);
    }
    assert_eq!(count(&app).await, 0);
}

#[tokio::test]
async fn a_request_that_failed_is_not_remembered() {
    let app = App::start().await;
    app.post("/api/v1/businesses", &json!({"key": "acme"}))
        .await
        .expect(201);
    let body = json!({"connection": "acme-shop"});
    post(&app, "operator", "/api/v1/runs", "k-1", &body)
        .await
        .problems(404);
    app.post(
        "/api/v1/connections",
        &crate::support::connection("acme-shop"),
    )
    .await
    .expect(201);
    post(&app, "operator", "/api/v1/runs", "k-1", &body)
        .await
        .expect(202);
}

#[tokio::test]
async fn a_request_whose_twin_is_under_way_is_told_to_come_back() {
    let app = App::with_connection().await;
    let body = json!({"connection": "acme-shop"});
    // Holds what the first request would hold until its commit.
    let mut holder = Transaction::from(app.pool.begin().await.unwrap());
    let scope = "POST /api/v1/runs token operator";
    syncline_shared::db::idempotency::look_up(&mut holder, scope, "k-1", b"any")
        .await
        .unwrap();
    let answer = post(&app, "operator", "/api/v1/runs", "k-1", &body).await;
    answer.problems(409);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.json()["type"], "/docs#in-flight");
    holder.rollback().await.unwrap();
    post(&app, "operator", "/api/v1/runs", "k-1", &body)
        .await
        .expect(202);
    assert_eq!(count(&app).await, 1);
}

#[tokio::test]
async fn twins_that_come_at_once_make_one_run() {
    let app = App::with_connection().await;
    let body = json!({"connection": "acme-shop"});
    let twins = (0..8).map(|_| post(&app, "operator", "/api/v1/runs", "k-1", &body));
    let answers = futures::future::join_all(twins).await;
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status.as_u16(), 202 | 409))
    );
    assert_eq!(count(&app).await, 1);
}

#[tokio::test]
async fn retries_and_redrives_have_keys_too() {
    let app = App::with_connection().await;
    let body = json!({"connection": "acme-shop"});
    let mut failed = Vec::new();
    for _ in 0..2 {
        app.post("/api/v1/runs", &body).await.expect(202);
        let claimed = claim_one(&app).await;
        end(&app, &claimed, Outcome::Failed, None).await;
        failed.push(claimed.id);
    }
    let address = format!("/api/v1/runs/{}/retry", failed[0]);
    let first = post(&app, "operator", &address, "k-1", &json!({}))
        .await
        .expect(202);
    let again = post(&app, "operator", &address, "k-1", &json!({}))
        .await
        .expect(202);
    assert_eq!(again["id"], first["id"]);

    let path = "/api/v1/runs/redrive";
    let dry = json!({"dry_run": true});
    post(&app, "operator", path, "k-1", &dry).await.expect(200);
    let first = post(&app, "operator", path, "k-1", &json!({}))
        .await
        .expect(202);
    assert_eq!(first["runs"], 1);
    let again = post(&app, "operator", path, "k-1", &json!({}))
        .await
        .expect(202);
    assert_eq!(again, first);
    assert_eq!(count(&app).await, 4);
}

#[tokio::test]
async fn a_key_may_be_used_anew_after_a_day() {
    let app = App::with_connection().await;
    let body = json!({"connection": "acme-shop"});
    let path = "/api/v1/runs";
    let first = post(&app, "operator", path, "k-1", &body).await.expect(202);
    let lasts: bool = sqlx::query_scalar(
        "select bool_and(expires_at - created_at = interval '24 hours') from syncline.idempotency_key",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert!(lasts);
    sqlx::query("update syncline.idempotency_key set expires_at = syncline.now()")
        .execute(&app.pool)
        .await
        .unwrap();
    // Housekeeping may not have come by yet.
    let other = json!({"connection": "acme-shop", "kind": "full"});
    let second = post(&app, "operator", path, "k-1", &other)
        .await
        .expect(202);
    assert_ne!(second["id"], first["id"]);
    assert_eq!(count(&app).await, 2);
    let mut db = app.database.session().await.unwrap();
    assert_eq!(
        idempotency::prune(&mut db).await.unwrap(),
        0,
        "it is in use"
    );
    sqlx::query("update syncline.idempotency_key set expires_at = syncline.now()")
        .execute(&app.pool)
        .await
        .unwrap();
    assert_eq!(idempotency::prune(&mut db).await.unwrap(), 1);
}
