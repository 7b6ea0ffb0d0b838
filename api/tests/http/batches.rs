//! Batches: runs of many connections, asked for, shown while they run, cancelled.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use syncline_shared::db::batch::close_ended;
use syncline_shared::run::Outcome;

use crate::support::{Answer, App, connection};
use crate::work::{claim_one, end};

const RUNS: &str = "/api/v1/runs";

/// Two businesses with a connection each, and a disabled one.
async fn with_connections() -> App {
    let app = App::with_connection().await;
    app.post("/api/v1/businesses", &json!({"key": "beta"}))
        .await
        .expect(201);
    for (key, business, enabled) in [("beta-shop", "beta", true), ("beta-old", "beta", false)] {
        let mut input = connection(key);
        input["business"] = json!(business);
        input["enabled"] = json!(enabled);
        app.post("/api/v1/connections", &input).await.expect(201);
    }
    app
}

async fn start(app: &App, target: Value) -> Value {
    app.post(RUNS, &json!({"target": target})).await.expect(202)
}

async fn batch(app: &App, id: &Value) -> Value {
    app.get(&format!("/api/v1/batches/{}", id.as_str().unwrap()))
        .await
        .expect(200)
}

#[tokio::test]
async fn a_target_of_many_connections_answers_a_batch() {
    let app = with_connections().await;
    for (target, runs) in [
        (json!({"connection": "acme-shop"}), 1),
        (json!({"business": "beta"}), 1),
        (json!({"platform": "shop"}), 2),
        (json!("everything"), 2),
    ] {
        let made = start(&app, target.clone()).await;
        assert_eq!(
            (&made["target"], &made["runs"]),
            (&target, &json!(runs)),
            "{made:#}"
        );
        assert_eq!(
            (&made["status"], &made["counts"]["waiting"]),
            (&json!("running"), &json!(runs))
        );
        assert_eq!(made["schedule"], Value::Null);
    }
    let made = start(&app, json!("everything")).await;
    assert_eq!(
        made["left_out"],
        json!([{"connection": "beta-old", "reason": "the connection is disabled"}])
    );
}

#[tokio::test]
async fn a_request_names_a_connection_or_a_target_that_is_there() {
    let app = with_connections().await;
    for (body, pointer, code) in [
        (json!({}), "/connection", "required"),
        (
            json!({"connection": "acme-shop", "target": "everything"}),
            "/target",
            "both",
        ),
        (json!({"target": "all"}), "/target", "target"),
        (
            json!({"target": {"business": "nobody"}}),
            "/target/business",
            "unknown-business",
        ),
        (
            json!({"target": {"platform": "nobody"}}),
            "/target/platform",
            "unknown-platform",
        ),
        (
            json!({"target": "everything", "streams": ["carts"]}),
            "/streams/0",
            "unknown-stream",
        ),
        (
            json!({"target": {"platform": "shop"}, "page": 1}),
            "/streams",
            "one-stream",
        ),
        (
            json!({"target": {"platform": "shop"}, "page": 1, "streams": ["orders"]}),
            "/streams/0",
            "no-page",
        ),
    ] {
        let problems = app.post(RUNS, &body).await.problems(422);
        assert_eq!(problems, [(pointer.to_owned(), code.to_owned())], "{body}");
    }
    let page = json!({"target": {"platform": "shop"}, "page": 1, "streams": ["products"]});
    assert_eq!(app.post(RUNS, &page).await.expect(202)["kind"], "page");
    let refused = app
        .post(RUNS, &json!({"target": {"connection": "beta-old"}}))
        .await;
    assert_eq!(
        refused.problems(409),
        [(String::new(), "nothing-started".to_owned())]
    );
    assert!(
        refused
            .text
            .contains("beta-old: the connection is disabled"),
        "{}",
        refused.text
    );
}

async fn keyed(app: &App, key: &str, body: &Value) -> Answer {
    let request = Request::post(RUNS)
        .header("authorization", format!("Bearer {}", app.token("operator")))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()));
    app.send(request.unwrap()).await
}

#[tokio::test]
async fn a_repeated_request_answers_the_batch_of_the_first() {
    let app = with_connections().await;
    let body = json!({"target": "everything"});
    let first = keyed(&app, "k", &body).await.expect(202);
    let again = keyed(&app, "k", &body).await.expect(202);
    assert_eq!(first["id"], again["id"]);
    let runs: i64 = sqlx::query_scalar("select count(*) from syncline.run")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(runs, 2);
}

