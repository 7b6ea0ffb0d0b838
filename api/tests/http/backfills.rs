//! Backfills, states of streams, and reading everything again.

use serde_json::{Value, json};
use syncline_shared::db::backfill;
use syncline_shared::run::Outcome;

use crate::batches::close_batches;
use crate::support::App;
use crate::work::{claim_one, end, start};

const PATH: &str = "/api/v1/backfills";

fn range(more: &Value) -> Value {
    let mut body = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A backfill of three days of the stream that has a cursor, one day a run.
async fn made(app: &App) -> String {
    let body = range(
        &json!({"connection": "acme-shop", "to": "2026-01-04T00:00:00Z", "note": "new columns"}),
    );
    let made = app.post(PATH, &body).await.expect(202);
    assert_eq!(
        (&made["streams"], &made["priority"]),
        (&json!(["visits"]), &json!(90))
    );
    made["id"].as_str().unwrap().to_owned()
}

/// Makes the next run, as a scheduler does.
async fn step(app: &App) -> usize {
    let mut db = app.database.begin().await.unwrap();
    let runs = backfill::step(&mut db).await.unwrap();
    db.commit().await.unwrap();
    runs
}

async fn show(app: &App, id: &str) -> Value {
    app.get(&format!("{PATH}/{id}")).await.expect(200)
}

#[tokio::test]
async fn streams_without_a_cursor_are_refused_by_name() {
    let app = App::with_connection().await;
    for (body, pointer, code) in [
        (
            json!({"connection": "acme-shop", "streams": ["orders"]}),
            "/streams/0",
            "no-cursor",
        ),
        (
            json!({"connection": "acme-shop", "streams": ["carts"]}),
            "/streams/0",
            "unknown-stream",
        ),
        (
            json!({"connection": "acme-shop", "step_seconds": 59}),
            "/step_seconds",
            "range",
        ),
    ] {
        let problems = app.post(PATH, &range(&body)).await.problems(422);
        assert_eq!(problems, [(pointer.to_owned(), code.to_owned())]);
    }
    app.post(PATH, &range(&json!({"connection": "nobody"})))
        .await
        .problems(404);
    app.ask("viewer", "POST", PATH, Some(&json!({})))
        .await
        .problems(403);
    assert_eq!(app.get(PATH).await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn a_backfill_shows_how_far_it_is_and_how_it_ended() {
    let app = App::with_connection().await;
    let id = made(&app).await;
    let shown = show(&app, &id).await;
    assert_eq!(
        (
            &shown["status"],
            &shown["runs_made"],
            &shown["runs_in_all"],
            &shown["note"]
        ),
        (
            &json!("running"),
            &json!(0),
            &json!(3),
            &json!("new columns")
        )
    );
    for made in 1..=3 {
        assert_eq!(step(&app).await, 1);
        let run = claim_one(&app).await;
        let read = app
            .get(&format!("/api/v1/runs/{}", run.id))
            .await
            .expect(200);
        let day = |day: i64| format!("2026-01-{day:02}T00:00:00Z");
        assert_eq!(
            read["range"],
            json!({"from": day(made), "to": day(made + 1)})
        );
        let shown = show(&app, &id).await;
        assert_eq!(
            (&shown["runs_made"], &shown["counts"]["running"]),
            (&json!(made), &json!(1)),
            "{shown:#}"
        );
        end(&app, &run, Outcome::Succeeded, None).await;
    }
    assert_eq!(step(&app).await, 0);
    close_batches(&app).await;
    let shown = show(&app, &id).await;
    assert_eq!(
        (&shown["status"], &shown["counts"]["succeeded"]),
        (&json!("succeeded"), &json!(3))
    );
    let listed = app
        .get(&format!("{PATH}?connection=acme-shop"))
        .await
        .expect(200);
    assert_eq!(listed["data"][0]["id"], json!(id));
    let cancel = format!("{PATH}/{id}/cancel");
    assert_eq!(
        app.post(&cancel, &json!({})).await.problems(409)[0].1,
        "ended"
    );
}

#[tokio::test]
async fn a_cancelled_backfill_makes_no_more_runs_and_ends_the_one_under_way() {
    let app = App::with_connection().await;
    let id = made(&app).await;
    step(&app).await;
    let batch = show(&app, &id).await["batch_id"].clone();
    let of_batch = format!("/api/v1/batches/{}/cancel", batch.as_str().unwrap());
    let refused = app.post(&of_batch, &json!({})).await.problems(409);
    assert_eq!(refused[0].1, "backfill");
    let cancelled = app
        .post(&format!("{PATH}/{id}/cancel"), &json!({}))
        .await
        .expect(202);
    assert_eq!(
        (
            &cancelled["status"],
            &cancelled["cancelled_by"],
            &cancelled["next_from"]
        ),
        (&json!("cancelled"), &json!("operator"), &Value::Null)
    );
    assert_eq!(cancelled["counts"]["cancelled"], 1);
    assert_eq!(step(&app).await, 0);
    for path in ["nobody", "00000000-0000-0000-0000-000000000000"] {
        app.get(&format!("{PATH}/{path}")).await.problems(404);
        app.post(&format!("{PATH}/{path}/cancel"), &json!({}))
            .await
            .problems(404);
    }
    app.get(&format!("{PATH}?connection=nobody"))
        .await
        .problems(404);
    app.get(&format!("{PATH}?colour=red")).await.problems(400);
}

const STATE: &str = "/api/v1/connections/acme-shop/state";

#[tokio::test]
async fn a_state_is_set_shown_and_forgotten_in_the_languages_own_form() {
    let app = App::with_connection().await;
    assert_eq!(app.get(STATE).await.expect(200)["data"], json!([]));
    let message = json!({
        "type": "STREAM", "stream": {"stream_descriptor": {"name": "orders"}, "stream_state": {"updated": "2026-08-01"}}
    });
    let path = format!("{STATE}/orders");
    let set = app
        .ask("operator", "PUT", &path, Some(&message))
        .await
        .expect(200);
    assert_eq!(
        (&set["stream"], &set["type"]),
        (&message["stream"], &json!("STREAM"))
    );
    assert_eq!(
        (&set["set_by"], &set["run_id"]),
        (&json!("operator"), &Value::Null)
    );
    let listed = app.get(STATE).await.expect(200);
    assert_eq!(listed["data"], json!([set]));
    // What is shown may be sent back.
    app.ask("operator", "PUT", &path, Some(&set))
        .await
        .expect(200);
    app.ask("operator", "DELETE", &path, None).await.expect(204);
    app.ask("operator", "DELETE", &path, None).await.expect(204);
    assert_eq!(app.get(STATE).await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn a_state_that_is_none_is_refused() {
    let app = App::with_connection().await;
    let path = format!("{STATE}/orders");
    for (body, pointer) in [
        (json!({}), "/stream"),
        (json!({"stream": {}}), "/stream/stream_state"),
        (
            json!({"stream": {"stream_state": 5}}),
            "/stream/stream_state",
        ),
        (
            json!({"type": "GLOBAL", "stream": {"stream_state": {}}}),
            "/type",
        ),
        (
            json!({"stream": {"stream_descriptor": {"name": "products"}, "stream_state": {}}}),
            "/stream/stream_descriptor/name",
        ),
    ] {
        let problems = app
            .ask("operator", "PUT", &path, Some(&body))
            .await
            .problems(422);
        assert_eq!(problems[0].0, pointer, "{body}");
    }
    let sound = json!({"stream": {"stream_state": {}}});
    for path in [
        format!("{STATE}/carts"),
        "/api/v1/connections/nobody/state/orders".to_owned(),
    ] {
        app.ask("operator", "PUT", &path, Some(&sound))
            .await
            .problems(404);
    }
    app.ask("viewer", "PUT", &path, Some(&sound))
        .await
        .problems(403);
}

#[tokio::test]
async fn a_state_is_left_alone_while_a_run_may_write_it() {
    let app = App::with_connection().await;
    start(&app, json!({"connection": "acme-shop"})).await;
    let path = format!("{STATE}/orders");
    let message = json!({"stream": {"stream_state": {"updated": "2026-08-01"}}});
    // A run that waits will read what is set now.
    app.ask("operator", "PUT", &path, Some(&message))
        .await
        .expect(200);
    let run = claim_one(&app).await;
    for method in ["PUT", "DELETE"] {
        let answer = app.ask("operator", method, &path, Some(&message)).await;
        assert_eq!(answer.problems(409)[0].1, "running");
        assert!(answer.text.contains(&run.id.to_string()), "{}", answer.text);
    }
    end(&app, &run, Outcome::Succeeded, None).await;
    app.ask("operator", "DELETE", &path, None).await.expect(204);
}

#[tokio::test]
async fn reading_everything_again_is_one_full_run() {
    let app = App::with_connection().await;
    let path = "/api/v1/connections/acme-shop/resync";
    let batch = app
        .post(path, &json!({"streams": ["products"]}))
        .await
        .expect(202);
    assert_eq!(
        (&batch["kind"], &batch["runs"], &batch["streams"]),
        (&json!("full"), &json!(1), &json!(["products"]))
    );
    let batch = app
        .post(path, &json!({"remove_rows": true}))
        .await
        .expect(202);
    assert_eq!(
        (&batch["kind"], &batch["runs"]),
        (&json!("rebuild"), &json!(1))
    );
    let problems = app
        .post(path, &json!({"streams": ["carts"]}))
        .await
        .problems(422);
    assert_eq!(problems[0].0, "/streams/0");
    app.post("/api/v1/connections/nobody/resync", &json!({}))
        .await
        .problems(404);
}
