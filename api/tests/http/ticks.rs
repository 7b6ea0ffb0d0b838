//! What became of a schedule's moments.

use serde_json::{Value, json};

use crate::support::App;

/// A schedule that is due at 03:00 in Berlin, with ticks of some days: fired, a gap, late, skipped.
async fn with_ticks() -> App {
    let app = App::with_connection().await;
    let input =
        json!({"key": "a", "cron": "0 3 * * *", "zone": "Europe/Berlin", "target": "everything"});
    app.post("/api/v1/schedules", &input).await.expect(201);
    sqlx::query(
        "with s as (select id from syncline.schedule),
              b as (insert into syncline.batch (origin, schedule_id, nominal_at, runs)
                    select 'schedule', id, '2026-06-10T01:00:00Z', 0 from s returning id)
         insert into syncline.tick (schedule_id, nominal_at, last_nominal_at, moments, outcome, reason, batch_id, decided_at)
         select s.id, t.at, t.last, t.moments, t.outcome, t.reason, case when t.reason is null then b.id end, t.last + t.late
         from s, b, (values
             ('2026-06-01T01:00:00Z'::timestamptz, '2026-06-01T01:00:00Z'::timestamptz, 1, 'fired', null, interval '200 ms'),
             ('2026-06-02T01:00:00Z', '2026-06-08T01:00:00Z', 7, 'missed', 'it was late by more than the catch-up window', interval '1 day'),
             ('2026-06-09T01:00:00Z', '2026-06-09T01:00:00Z', 1, 'late', null, interval '90 s'),
             ('2026-06-10T01:00:00Z', '2026-06-10T01:00:00Z', 1, 'skipped', 'no connection', interval '0'),
             ('2026-06-11T01:00:00Z', '2026-06-11T01:00:00Z', 1, 'fired', null, interval '0')
         ) as t (at, last, moments, outcome, reason, late)",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    sqlx::query("update syncline.schedule set created_at = '2026-05-01T00:00:00Z'")
        .execute(&app.pool)
        .await
        .unwrap();
    app
}

async fn days(app: &App, query: &str) -> Vec<String> {
    let page = app
        .get(&format!("/api/v1/schedules/a/ticks?{query}"))
        .await
        .expect(200);
    let ticks = page["data"].as_array().unwrap();
    ticks
        .iter()
        .map(|tick| tick["nominal_at"].as_str().unwrap()[8..10].to_owned())
        .collect()
}

#[tokio::test]
async fn ticks_are_listed_by_time_and_outcome_and_page_to_their_end() {
    let app = with_ticks().await;
    assert_eq!(days(&app, "").await, ["11", "10", "09", "02", "01"]);
    // A gap that reaches into the time is shown whole.
    assert_eq!(
        days(&app, "from=2026-06-05T00:00:00Z").await,
        ["11", "10", "09", "02"]
    );
    assert_eq!(
        days(&app, "from=2026-06-08T01:00:00.000001Z").await,
        ["11", "10", "09"]
    );
    assert_eq!(
        days(&app, "before=2026-06-09T01:00:00Z").await,
        ["02", "01"]
    );
    assert_eq!(
        days(
            &app,
            "from=2026-06-05T00:00:00Z&before=2026-06-10T00:00:00Z"
        )
        .await,
        ["09", "02"]
    );
    assert_eq!(days(&app, "outcome=fired").await, ["11", "01"]);
    assert_eq!(days(&app, "outcome=missed").await, ["02"]);
    assert_eq!(days(&app, "outcome=coalesced").await, [""; 0]);

    let mut seen = Vec::new();
    let mut path = "/api/v1/schedules/a/ticks?limit=2".to_owned();
    loop {
        let page = app.get(&path).await.expect(200);
        for tick in page["data"].as_array().unwrap() {
            seen.push(tick["nominal_at"].as_str().unwrap()[8..10].to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/schedules/a/ticks?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["11", "10", "09", "02", "01"]);
    for bad in [
        "outcome=odd",
        "outcome=fired,late",
        "from=today",
        "colour=red",
    ] {
        app.get(&format!("/api/v1/schedules/a/ticks?{bad}"))
            .await
            .problems(400);
    }
    app.get("/api/v1/schedules/nobody/ticks")
        .await
        .problems(404);
}

async fn ask(app: &App, instant: &str) -> Value {
    app.get(&format!("/api/v1/schedules/a/ticks/{instant}"))
        .await
        .expect(200)
}

#[tokio::test]
async fn whether_a_run_happened_is_answered_for_every_instant() {
    let app = with_ticks().await;
    for (instant, happened, outcome, words) in [
        // On the schedule's own clock, and in UTC.
        (
            "2026-06-01T03:00",
            true,
            json!("fired"),
            "Yes: it fired 0.2 s after its time; its batch is under way.",
        ),
        (
            "2026-06-01T01:00:00Z",
            true,
            json!("fired"),
            "Yes: it fired",
        ),
        (
            "2026-06-05T03:00",
            false,
            json!("missed"),
            "No: it was missed; it was late by more than the catch-up window.",
        ),
        (
            "2026-06-09T03:00",
            true,
            json!("late"),
            "Yes, but late: it fired 90 s after its time",
        ),
        (
            "2026-06-10T03:00",
            false,
            json!("skipped"),
            "No: it was skipped; no connection.",
        ),
        (
            "2026-06-11T04:00",
            false,
            Value::Null,
            "is not due then. The moment before is 2026-06-11T01:00:00Z, the one after is 2026-06-12T01:00:00Z.",
        ),
        (
            "2026-04-01T03:00",
            false,
            Value::Null,
            "No: the schedule was created later.",
        ),
        (
            "2026-06-12T03:00",
            false,
            Value::Null,
            "there is no tick of that moment",
        ),
        (
            "2999-06-12T03:00",
            false,
            Value::Null,
            "Not yet: it is due then.",
        ),
    ] {
        let answer = ask(&app, instant).await;
        assert_eq!(
            (&answer["happened"], &answer["tick"]["outcome"]),
            (&json!(happened), &outcome),
            "{answer:#}"
        );
        assert!(
            answer["answer"].as_str().unwrap().contains(words),
            "{instant}: {}",
            answer["answer"]
        );
        assert_eq!(answer["batch"].is_object(), happened, "{answer:#}");
    }
    let gap = ask(&app, "2026-06-05T03:00").await;
    assert_eq!(
        (&gap["tick"]["moments"], &gap["is_moment"]),
        (&json!(7), &json!(true))
    );
    app.post("/api/v1/schedules/a/pause", &json!({"note": "stocktaking"}))
        .await
        .expect(200);
    let paused = ask(&app, "2999-06-12T03:00").await;
    assert!(
        paused["answer"]
            .as_str()
            .unwrap()
            .contains("paused by operator"),
        "{paused:#}"
    );
    app.get("/api/v1/schedules/a/ticks/yesterday")
        .await
        .problems(400);
    app.get("/api/v1/schedules/nobody/ticks/2026-06-05T03:00")
        .await
        .problems(404);
}