#[tokio::test]
async fn counts_are_live_and_the_summary_comes_with_the_end() {
    let app = with_connections().await;
    let made = start(&app, json!("everything")).await;
    let first = claim_one(&app).await;
    let shown = batch(&app, &made["id"]).await;
    assert_eq!(
        (&shown["counts"]["running"], &shown["counts"]["waiting"]),
        (&json!(1), &json!(1))
    );
    end(&app, &first, Outcome::Succeeded, None).await;
    let second = claim_one(&app).await;
    end(&app, &second, Outcome::Failed, None).await;
    let shown = batch(&app, &made["id"]).await;
    assert_eq!(
        (&shown["status"], &shown["summary"]),
        (&json!("running"), &Value::Null)
    );
    assert_eq!(
        (&shown["counts"]["succeeded"], &shown["counts"]["failed"]),
        (&json!(1), &json!(1))
    );

    close_batches(&app).await;
    let ended = batch(&app, &made["id"]).await;
    assert_eq!(
        (&ended["status"], &ended["records"]["inserted"]),
        (&json!("partial"), &json!(80))
    );
    let summary = ended["summary"].as_str().unwrap();
    assert!(
        summary
            .starts_with("sync for operator complete in part: 80/80 records synced, 1 failure in "),
        "{summary}"
    );
    let listed = app.get("/api/v1/batches?ended=true").await.expect(200);
    assert_eq!(listed["data"][0]["id"], made["id"]);
    assert_eq!(
        app.get("/api/v1/batches?ended=false").await.expect(200)["data"],
        json!([])
    );
}

#[tokio::test]
async fn the_runs_of_a_batch_are_listed() {
    let app = with_connections().await;
    let input = json!({"key": "a", "trigger": "manual", "target": "everything"});
    app.post("/api/v1/schedules", &input).await.expect(201);
    let of_schedule = app
        .post("/api/v1/schedules/a/trigger", &json!({}))
        .await
        .expect(202);
    let of_request = start(&app, json!({"business": "beta"})).await;
    let run = claim_one(&app).await;
    end(&app, &run, Outcome::Succeeded, None).await;
    for (batch, runs) in [(&of_schedule, 2), (&of_request, 1)] {
        let id = batch["id"].as_str().unwrap();
        let listed = app.get(&format!("{RUNS}?batch={id}")).await.expect(200);
        let listed = listed["data"].as_array().unwrap();
        assert_eq!(listed.len(), runs);
        assert!(listed.iter().all(|run| run["trigger"]["batch_id"] == *id));
    }
    for unknown in ["x", "00000000-0000-0000-0000-000000000000"] {
        app.get(&format!("{RUNS}?batch={unknown}"))
            .await
            .problems(404);
    }
}

#[tokio::test]
async fn batches_are_listed_newest_first_and_by_schedule() {
    let app = with_connections().await;
    let input =
        json!({"key": "a", "trigger": "manual", "target": "everything", "overlap": "queue_all"});
    app.post("/api/v1/schedules", &input).await.expect(201);
    let mut made = Vec::new();
    for _ in 0..3 {
        let of_schedule = app
            .post("/api/v1/schedules/a/trigger", &json!({}))
            .await
            .expect(202);
        made.insert(0, of_schedule["id"].clone());
        start(&app, json!("everything")).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/batches?schedule=a&limit=2".to_owned();
    loop {
        let page = app.get(&path).await.expect(200);
        seen.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|batch| batch["id"].clone()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/batches?schedule=a&limit=2&cursor={cursor}");
    }
    assert_eq!(seen, made);
    assert_eq!(
        app.get("/api/v1/batches").await.expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
    for bad in ["ended=maybe", "cursor=x"] {
        app.get(&format!("/api/v1/batches?{bad}"))
            .await
            .problems(400);
    }
    app.get("/api/v1/batches?schedule=nobody")
        .await
        .problems(404);
    app.get("/api/v1/batches/nobody").await.problems(404);
}

#[tokio::test]
async fn a_cancelled_batch_ends_its_runs_and_makes_no_more() {
    let app = with_connections().await;
    let made = start(&app, json!("everything")).await;
    let running = claim_one(&app).await;
    let path = format!("/api/v1/batches/{}/cancel", made["id"].as_str().unwrap());
    let cancelled = app
        .post(&path, &json!({"note": "too early"}))
        .await
        .expect(202);
    // One has ended at once, the other was asked to.
    assert_eq!(
        (
            &cancelled["counts"]["cancelled"],
            &cancelled["counts"]["running"]
        ),
        (&json!(1), &json!(1))
    );
    let run = app.get(&format!("{RUNS}/{}", running.id)).await.expect(200);
    assert_eq!(
        (&run["cancelled_by"], &run["cancel_note"]),
        (&json!("operator"), &json!("too early"))
    );
    end(&app, &running, Outcome::Cancelled, None).await;
    close_batches(&app).await;
    assert_eq!(batch(&app, &made["id"]).await["status"], "cancelled");
    assert_eq!(
        app.post(&path, &json!({})).await.problems(409)[0].1,
        "ended"
    );
    app.ask("viewer", "POST", &path, None).await.problems(403);
    app.post("/api/v1/batches/nobody/cancel", &json!({}))
        .await
        .problems(404);
}

/// Closes the batches whose runs have all ended, as a scheduler does.
pub(crate) async fn close_batches(app: &App) {
    let mut db = app.database.begin().await.unwrap();
    close_ended(&mut db, None, 100).await.unwrap();
    db.commit().await.unwrap();
}
