//! Runs: asked for, waited for, listed, explained.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use syncline_shared::db::run::{Heads, LogLevel, LogLine, append_log, claim};
use syncline_shared::run::{FailureKind, Outcome, RunError};

use crate::support::{App, connection};
use crate::work::{claim_one, end, one_for, start, worker};

#[tokio::test]
async fn a_run_is_enqueued_with_its_batch_and_says_why_it_is_not_running() {
    let app = App::with_connection().await;
    let answer = app
        .post(
            "/api/v1/runs",
            &json!({"connection": "acme-shop", "streams": ["orders"]}),
        )
        .await;
    let run = answer.expect(202);
    assert_eq!(run["status"], "queued");
    assert_eq!(run["why"]["code"], "ready");
    assert_eq!(run["trigger"]["requested_by"], "operator");
    assert_eq!(run["connection"]["key"], "acme-shop");
    assert_eq!(run["business"]["key"], "acme");
    assert_eq!(
        (&run["kind"], &run["streams"]),
        (&json!("incremental"), &json!(["orders"]))
    );
    let shown = app.get(answer.header("location")).await.expect(200);
    assert_eq!(shown["id"], run["id"]);

    let second = start(&app, json!({"connection": "acme-shop", "kind": "full"})).await;
    assert_eq!(
        (&second["status"], &second["why"]["code"]),
        (&json!("waiting"), &json!("overlap"))
    );
    let later = start(
        &app,
        json!({"connection": "acme-shop", "delay_seconds": 3600}),
    )
    .await;
    assert_eq!(
        (&later["status"], &later["why"]["code"]),
        (&json!("waiting"), &json!("delay"))
    );
    assert!(later["why"]["until"].is_string());
    let batches: i64 = sqlx::query_scalar("select count(*) from syncline.batch")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(batches, 3);
}

#[tokio::test]
async fn a_caller_who_waits_gets_the_counts_when_the_run_has_ended() {
    let app = App::with_connection().await;
    let worker = async {
        let process = worker(&app).await;
        let mut run = None;
        while run.is_none() {
            let mut db = app.database.session().await.unwrap();
            run = claim(&mut db, &one_for(process, &Heads::default()))
                .await
                .unwrap()
                .pop();
            tokio::task::yield_now().await;
        }
        end(&app, &run.unwrap(), Outcome::Succeeded, None).await;
    };
    let body = json!({"connection": "acme-shop", "wait": 60});
    let (answer, ()) = tokio::join!(app.post("/api/v1/runs", &body), worker);
    let run = answer.expect(200);
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["why"], Value::Null);
    assert_eq!(
        (&run["progress"]["pages"], &run["progress"]["inserted"]),
        (&json!(2), &json!(40))
    );
    assert!(run["duration_ms"].is_i64());
}

#[tokio::test]
async fn a_wait_ends_when_the_time_is_up_or_the_process_drains() {
    let app = App::with_connection().await;
    let began = Instant::now();
    let answer = app
        .post("/api/v1/runs?wait=1", &json!({"connection": "acme-shop"}))
        .await;
    assert_eq!(answer.expect(202)["status"], "queued");
    assert!(began.elapsed() >= Duration::from_secs(1));

    let began = Instant::now();
    let body = json!({"connection": "acme-shop", "wait": 60});
    let drain = async {
        // Once the run is there, the handler is at its wait or just before.
        loop {
            let runs: i64 = sqlx::query_scalar("select count(*) from syncline.run")
                .fetch_one(&app.pool)
                .await
                .unwrap();
            if runs == 2 {
                break app.life.drain();
            }
        }
    };
    let (answer, ()) = tokio::join!(app.post("/api/v1/runs", &body), drain);
    answer.expect(202);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_page_belongs_to_the_one_stream_that_has_pages() {
    let app = App::with_connection().await;
    let run = start(&app, json!({"connection": "acme-shop", "page": 3})).await;
    assert_eq!(
        (&run["kind"], &run["page"], &run["streams"]),
        (&json!("page"), &json!(3), &json!(["products"]))
    );
    for (body, pointer) in [
        (
            json!({"connection": "acme-shop", "page": 3, "streams": ["orders"]}),
            "/streams/0",
        ),
        (
            json!({"connection": "acme-shop", "page": 3, "streams": ["orders", "products"]}),
            "/streams",
        ),
        (
            json!({"connection": "acme-shop", "page": 3, "kind": "full"}),
            "/kind",
        ),
        (json!({"connection": "acme-shop", "page": -1}), "/page"),
        (json!({"connection": "acme-shop", "kind": "page"}), "/kind"),
    ] {
        let problems = app.post("/api/v1/runs", &body).await.problems(422);
        assert_eq!(problems[0].0, pointer, "{body}");
    }
}

#[tokio::test]
async fn what_cannot_run_is_refused_and_leaves_nothing() {
    let app = App::with_connection().await;
    let mut off = connection("off");
    off["enabled"] = json!(false);
    app.post("/api/v1/connections", &off).await.expect(201);
    app.post("/api/v1/runs", &json!({"connection": "nobody"}))
        .await
        .problems(404);
    let disabled = app
        .post("/api/v1/runs", &json!({"connection": "off"}))
        .await
        .problems(422);
    assert_eq!(
        disabled,
        [("/connection".to_owned(), "disabled".to_owned())]
    );
    let all = json!({"connection": "acme-shop", "wait": 61, "delay_seconds": -1, "kind": "some", "colour": 1});
    assert_eq!(app.post("/api/v1/runs", &all).await.problems(422).len(), 4);
    let streams = json!({"connection": "acme-shop", "streams": ["carts"]});
    let answer = app.post("/api/v1/runs", &streams).await;
    assert_eq!(answer.problems(422)[0].1, "unknown-stream");
    assert!(answer.text.contains("products, orders"));
    app.post("/api/v1/runs?wait=abc", &json!({"connection": "acme-shop"}))
        .await
        .problems(400);
    for table in ["batch", "run"] {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select count(*) from syncline.{table}"
        )))
        .fetch_one(&app.pool)
        .await
        .unwrap();
        assert_eq!(count, 0, "{table}");
    }
}

