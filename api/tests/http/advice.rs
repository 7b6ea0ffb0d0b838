//! Advice on the timing of a schedule, from runs that were.

use serde_json::{Value, json};

use crate::support::App;

/// As long as anybody remembers, the schedule has been what it is; finished runs of it, of ten calls each: so many that brought something, then so many that did not.
async fn add_runs(app: &App, changed: i64, idle: i64, seconds: i64) {
    let runs = "insert into syncline.run_history
             (id, outcome, batch_id, schedule_id, connection_id, business_id, platform, origin, kind, priority, attempt, failures,
              lease_token, started_at, finished_at, checkpoint_sequence, checkpoint, progress, created_at)
         select syncline.run_id_floor(now() - n * interval '1 hour'), 'succeeded', gen_random_uuid(), s.id, c.id, c.business_id, c.platform,
                'schedule', 'incremental', 50, 1, 0, 1, at, at + make_interval(secs => $3), 0, '{}',
                jsonb_build_object('products', jsonb_build_object('status', 'done', 'pages', 1, 'read', 5, 'unchanged', 5,
                    'inserted', case when n <= $1 then 5 else 0 end, 'updated', 0, 'deleted', 0, 'failed', 0)), at
         from syncline.schedule s, syncline.connection c, generate_series(1, $1 + $2) n,
              lateral (select now() - n * interval '1 hour' as at) t";
    sqlx::query(runs)
        .bind(changed)
        .bind(idle)
        .bind(seconds)
        .execute(&app.pool)
        .await
        .unwrap();
    backdate(app).await;
    let attempts = "insert into syncline.attempt (run_id, token, number, process_id, process_name, started_at, ended_at, outcome, calls)
         select id, 1, 1, gen_random_uuid(), 'test:1', started_at, finished_at, 'succeeded', 10 from syncline.run_history";
    sqlx::query(attempts).execute(&app.pool).await.unwrap();
}

async fn with_schedule(trigger: Value) -> App {
    let app = App::with_connection().await;
    let mut input =
        json!({"key": "a", "target": {"connection": "acme-shop"}, "kind": "incremental"});
    for (name, value) in trigger.as_object().unwrap() {
        input[name] = value.clone();
    }
    app.post("/api/v1/schedules", &input).await.expect(201);
    app
}

const ADVICE: &str = "/api/v1/schedules/a/advice";

#[tokio::test]
async fn what_changes_half_as_often_is_advised_and_applied_on_request_only() {
    let app = with_schedule(json!({"every_seconds": 3600})).await;
    add_runs(&app, 40, 60, 5).await;
    let shown = app.get(ADVICE).await.expect(200);
    let first = &shown["advice"][0];
    assert_eq!(
        (&first["kind"], &first["patch"], &first["saves_percent"]),
        (
            &json!("less_often"),
            &json!({"every_seconds": 7_200}),
            &json!(50)
        ),
        "{shown:#}"
    );
    assert_eq!(
        shown["words"],
        "Every hour is more often than the data changes: of 100 runs 40 brought anything new. Every 2 hours saves about 50 % of its calls."
    );
    let observed = &shown["observed"];
    assert_eq!(
        (
            &observed["runs"],
            &observed["changed"],
            &observed["calls"],
            &observed["p95_seconds"],
            &observed["overlapping"]
        ),
        (
            &json!(100),
            &json!(40),
            &json!(1_000),
            &json!(5.0),
            &json!(0)
        )
    );
    let unchanged = app.get("/api/v1/schedules/a").await.expect(200);
    assert_eq!(unchanged["every_seconds"], 3_600);

    let apply = format!("{ADVICE}/less_often/apply");
    app.ask("viewer", "POST", &apply, None).await.expect(403);
    let changed = app.ask("operator", "POST", &apply, None).await.expect(200);
    assert_eq!(changed["every_seconds"], 7_200);
    // It is done, and what runs were like before says nothing of now.
    let again = app.ask("operator", "POST", &apply, None).await.expect(409);
    assert_eq!(again["errors"][0]["code"], "not-advised", "{again:#}");
    let shown = app.get(ADVICE).await.expect(200);
    assert_eq!(
        (&shown["observed"]["runs"], &shown["advice"]),
        (&json!(0), &json!([]))
    );
    // A change of something else does not make it forget.
    let patch = json!({"priority": 30});
    backdate(&app).await;
    app.ask("operator", "PATCH", "/api/v1/schedules/a", Some(&patch))
        .await
        .expect(200);
    assert_eq!(app.get(ADVICE).await.expect(200)["observed"]["runs"], 100);
}

/// Has the schedule been what it is for as long as its runs go back.
async fn backdate(app: &App) {
    sqlx::query("update syncline.schedule set timed_at = now() - interval '60 days'")
        .execute(&app.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn slow_runs_get_more_time_in_cron_fields() {
    let app = with_schedule(json!({"cron": "*/15 * * * *"})).await;
    add_runs(&app, 30, 0, 1_000).await;
    let shown = app.get(ADVICE).await.expect(200);
    assert_eq!(shown["advice"][0]["kind"], "more_time", "{shown:#}");
    assert_eq!(shown["observed"]["overlapping"], 30);
    let apply = format!("{ADVICE}/more_time/apply");
    let changed = app.ask("operator", "POST", &apply, None).await.expect(200);
    assert_eq!(changed["cron"], "*/30 * * * *");
}

#[tokio::test]
async fn without_runs_or_an_even_distance_it_says_so() {
    let app = with_schedule(json!({"every_seconds": 3600})).await;
    let early = app.get(ADVICE).await.expect(200);
    assert_eq!(
        early["words"],
        "Too early to tell: 0 of the 20 finished runs that it takes."
    );
    let uneven = json!({"cron": "0 9 * * mon-fri"});
    app.ask(
        "operator",
        "PATCH",
        "/api/v1/schedules/a",
        Some(&json!({"every_seconds": null, "cron": uneven["cron"]})),
    )
    .await
    .expect(200);
    add_runs(&app, 10, 30, 5).await;
    let shown = app.get(ADVICE).await.expect(200);
    assert_eq!(
        (&shown["observed"], &shown["advice"]),
        (&Value::Null, &json!([]))
    );
    app.get("/api/v1/schedules/nobody/advice")
        .await
        .problems(404);
    app.ask("operator", "POST", &format!("{ADVICE}/sooner/apply"), None)
        .await
        .problems(404);
}
