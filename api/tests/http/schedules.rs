//! Schedules: every trigger and policy, changing, pausing, following, deleting.

use serde_json::{Value, json};

use crate::support::{App, connection};
use crate::work::{claim_one, end};
use syncline_shared::run::Outcome;

const PATH: &str = "/api/v1/schedules";

async fn make(app: &App, key: &str, more: Value) -> Value {
    let mut input = json!({"key": key, "target": "everything"});
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    app.post(PATH, &input).await.expect(201)
}

async fn change(app: &App, method: &str, key: &str, body: Value) -> Value {
    let answer = app
        .ask("operator", method, &format!("{PATH}/{key}"), Some(&body))
        .await;
    answer.expect(200)
}

fn one(pointer: &str, code: &str) -> Vec<(String, String)> {
    vec![(pointer.to_owned(), code.to_owned())]
}

#[tokio::test]
async fn every_trigger_is_stored_shown_and_said_in_words() {
    let app = App::with_connection().await;
    make(&app, "first", json!({"cron": "@hourly"})).await;
    for (key, when, trigger, words, is_due) in [
        (
            "cron",
            json!({"cron": "30 2 * * 1-5", "zone": "Europe/Berlin"}),
            "cron",
            "Weekdays at 02:30, Europe/Berlin",
            true,
        ),
        (
            "interval",
            json!({"every_seconds": 300}),
            "interval",
            "Every 5 minutes",
            true,
        ),
        (
            "once",
            json!({"run_at": "2999-01-01T00:00:00Z"}),
            "once",
            "Once, at 2999-01-01T00:00:00Z",
            true,
        ),
        (
            "after",
            json!({"after": {"schedule": "first"}}),
            "after",
            "After each batch of first that has succeeded",
            false,
        ),
        (
            "manual",
            json!({"trigger": "manual"}),
            "manual",
            "Only when asked for",
            false,
        ),
        (
            "preset",
            json!({"preset": {"daily": "02:00"}}),
            "cron",
            "Every day at 02:00, UTC",
            true,
        ),
    ] {
        let made = make(&app, key, when).await;
        let shown = app.get(&format!("{PATH}/{key}")).await.expect(200);
        for view in [&made, &shown] {
            assert_eq!(
                (&view["trigger"], &view["words"]),
                (&json!(trigger), &json!(words)),
                "{view:#}"
            );
            assert_eq!(view["next_at"].is_string(), is_due, "{view:#}");
            assert_eq!(
                (&view["state"], &view["pause"]),
                (&json!("active"), &Value::Null)
            );
        }
    }
}

#[tokio::test]
async fn all_policies_come_back_as_they_were_written() {
    let app = App::with_connection().await;
    let written = json!({
        "every_seconds": 60, "name": "All of it", "target": {"connection": "acme-shop"}, "streams": ["products"], "page": 3,
        "kind": "page", "priority": 7, "catch_up": {"mode": "all", "window_seconds": 3600, "cap": 5},
        "overlap": "queue_one", "jitter_seconds": 5, "spread_seconds": 6, "start_at": "2030-01-01T00:00:00Z",
        "end_at": "2031-01-01T00:00:00Z", "max_runs": 8, "pause_after_failures": 9,
        "retry": {"base_seconds": 1.5, "max_failures": 2}, "time_limit_seconds": 600,
    });
    let made = make(&app, "all", written.clone()).await;
    for (name, value) in written.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
    // The first moment is not before it starts, and a tick is due within its jitter.
    assert_eq!(&made["next_at"].as_str().unwrap()[..10], "2030-01-01");
    let nothing_said = make(&app, "plain", json!({"every_seconds": 60})).await;
    assert_eq!(
        nothing_said["catch_up"],
        json!({"mode": "latest", "window_seconds": 31_536_000, "cap": 100})
    );
    assert_eq!(nothing_said["overlap"], "skip");
}

#[tokio::test]
async fn a_moment_that_is_over_is_refused() {
    let app = App::start().await;
    let input = json!({"key": "past", "run_at": "2001-01-01T00:00:00Z", "target": "everything"});
    let problems = app.post(PATH, &input).await.problems(422);
    assert_eq!(problems, one("/run_at", "past"));
}

