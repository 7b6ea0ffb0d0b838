//! The endpoints of earlier schedulers.

use serde_json::{Value, json};
use syncline_shared::run::Outcome;

use crate::batches::close_batches;
use crate::support::{App, connection};
use crate::work::{claim_one, end};

async fn sync(app: &App, outcome: Outcome) {
    app.post("/api/v1/runs", &json!({"target": "everything"}))
        .await
        .expect(202);
    let run = claim_one(app).await;
    end(app, &run, outcome, None).await;
    close_batches(app).await;
}

async fn put(app: &App, path: &str, body: Option<&Value>) -> crate::support::Answer {
    app.ask("operator", "PUT", path, body).await
}

#[tokio::test]
async fn the_status_counts_syncs_and_says_how_many_succeeded() {
    let app = App::with_connection().await;
    let before = app.get("/api/v1/scheduler/status").await.expect(200);
    assert_eq!(
        (&before["total_syncs"], &before["success_rate"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(
        (&before["is_running"], &before["interval_seconds"]),
        (&json!(false), &Value::Null)
    );
    for outcome in [
        Outcome::Succeeded,
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::Cancelled,
    ] {
        sync(&app, outcome).await;
    }
    let input = json!({"key": "often", "every_seconds": 300, "target": "everything"});
    app.post("/api/v1/schedules", &input).await.expect(201);
    let status = app.get("/api/v1/scheduler/status").await.expect(200);
    assert_eq!(
        (
            &status["total_syncs"],
            &status["failed_syncs"],
            &status["success_rate"]
        ),
        (&json!(3), &json!(1), &json!("66.7%"))
    );
    assert_eq!(
        (&status["last_sync_status"], &status["interval_seconds"]),
        (&json!("cancelled"), &json!(300))
    );
    assert!(status["last_sync_time"].is_string());
    assert_eq!(status["status"]["jobs"], status["jobs"]);
    let metrics = app.get("/api/v1/sync/metrics").await.expect(200);
    assert_eq!(
        (
            &metrics["successful_syncs"],
            &metrics["data_points_processed"]
        ),
        (&json!(2), &json!(160))
    );
    assert!(metrics["average_duration_seconds"].as_f64().unwrap() >= 0.0);
}

#[tokio::test]
async fn old_addresses_answer_the_same_and_ask_for_a_token_too() {
    let app = App::with_connection().await;
    let input = json!({"key": "daily", "cron": "0 2 * * *", "target": "everything"});
    app.post("/api/v1/schedules", &input).await.expect(201);
    for (path, old) in [
        (
            "/api/v1/scheduler/jobs",
            vec!["/api/scheduler/jobs", "/scheduler/jobs"],
        ),
        (
            "/api/v1/scheduler/jobs/daily",
            vec!["/api/scheduler/jobs/daily", "/scheduler/jobs/daily"],
        ),
        (
            "/api/v1/scheduler/status",
            vec!["/api/scheduler/status", "/scheduler/status"],
        ),
        ("/api/v1/sync/schedules", vec!["/sync/schedules"]),
        ("/api/v1/sync/jobs", vec!["/sync/jobs"]),
        ("/api/v1/sync/metrics", vec!["/sync/metrics"]),
        ("/api/v1/sync/system-status", vec!["/sync/system-status"]),
    ] {
        let proper = app.get(path).await.expect(200);
        for old in old {
            assert_eq!(app.get(old).await.expect(200), proper, "{old}");
            app.ask("", "GET", old, None).await.problems(401);
        }
    }
    for (method, path) in [
        ("POST", "/scheduler/stop"),
        ("POST", "/api/scheduler/sync-now"),
        ("PUT", "/sync/schedules/daily"),
    ] {
        app.ask("viewer", method, path, Some(&json!({})))
            .await
            .problems(403);
    }
}

#[tokio::test]
async fn stopping_and_starting_rests_everything_and_is_kept() {
    let app = App::with_connection().await;
    let stopped = app.post("/scheduler/stop", &json!({})).await.expect(200);
    assert_eq!(stopped["status"], "stopped");
    let status = app.get("/scheduler/status").await.expect(200);
    assert_eq!(
        (&status["paused"], &status["running"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        app.get("/api/v1/pauses").await.expect(200)["data"][0]["scope"],
        "everything"
    );
    let again = app
        .post("/api/v1/scheduler/stop", &json!({}))
        .await
        .expect(200);
    assert_eq!(again["message"], "Scheduler was stopped already");
    let started = app
        .post("/api/scheduler/start", &json!({}))
        .await
        .expect(200);
    assert_eq!(started["message"], "Scheduler started");
    assert_eq!(
        app.get("/scheduler/status").await.expect(200)["paused"],
        false
    );
}

#[tokio::test]
async fn a_sync_is_triggered_of_all_or_of_a_business() {
    let app = App::with_connection().await;
    app.post("/api/v1/businesses", &json!({"key": "1"}))
        .await
        .expect(201);
    let mut other = connection("one-shop");
    other["business"] = json!("1");
    app.post("/api/v1/connections", &other).await.expect(201);
    for (path, runs) in [
        ("/api/v1/scheduler/trigger-sync", 2),
        ("/api/v1/scheduler/trigger-sync?business_id=1", 1),
        ("/api/v1/scheduler/sync/manual", 2),
        ("/api/v1/scheduler/sync-now?wait=0", 2),
        ("/api/v1/analytics/refresh?business_id=1", 1),
        ("/api/v1/products/sync", 2),
    ] {
        let answer = app.ask("operator", "POST", path, None).await;
        let started = answer.expect(202);
        assert_eq!(started["status"], "scheduled", "{path}");
        let batch = app
            .get(&format!(
                "/api/v1/batches/{}",
                started["job_id"].as_str().unwrap()
            ))
            .await
            .expect(200);
        assert_eq!(
            (&batch["runs"], &batch["requested_by"]),
            (&json!(runs), &json!("operator")),
            "{path}"
        );
    }
    app.post(
        "/api/v1/scheduler/trigger-sync?business_id=nobody",
        &json!({}),
    )
    .await
    .problems(422);
    app.post("/api/v1/scheduler/sync-now?wait=26", &json!({}))
        .await
        .problems(400);
}

#[tokio::test]
async fn a_sync_that_ends_while_it_is_waited_for_tells_its_result() {
    let app = App::with_connection().await;
    let work = async {
        crate::support::until(async || {
            sqlx::query_scalar::<_, bool>("select exists (select from syncline.run)")
                .fetch_one(&app.pool)
                .await
                .unwrap()
        })
        .await;
        let run = claim_one(&app).await;
        end(&app, &run, Outcome::Succeeded, None).await;
        close_batches(&app).await;
    };
    let body = json!({});
    let (answer, ()) = tokio::join!(app.post("/scheduler/sync-now", &body), work);
    let done = answer.expect(200);
    assert_eq!(
        done["message"],
        "Manual sync completed: 40 new records, 0 updated"
    );
    assert_eq!(
        (
            &done["result"]["status"],
            &done["result"]["total_processed"],
            &done["result"]["inserted"]
        ),
        (&json!("success"), &json!(40), &json!(40))
    );
    assert_eq!(done["scheduler_status"]["total_syncs"], 1);
}

#[tokio::test]
async fn one_page_of_products_is_read_without_state() {
    let app = App::with_connection().await;
    let started = app
        .ask("operator", "POST", "/api/v1/products/sync?page=3", None)
        .await
        .expect(202);
    assert_eq!(started["message"], "Sync of page 3 of products started");
    let run = app.get("/api/v1/runs").await.expect(200)["data"][0].clone();
    assert_eq!(
        (&run["kind"], &run["page"], &run["streams"]),
        (&json!("page"), &json!(3), &json!(["products"]))
    );
    app.ask(
        "operator",
        "POST",
        "/api/v1/products/sync?platform=nobody",
        None,
    )
    .await
    .problems(422);
}

#[tokio::test]
async fn a_business_has_an_interval_of_its_own() {
    let app = App::with_connection().await;
    let path = "/api/v1/scheduler/business/acme/schedule";
    let set = app
        .ask(
            "operator",
            "POST",
            &format!("{path}?interval_hours=24"),
            None,
        )
        .await
        .expect(200);
    assert_eq!(set["message"], "Business acme is synced every 24 hours");
    let schedule = app.get("/api/v1/schedules/business-acme").await.expect(200);
    assert_eq!(
        (&schedule["every_seconds"], &schedule["target"]),
        (&json!(86_400), &json!({"business": "acme"}))
    );
    app.ask(
        "operator",
        "POST",
        &format!("{path}?interval_hours=1"),
        None,
    )
    .await
    .expect(200);
    let schedule = app.get("/api/v1/schedules/business-acme").await.expect(200);
    assert_eq!(schedule["every_seconds"], 3600);
    for bad in ["", "?interval_hours=0", "?interval_hours=x"] {
        app.ask("operator", "POST", &format!("{path}{bad}"), None)
            .await
            .problems(400);
    }
    app.ask("operator", "DELETE", path, None).await.expect(200);
    app.ask("operator", "DELETE", path, None)
        .await
        .problems(404);
    app.ask(
        "operator",
        "POST",
        "/scheduler/business/nobody/schedule?interval_hours=1",
        None,
    )
    .await
    .problems(404);
}

#[tokio::test]
async fn the_daily_sync_is_moved_and_keeps_its_other_settings() {
    let app = App::with_connection().await;
    let path = "/api/v1/scheduler/schedule/daily";
    let set = put(&app, &format!("{path}?hour=3&minute=30"), None)
        .await
        .expect(200);
    assert_eq!(
        (&set["message"], &set["job"]["id"]),
        (&json!("Daily sync is at 03:30, UTC"), &json!("daily-sync"))
    );
    let change = json!({"zone": "Asia/Tokyo", "priority": 3});
    app.ask(
        "operator",
        "PATCH",
        "/api/v1/schedules/daily-sync",
        Some(&change),
    )
    .await
    .expect(200);
    let set = put(&app, &format!("{path}?hour=4"), None).await.expect(200);
    assert_eq!(set["message"], "Daily sync is at 04:00, Asia/Tokyo");
    let schedule = app.get("/api/v1/schedules/daily-sync").await.expect(200);
    assert_eq!(
        (&schedule["cron"], &schedule["priority"]),
        (&json!("0 4 * * *"), &json!(3))
    );
    for bad in ["", "?hour=24", "?hour=3&minute=60"] {
        put(&app, &format!("{path}{bad}"), None).await.problems(400);
    }
}

#[tokio::test]
async fn sync_schedules_have_types_frequencies_and_statuses() {
    let app = App::with_connection().await;
    let path = "/api/v1/sync/schedules";
    let input = json!({"name": "Everything, hourly", "type": "both", "frequency": "hourly"});
    let made = app.post(path, &input).await.expect(201);
    assert_eq!(
        (
            &made["id"],
            &made["type"],
            &made["frequency"],
            &made["status"],
            &made["enabled"]
        ),
        (
            &json!("everything-hourly"),
            &json!("both"),
            &json!("hourly"),
            &json!("active"),
            &json!(true)
        )
    );
    let one = format!("{path}/everything-hourly");
    // What is shown may be sent back.
    let same = put(&app, &one, Some(&made)).await.expect(200);
    assert_eq!(
        (&same["frequency"], &same["status"]),
        (&json!("hourly"), &json!("active"))
    );
    let paused = put(
        &app,
        &one,
        Some(&json!({"frequency": "weekly", "status": "paused"})),
    )
    .await
    .expect(200);
    assert_eq!(
        (&paused["frequency"], &paused["status"]),
        (&json!("weekly"), &json!("paused"))
    );
    let active = put(
        &app,
        &one,
        Some(&json!({"frequency": "manual", "status": "active"})),
    )
    .await
    .expect(200);
    assert_eq!(
        (&active["frequency"], &active["next_run"]),
        (&json!("manual"), &Value::Null)
    );
    assert_eq!(app.get(path).await.expect(200).as_array().unwrap().len(), 1);

    let started = app
        .post(&format!("{one}/trigger"), &json!({}))
        .await
        .expect(202);
    assert_eq!(started["status"], "scheduled");
    let jobs = app.get("/sync/jobs").await.expect(200);
    assert_eq!(
        (&jobs[0]["id"], &jobs[0]["schedule_id"], &jobs[0]["status"]),
        (
            &started["job_id"],
            &json!("everything-hourly"),
            &json!("running")
        )
    );
    let bad = json!({"name": "x", "type": "all", "frequency": "yearly", "status": "odd"});
    assert_eq!(app.post(path, &bad).await.problems(422).len(), 3);
    // No platform here has campaigns.
    let campaigns = json!({"name": "x", "type": "campaigns", "frequency": "daily"});
    assert_eq!(
        app.post(path, &campaigns).await.problems(422)[0].0,
        "/streams/0"
    );
    put(&app, "/sync/schedules/nobody", Some(&json!({"name": "y"})))
        .await
        .problems(404);
}

#[tokio::test]
async fn platforms_are_healthy_or_say_what_is_wrong() {
    let app = App::with_connection().await;
    let status = async || app.get("/sync/system-status").await.expect(200)[0].clone();
    assert_eq!(
        (&status().await["name"], &status().await["status"]),
        (&json!("shop"), &json!("unknown"))
    );
    sync(&app, Outcome::Succeeded).await;
    assert_eq!(status().await["status"], "healthy");
    sync(&app, Outcome::Failed).await;
    let down = status().await;
    assert_eq!(
        (&down["status"], &down["error_count_24h"]),
        (&json!("down"), &json!(1))
    );
    assert!(down["last_success"].is_string());
    let errors = app
        .get("/api/v1/analytics/refresh?business_id=acme")
        .await
        .expect(200);
    assert_eq!(
        (&errors[0]["connection"], &errors[0]["status"]),
        (&json!("acme-shop"), &json!("failed"))
    );
    app.post("/scheduler/stop", &json!({})).await.expect(200);
    assert_eq!(status().await["status"], "paused");
}
