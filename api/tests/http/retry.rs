//! Retrying: one run, and all that a filter finds.

use serde_json::{Value, json};
use syncline_shared::run::Outcome;

use crate::support::{App, connection};
use crate::work::{claim_one, end, start};

async fn ended(app: &App, body: Value, outcome: Outcome) -> String {
    let run = start(app, body).await;
    let claimed = claim_one(app).await;
    assert_eq!(run["id"], claimed.id.to_string());
    end(app, &claimed, outcome, None).await;
    claimed.id.to_string()
}

async fn retry(app: &App, id: &str) -> crate::support::Answer {
    app.post(&format!("/api/v1/runs/{id}/retry"), &json!({}))
        .await
}

#[tokio::test]
async fn a_failed_run_is_repeated_once_and_each_names_the_other() {
    let app = App::with_connection().await;
    let body = json!({"connection": "acme-shop", "kind": "full", "streams": ["orders"]});
    let failed = ended(&app, body, Outcome::Failed).await;
    let answer = retry(&app, &failed).await;
    let new = answer.expect(202);
    assert_eq!(
        answer.header("location"),
        format!("/api/v1/runs/{}", new["id"].as_str().unwrap())
    );
    assert_eq!(
        (
            &new["status"],
            &new["kind"],
            &new["streams"],
            &new["retry_of"]
        ),
        (
            &json!("queued"),
            &json!("full"),
            &json!(["orders"]),
            &json!(failed)
        )
    );
    assert_eq!(new["trigger"]["requested_by"], "operator");
    let old = app.get(&format!("/api/v1/runs/{failed}")).await.expect(200);
    assert_eq!(old["retried_by"], new["id"]);

    let answer = retry(&app, &failed).await;
    assert_eq!(
        answer.problems(409),
        [(String::new(), "retried".to_owned())]
    );
    assert!(
        answer.text.contains(new["id"].as_str().unwrap()),
        "{}",
        answer.text
    );
    // The new one can be retried in its turn.
    let claimed = claim_one(&app).await;
    end(&app, &claimed, Outcome::Partial, None).await;
    retry(&app, new["id"].as_str().unwrap()).await.expect(202);
}

#[tokio::test]
async fn what_cannot_be_repeated_is_refused_with_the_reason() {
    let app = App::with_connection().await;
    let running = start(&app, json!({"connection": "acme-shop"})).await;
    let id = running["id"].as_str().unwrap();
    let answer = retry(&app, id).await;
    assert_eq!(answer.problems(409)[0].1, "unfinished");
    let claimed = claim_one(&app).await;
    end(&app, &claimed, Outcome::Succeeded, None).await;
    assert_eq!(retry(&app, id).await.problems(409)[0].1, "succeeded");

    let failed = ended(&app, json!({"connection": "acme-shop"}), Outcome::Failed).await;
    app.ask(
        "viewer",
        "POST",
        &format!("/api/v1/runs/{failed}/retry"),
        None,
    )
    .await
    .problems(403);
    let unknown = app
        .post(&format!("/api/v1/runs/{failed}/retry"), &json!({"wait": 1}))
        .await;
    assert_eq!(unknown.problems(422)[0].0, "/wait");
    change(&app, "update syncline.connection set enabled = false").await;
    assert_eq!(retry(&app, &failed).await.problems(409)[0].1, "disabled");
    change(&app, "delete from syncline.connection").await;
    assert_eq!(retry(&app, &failed).await.problems(409)[0].1, "deleted");
    retry(&app, "none").await.problems(404);
    retry(&app, "00000000-0000-7000-8000-000000000000")
        .await
        .problems(404);
}

async fn change(app: &App, statement: &'static str) {
    sqlx::query(statement).execute(&app.pool).await.unwrap();
}