#[tokio::test]
async fn a_whole_replacement_sets_the_rest_to_defaults_and_keeps_the_key() {
    let app = App::start().await;
    let made = make(
        &app,
        "a",
        json!({"every_seconds": 60, "priority": 7, "overlap": "queue_all"}),
    )
    .await;
    let replaced = change(
        &app,
        "PUT",
        "a",
        json!({"every_seconds": 60, "target": "everything"}),
    )
    .await;
    assert_eq!(
        (&replaced["priority"], &replaced["overlap"]),
        (&json!(50), &json!("skip"))
    );
    // An interval of the same length goes on counting from where it did.
    assert_eq!(
        (&replaced["anchor"], &replaced["id"]),
        (&made["anchor"], &made["id"])
    );
    let other = json!({"key": "b", "every_seconds": 60, "target": "everything"});
    let path = format!("{PATH}/a");
    let answer = app.ask("operator", "PUT", &path, Some(&other)).await;
    assert_eq!(answer.problems(422), one("/key", "key"));
    let answer = app
        .ask(
            "operator",
            "PUT",
            &path,
            Some(&json!({"target": "everything"})),
        )
        .await;
    assert_eq!(answer.problems(422), one("/cron", "required"));
    app.ask("operator", "PUT", "/api/v1/schedules/nobody", Some(&other))
        .await
        .problems(404);
    app.ask("viewer", "PUT", &path, Some(&other))
        .await
        .problems(403);
}

#[tokio::test]
async fn a_change_touches_only_what_it_names() {
    let app = App::with_connection().await;
    make(
        &app,
        "a",
        json!({"cron": "0 2 * * *", "zone": "Europe/Berlin", "priority": 7, "max_runs": 3}),
    )
    .await;
    let changed = change(
        &app,
        "PATCH",
        "a",
        json!({"overlap": "queue_one", "max_runs": null}),
    )
    .await;
    assert_eq!(
        (
            &changed["cron"],
            &changed["priority"],
            &changed["overlap"],
            &changed["max_runs"]
        ),
        (
            &json!("0 2 * * *"),
            &json!(7),
            &json!("queue_one"),
            &Value::Null
        )
    );
    // Another trigger takes the place of the one before.
    let changed = change(&app, "PATCH", "a", json!({"every_seconds": 900})).await;
    assert_eq!(
        (&changed["cron"], &changed["trigger"]),
        (&Value::Null, &json!("interval"))
    );
    assert_eq!(changed["zone"], "Europe/Berlin");
    let changed = change(&app, "PATCH", "a", json!({"trigger": "manual"})).await;
    assert_eq!(
        (&changed["trigger"], &changed["next_at"]),
        (&json!("manual"), &Value::Null)
    );
    let changed = change(
        &app,
        "PATCH",
        "a",
        json!({"target": {"connection": "acme-shop"}, "enabled": false}),
    )
    .await;
    assert_eq!(
        (&changed["target"], &changed["state"]),
        (&json!({"connection": "acme-shop"}), &json!("paused"))
    );

    let path = format!("{PATH}/a");
    let bad = json!({"cron": "61 * * * *", "colour": "red"});
    let answer = app.ask("operator", "PATCH", &path, Some(&bad)).await;
    assert_eq!(answer.problems(422).len(), 2);
    app.ask("operator", "PATCH", &path, Some(&json!([])))
        .await
        .problems(422);
}

#[tokio::test]
async fn what_is_due_already_stays_due_when_the_trigger_stays() {
    let app = App::start().await;
    make(&app, "a", json!({"cron": "0 2 * * *"})).await;
    let overdue = "update syncline.schedule set next_at = '2026-01-01T02:00:00Z', due_at = '2026-01-01T02:00:00Z'";
    sqlx::query(overdue).execute(&app.pool).await.unwrap();
    let changed = change(&app, "PATCH", "a", json!({"priority": 1})).await;
    assert_eq!(changed["next_at"], "2026-01-01T02:00:00Z");
    let changed = change(&app, "PATCH", "a", json!({"cron": "0 3 * * *"})).await;
    assert!(
        changed["next_at"].as_str().unwrap() > "2026-01-02",
        "{changed:#}"
    );
}