#[tokio::test]
async fn a_run_is_shown_with_all_that_is_known_of_it() {
    let app = App::with_connection().await;
    let id = start(&app, json!({"connection": "acme-shop"})).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let run = claim_one(&app).await;
    let line = |message: &str| LogLine {
        at: "2026-08-01T12:00:00Z".parse().unwrap(),
        level: LogLevel::Info,
        stream: Some("products".to_owned()),
        message: message.to_owned(),
    };
    let mut db = app.database.session().await.unwrap();
    append_log(&mut db, run.id, run.token, 1, &[line("one"), line("two")])
        .await
        .unwrap();
    drop(db);
    let mut error = RunError::new(FailureKind::NeedsPerson, "sign in again");
    error.http_status = Some(401);
    end(&app, &run, Outcome::Failed, Some(error)).await;

    let shown = app.get(&format!("/api/v1/runs/{id}")).await.expect(200);
    assert_eq!(shown["status"], "failed");
    assert_eq!(shown["error"]["kind"], "needs_person");
    assert_eq!(shown["attempts"][0]["outcome"], "failed");
    assert_eq!(shown["attempts"][0]["process"], "w:1");
    assert_eq!(shown["attempts"][0]["calls"], 2);
    assert_eq!(
        shown["spent"],
        json!({"calls": 2, "points": 6, "waited_ms": 4_200})
    );
    assert_eq!(shown["stream_progress"][0]["stream"], "products");
    assert_eq!(shown["stream_progress"][0]["inserted"], 40);
    assert_eq!(shown["checkpoint"], json!({}));
    let messages: Vec<_> = shown["log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["message"])
        .collect();
    assert_eq!(messages, ["one", "two"]);

    app.get("/api/v1/runs/00000000-0000-7000-8000-000000000000")
        .await
        .problems(404);
    app.get("/api/v1/runs/not-an-id").await.problems(404);
}

#[tokio::test]
async fn runs_are_filtered_and_paged_newest_first() {
    let app = App::with_connection().await;
    app.post("/api/v1/connections", &connection("other"))
        .await
        .expect(201);
    let mut ids = Vec::new();
    for key in ["acme-shop", "other", "acme-shop", "acme-shop"] {
        let run = start(&app, json!({"connection": key})).await;
        ids.push(run["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.reverse();
    let run = claim_one(&app).await;
    end(&app, &run, Outcome::Partial, None).await;

    let list = async |query: &str| -> Vec<String> {
        let page = app.get(&format!("/api/v1/runs?{query}")).await.expect(200);
        let data = page["data"].as_array().unwrap();
        data.iter()
            .map(|run| run["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(list("").await, ids);
    assert_eq!(list("status=partial").await, [run.id.to_string()]);
    assert_eq!(list("status=queued,waiting,running").await.len(), 3);
    assert_eq!(list("connection=other").await.len(), 1);
    assert_eq!(list("business=acme&platform=shop").await.len(), 4);
    assert_eq!(
        list("created_after=2020-01-01T00:00:00Z&created_before=2021-01-01T00:00:00Z")
            .await
            .len(),
        0
    );
    assert_eq!(list("created_after=2020-01-01T00:00:00Z").await.len(), 4);

    assert_eq!(list("created_after=1960-01-01T00:00:00Z").await.len(), 4);
    assert_eq!(list("created_before=1960-01-01T00:00:00Z").await.len(), 0);
    // A schedule that has been deleted since.
    assert_eq!(
        list("schedule=00000000-0000-4000-8000-000000000000")
            .await
            .len(),
        0
    );

    let first = app.get("/api/v1/runs?limit=3").await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = app
        .get(&format!("/api/v1/runs?limit=3&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(second["data"][0]["id"].as_str().unwrap(), ids[3]);
    assert_eq!(second["has_more"], false);
    let problems = app
        .get(&format!("/api/v1/runs?platform=shop&cursor={cursor}"))
        .await
        .problems(400);
    assert_eq!(
        problems,
        [("cursor".to_owned(), "cursor-of-other-filter".to_owned())]
    );

    app.get("/api/v1/runs?schedule=nobody").await.problems(404);
    let problems = app
        .get("/api/v1/runs?status=odd&limit=0&created_after=x&sort=id")
        .await
        .problems(400);
    let pointers: Vec<_> = problems
        .iter()
        .map(|(pointer, _)| pointer.as_str())
        .collect();
    assert_eq!(pointers, ["status", "created_after", "limit", "sort"]);
}