#[tokio::test]
async fn a_redrive_repeats_what_the_filter_finds_as_one_batch() {
    let app = App::with_connection().await;
    for key in ["other", "off"] {
        app.post("/api/v1/connections", &connection(key))
            .await
            .expect(201);
    }
    let mut failed = Vec::new();
    for body in [
        json!({"connection": "acme-shop"}),
        json!({"connection": "acme-shop", "kind": "full"}),
        json!({"connection": "acme-shop"}),
        json!({"connection": "other", "page": 3}),
        json!({"connection": "off"}),
    ] {
        failed.push(ended(&app, body, Outcome::Failed).await);
    }
    let partial = ended(&app, json!({"connection": "other"}), Outcome::Partial).await;
    ended(&app, json!({"connection": "other"}), Outcome::Succeeded).await;
    change(
        &app,
        "update syncline.connection set enabled = false where key = 'off'",
    )
    .await;

    let redrive = async |body: Value| app.post("/api/v1/runs/redrive", &body).await;
    let dry = redrive(json!({"dry_run": true})).await.expect(200);
    assert_eq!(
        (&dry["matched"], &dry["runs"], &dry["stands_for"]),
        (&json!(5), &json!(3), &json!(4))
    );
    assert_eq!(
        (&dry["batch_id"], &dry["dry_run"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(
        dry["merged"],
        json!([{"run": null, "retry_of": failed[2], "stands_for": 2}])
    );
    let one = redrive(json!({"connection": "other", "limit": 1}))
        .await
        .expect(202);
    assert_eq!((&one["matched"], &one["runs"]), (&json!(1), &json!(1)));

    let all =
        redrive(json!({"status": ["failed", "partial"], "platform": "shop", "business": "acme"}))
            .await
            .expect(202);
    assert_eq!(
        (&all["matched"], &all["runs"], &all["stands_for"]),
        (&json!(5), &json!(3), &json!(4))
    );
    assert_eq!(all["left_out"][0]["run"], failed[4]);
    assert_eq!(
        all["left_out"][0]["reason"],
        "its connection \"off\" is disabled; enable it first"
    );
    // Each new run does what the one did that it repeats, and the old one knows it.
    let mut batches = std::collections::BTreeSet::new();
    for old in failed.iter().take(4).chain([&partial]) {
        let old = app.get(&format!("/api/v1/runs/{old}")).await.expect(200);
        let new = old["retried_by"].as_str().unwrap();
        let new = app.get(&format!("/api/v1/runs/{new}")).await.expect(200);
        // The first run of the shop is one with its third.
        let is_older = old["id"] == json!(failed[0]);
        let repeats = if is_older {
            &failed[2]
        } else {
            old["id"].as_str().unwrap()
        };
        assert_eq!(new["retry_of"], json!(repeats));
        if is_older {
            assert_eq!(
                all["merged"],
                json!([{"run": new["id"], "retry_of": repeats, "stands_for": 2}])
            );
        }
        for field in ["connection", "kind", "streams", "page"] {
            assert_eq!(new[field], old[field], "{field}");
        }
        batches.insert(new["trigger"]["batch_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(batches.len(), 2);
    assert!(batches.contains(all["batch_id"].as_str().unwrap()));
    let (runs, left_out): (i32, Value) =
        sqlx::query_as("select runs, left_out from syncline.batch where id = $1::uuid")
            .bind(all["batch_id"].as_str().unwrap())
            .fetch_one(&app.pool)
            .await
            .unwrap();
    assert_eq!((runs, &left_out[0]["connection"]), (3, &json!("off")));

    let nothing = redrive(json!({"connection": "acme-shop"}))
        .await
        .expect(200);
    assert_eq!(
        (&nothing["matched"], &nothing["batch_id"]),
        (&json!(0), &Value::Null)
    );
}

#[tokio::test]
async fn a_night_of_failures_is_redriven_by_one_run_a_connection() {
    let app = App::with_connection().await;
    let mut failed = Vec::new();
    for _ in 0..5 {
        failed.push(ended(&app, json!({"connection": "acme-shop"}), Outcome::Failed).await);
    }
    // The order in which streams are named makes no difference.
    for streams in [["orders", "products"], ["products", "orders"]] {
        let body = json!({"connection": "acme-shop", "streams": streams});
        failed.push(ended(&app, body, Outcome::Failed).await);
    }
    let answer = app.post("/api/v1/runs/redrive", &json!({})).await;
    let done = answer.expect(202);
    assert_eq!(
        (&done["matched"], &done["runs"], &done["stands_for"]),
        (&json!(7), &json!(2), &json!(7))
    );
    let stands_for: Vec<_> = done["merged"]
        .as_array()
        .unwrap()
        .iter()
        .map(|merged| (&merged["retry_of"], &merged["stands_for"]))
        .collect();
    let (whole, some) = (json!(failed[4]), json!(failed[6]));
    assert_eq!(
        stands_for,
        [(&whole, &json!(5)), (&some, &json!(2))],
        "{done}"
    );
    // None of them is left for a second redrive.
    let again = app.post("/api/v1/runs/redrive", &json!({})).await;
    assert_eq!(again.expect(200)["matched"], 0);
}

#[tokio::test]
async fn a_redrive_that_cannot_be_read_does_nothing() {
    let app = App::with_connection().await;
    let failed = ended(&app, json!({"connection": "acme-shop"}), Outcome::Failed).await;
    let body =
        json!({"status": ["failed", "succeeded"], "limit": 0, "created_after": "x", "colour": 1});
    let problems = app.post("/api/v1/runs/redrive", &body).await.problems(422);
    let pointers: Vec<_> = problems
        .iter()
        .map(|(pointer, _)| pointer.as_str())
        .collect();
    assert_eq!(
        pointers,
        ["/status/1", "/created_after", "/limit", "/colour"]
    );
    app.post("/api/v1/runs/redrive", &json!({"connection": "nobody"}))
        .await
        .problems(404);
    app.ask("viewer", "POST", "/api/v1/runs/redrive", Some(&json!({})))
        .await
        .problems(403);
    let early = json!({"created_before": "2001-01-01T00:00:00Z"});
    let answer = app.post("/api/v1/runs/redrive", &early).await.expect(200);
    assert_eq!(answer["matched"], 0);
    let shown = app.get(&format!("/api/v1/runs/{failed}")).await.expect(200);
    assert_eq!(shown["retried_by"], Value::Null);
}