#[tokio::test]
async fn a_paused_schedule_says_who_since_when_and_why() {
    let app = App::start().await;
    make(&app, "a", json!({"every_seconds": 60})).await;
    let path = format!("{PATH}/a");
    let note = json!({"note": "stocktaking"});
    let paused = app.post(&format!("{path}/pause"), &note).await.expect(200);
    assert_eq!(
        (&paused["state"], &paused["next_at"]),
        (&json!("paused"), &Value::Null)
    );
    assert_eq!(
        (
            &paused["pause"]["cause"],
            &paused["pause"]["paused_by"],
            &paused["pause"]["note"]
        ),
        (&json!("person"), &json!("operator"), &json!("stocktaking"))
    );
    // A change of the configuration does not wake it.
    assert_eq!(
        change(&app, "PATCH", "a", json!({"priority": 1})).await["next_at"],
        Value::Null
    );
    let resumed = app
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&resumed["state"], &resumed["pause"]),
        (&json!("active"), &Value::Null)
    );
    assert!(resumed["next_at"].is_string());
    let again = app
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .expect(200);
    assert_eq!(again["next_at"], resumed["next_at"]);
    app.ask("viewer", "POST", &format!("{path}/pause"), None)
        .await
        .problems(403);
    app.post(&format!("{PATH}/nobody/pause"), &json!({}))
        .await
        .problems(404);
}

#[tokio::test]
async fn circles_are_refused_with_their_path() {
    let app = App::start().await;
    make(&app, "a", json!({"every_seconds": 60})).await;
    make(&app, "b", json!({"after": {"schedule": "a"}})).await;
    make(
        &app,
        "c",
        json!({"after": {"schedule": "b", "when": "ended"}}),
    )
    .await;
    for (followed, path) in [
        ("c", "a follows c follows b follows a"),
        ("a", "a follows a"),
    ] {
        let body = json!({"after": {"schedule": followed}});
        let answer = app
            .ask("operator", "PATCH", &format!("{PATH}/a"), Some(&body))
            .await;
        assert_eq!(answer.problems(422), one("/after/schedule", "circle"));
        assert!(answer.text.contains(path), "{}", answer.text);
    }
    let input = json!({"key": "d", "target": "everything", "after": {"schedule": "nobody"}});
    let problems = app.post(PATH, &input).await.problems(422);
    assert_eq!(problems, one("/after/schedule", "unknown-schedule"));
}

#[tokio::test]
async fn two_halves_of_a_circle_that_come_at_once_do_not_close_it() {
    let app = App::start().await;
    for _ in 0..5 {
        make(&app, "a", json!({"every_seconds": 60})).await;
        make(&app, "b", json!({"every_seconds": 60})).await;
        let half = |one: &str, other: &str| {
            let (path, body) = (
                format!("{PATH}/{one}"),
                json!({"after": {"schedule": other}}),
            );
            let app = &app;
            async move {
                app.ask("operator", "PATCH", &path, Some(&body))
                    .await
                    .status
                    .as_u16()
            }
        };
        let (one, other) = tokio::join!(half("a", "b"), half("b", "a"));
        let mut both = [one, other];
        both.sort_unstable();
        assert_eq!(both, [200, 422]);
        app.ask("operator", "DELETE", &format!("{PATH}?all=true"), None)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn what_others_follow_is_not_deleted() {
    let app = App::start().await;
    make(&app, "a", json!({"every_seconds": 60})).await;
    for key in ["b", "c"] {
        make(&app, key, json!({"after": {"schedule": "a"}})).await;
    }
    let delete = async |key: &str| {
        app.ask("operator", "DELETE", &format!("{PATH}/{key}"), None)
            .await
    };
    let refused = delete("a").await;
    assert_eq!(refused.problems(409), one("", "followed"));
    assert!(refused.text.contains("b, c"), "{}", refused.text);
    for key in ["b", "c", "a"] {
        delete(key).await.expect(204);
    }
    delete("a").await.problems(404);
}

#[tokio::test]
async fn all_schedules_are_deleted_only_when_that_is_said() {
    let app = App::start().await;
    make(&app, "a", json!({"every_seconds": 60})).await;
    make(&app, "b", json!({"after": {"schedule": "a"}})).await;
    app.ask("operator", "DELETE", PATH, None)
        .await
        .problems(400);
    let deleted = app
        .ask("operator", "DELETE", &format!("{PATH}?all=true"), None)
        .await
        .expect(200);
    assert_eq!(deleted, json!({"deleted": 2}));
    assert_eq!(app.get(PATH).await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn the_list_is_filtered_by_business_platform_state_and_text() {
    let app = App::with_connection().await;
    app.post("/api/v1/businesses", &json!({"key": "beta"}))
        .await
        .expect(201);
    let mut other = connection("beta-shop");
    other["business"] = json!("beta");
    app.post("/api/v1/connections", &other).await.expect(201);
    make(
        &app,
        "acme-one",
        json!({"every_seconds": 60, "target": {"connection": "acme-shop"}, "name": "100 % Acme"}),
    )
    .await;
    make(
        &app,
        "beta-all",
        json!({"every_seconds": 60, "target": {"business": "beta"}}),
    )
    .await;
    make(
        &app,
        "shop-all",
        json!({"every_seconds": 60, "target": {"platform": "shop"}}),
    )
    .await;
    make(&app, "off", json!({"every_seconds": 60, "enabled": false})).await;
    make(&app, "failing", json!({"every_seconds": 60})).await;
    sqlx::query(
        "update syncline.schedule set paused_at = now(), paused_by = 'scheduler', pause_cause = 'failures',
             next_at = null, due_at = null where key = 'failing'",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    app.post(&format!("{PATH}/beta-all/trigger"), &json!({}))
        .await
        .expect(202);
    for (query, expected) in [
        ("business=acme", vec!["acme-one"]),
        ("business=beta", vec!["beta-all"]),
        ("platform=shop", vec!["acme-one", "shop-all"]),
        ("state=paused", vec!["off"]),
        ("state=error", vec!["failing"]),
        ("state=running", vec!["beta-all"]),
        ("state=active,paused", vec!["acme-one", "off", "shop-all"]),
        ("text=ACME", vec!["acme-one"]),
        ("text=100%20%25", vec!["acme-one"]),
        ("text=100_", vec![]),
    ] {
        let found = app.get(&format!("{PATH}?{query}")).await.expect(200);
        let found = found["data"].as_array().unwrap();
        let keys: Vec<_> = found
            .iter()
            .map(|schedule| schedule["key"].as_str().unwrap())
            .collect();
        assert_eq!(keys, expected, "{query}");
        // What the filter takes for a state is what is shown.
        if let Some(states) = query.strip_prefix("state=") {
            assert!(
                found
                    .iter()
                    .all(|schedule| states.contains(schedule["state"].as_str().unwrap())),
                "{query}"
            );
        }
    }
    app.get(&format!("{PATH}?state=odd")).await.problems(400);
    app.get(&format!("{PATH}?business=nobody"))
        .await
        .problems(404);
}

#[tokio::test]
async fn a_trigger_makes_a_batch_and_no_tick() {
    let app = App::with_connection().await;
    let made = make(
        &app,
        "a",
        json!({"every_seconds": 3600, "target": {"connection": "acme-shop"}}),
    )
    .await;
    let path = format!("{PATH}/a/trigger");
    let answer = app
        .post(&path, &json!({"streams": ["orders"], "kind": "full"}))
        .await;
    let batch = answer.expect(202);
    assert_eq!(
        answer.header("location"),
        format!("/api/v1/batches/{}", batch["id"].as_str().unwrap())
    );
    assert_eq!(
        (
            &batch["origin"],
            &batch["requested_by"],
            &batch["schedule"]["key"],
            &batch["runs"]
        ),
        (&json!("manual"), &json!("operator"), &json!("a"), &json!(1))
    );
    assert_eq!(
        (&batch["streams"], &batch["kind"]),
        (&json!(["orders"]), &json!("full"))
    );
    assert_eq!(batch["counts"]["waiting"], 1);
    let shown = app.get(&format!("{PATH}/a")).await.expect(200);
    assert_eq!(
        (&shown["state"], &shown["ticks"]),
        (&json!("running"), &json!([]))
    );
    assert_eq!(
        (&shown["next_at"], &shown["last_batch"]["status"]),
        (&made["next_at"], &json!("running"))
    );

    // Its overlap policy is to skip; the request may say otherwise.
    let refused = app.post(&path, &json!({})).await;
    assert_eq!(refused.problems(409), one("", "nothing-started"));
    assert!(
        refused
            .text
            .contains("acme-shop: its run of an earlier tick is unfinished"),
        "{}",
        refused.text
    );
    app.post(&path, &json!({"overlap": "queue_all"}))
        .await
        .expect(202);
    let problems = app
        .post(&path, &json!({"streams": ["carts"], "overlap": "both"}))
        .await
        .problems(422);
    assert_eq!(problems, one("/overlap", "unknown-value"));
    let problems = app
        .post(&path, &json!({"streams": ["carts"]}))
        .await
        .problems(422);
    assert_eq!(problems, one("/streams/0", "unknown-stream"));
    app.ask("viewer", "POST", &path, None).await.problems(403);
}

#[tokio::test]
async fn a_schedule_that_rests_can_be_triggered() {
    let app = App::with_connection().await;
    make(
        &app,
        "a",
        json!({"trigger": "manual", "enabled": false, "streams": ["products"], "page": 2}),
    )
    .await;
    app.post(&format!("{PATH}/a/pause"), &json!({}))
        .await
        .expect(200);
    let batch = app
        .post(&format!("{PATH}/a/trigger"), &json!({}))
        .await
        .expect(202);
    assert_eq!(
        (&batch["kind"], &batch["target"]),
        (&json!("page"), &json!("everything"))
    );
    let run = claim_one(&app).await;
    end(&app, &run, Outcome::Succeeded, None).await;
    assert_eq!(
        app.get(&format!("{PATH}/a")).await.expect(200)["state"],
        "paused"
    );
}

#[tokio::test]
async fn how_the_last_batches_went_is_told() {
    let app = App::with_connection().await;
    make(&app, "a", json!({"trigger": "manual"})).await;
    for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Succeeded] {
        app.post(&format!("{PATH}/a/trigger"), &json!({}))
            .await
            .expect(202);
        let run = claim_one(&app).await;
        end(&app, &run, outcome, None).await;
        crate::batches::close_batches(&app).await;
    }
    let shown = app.get(&format!("{PATH}/a")).await.expect(200);
    assert_eq!(
        (&shown["success"]["succeeded"], &shown["success"]["ended"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(shown["last_batch"]["status"], "succeeded");
    assert_eq!(shown["unfinished_runs"], 0);
}

#[tokio::test]
async fn a_preview_of_a_schedule_has_jitter_local_times_and_ends_with_it() {
    let app = App::start().await;
    make(
        &app,
        "a",
        json!({"cron": "0 2 * * *", "zone": "Europe/Berlin", "jitter_seconds": 600, "max_runs": 2}),
    )
    .await;
    let shown = app.get(&format!("{PATH}/a")).await.expect(200);
    let preview = app
        .get(&format!("{PATH}/a/preview?count=4"))
        .await
        .expect(200);
    let ticks = preview["ticks"].as_array().unwrap();
    assert_eq!(ticks.len(), 2);
    // The preview is what fires.
    assert_eq!(
        (&ticks[0]["at"], &ticks[0]["due_at"]),
        (&shown["next_at"], &shown["due_at"])
    );
    assert!(
        ticks[0]["local"].as_str().unwrap().contains("T02:00:00+0"),
        "{preview:#}"
    );
    let unsaved =
        json!({"cron": "0 2 * * *", "jitter_seconds": 600, "end_at": "2999-01-01T00:00:00Z"});
    let preview = app
        .post(&format!("{PATH}/preview"), &unsaved)
        .await
        .expect(200);
    assert_eq!(
        (
            preview["ticks"].as_array().unwrap().len(),
            &preview["ticks"][0]["due_at"]
        ),
        (5, &Value::Null)
    );
    app.get(&format!("{PATH}/a/preview?count=101"))
        .await
        .problems(400);
    app.get(&format!("{PATH}/nobody/preview"))
        .await
        .problems(404);
}
