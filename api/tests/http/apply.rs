//! Config as code, against a real database.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use syncline_api::apply::{ApplyError, ApplyOptions, Change, Document, Report, Sources, apply};
use syncline_shared::db::Transaction;

use crate::support::App;

const DOCUMENT: &str = r#"
businesses:
  - {key: acme, name: Acme Ltd}
connections:
  - key: acme-shop
    business: acme
    platform: shop
    config: {client_id: abc, client_secret: "${env:SECRET}", page_limit: "${env:LIMIT:-20}"}
    streams: [products]
    limits: {requests: {limit: 100, per_seconds: 1}}
schedules:
  - {key: daily, cron: "0 2 * * *", zone: Europe/Berlin, target: {connection: acme-shop}}
  - {key: often, every_seconds: 60, target: everything, enabled: "${env:ON:-true}"}
"#;

async fn run(
    app: &App,
    text: &str,
    secret: &str,
    options: ApplyOptions,
) -> Result<Report, ApplyError> {
    let env = |name: &str| (name == "SECRET").then(|| secret.to_owned());
    let document = Document::parse(
        text,
        Sources {
            env: &env,
            folder: Path::new(""),
        },
    )?;
    apply(
        &app.database,
        &app.state.cipher,
        &app.state.catalog,
        &document,
        options,
    )
    .await
}

async fn apply_text(app: &App, text: &str) -> Report {
    run(app, text, "hunter2", ApplyOptions::default())
        .await
        .unwrap()
}

fn changes(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for object in &report.objects {
        match &object.change {
            Change::Created => lines.push(format!("+ {}", object.key)),
            Change::Changed(fields) => {
                lines.extend(
                    fields
                        .iter()
                        .map(|field| format!("~ {} {field}", object.key)),
                );
            }
            Change::Same => {}
        }
    }
    lines
}

async fn counts(app: &App) -> (i64, i64, i64) {
    sqlx::query_as(
        "select (select count(*) from syncline.business), (select count(*) from syncline.connection),
                (select count(*) from syncline.schedule)",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap()
}

async fn rows(app: &App) -> Vec<Value> {
    let query = "select to_jsonb(b) from syncline.business b union all select to_jsonb(c) from syncline.connection c
                 union all select to_jsonb(s) from syncline.schedule s";
    sqlx::query_scalar(query)
        .fetch_all(&app.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_second_run_of_the_same_document_changes_nothing() {
    let app = App::start().await;
    let first = apply_text(&app, DOCUMENT).await;
    assert_eq!(
        changes(&first),
        ["+ acme", "+ acme-shop", "+ daily", "+ often"]
    );
    let before = rows(&app).await;
    let second = apply_text(&app, DOCUMENT).await;
    assert!(second.is_same(), "{second}");
    assert_eq!(rows(&app).await, before);

    let shown = app.get("/api/v1/connections/acme-shop").await.expect(200);
    assert_eq!(shown["config"]["client_secret"]["set"], true);
    assert_eq!(shown["config"]["page_limit"], 20);
    assert_eq!(
        shown["limits"],
        json!({"requests": {"limit": 100, "per_seconds": 1}})
    );
    let due: i64 =
        sqlx::query_scalar("select count(*) from syncline.schedule where next_at > now()")
            .fetch_one(&app.pool)
            .await
            .unwrap();
    assert_eq!(due, 2);
}

#[tokio::test]
async fn changes_are_told_field_by_field_and_secrets_without_values() {
    let app = App::start().await;
    apply_text(&app, DOCUMENT).await;
    let text = DOCUMENT
        .replace("Acme Ltd", "Acme Inc")
        .replace("client_id: abc", "client_id: xyz")
        .replace("    streams: [products]\n", "")
        .replace("0 2 * * *", "0 3 * * *");
    let report = run(&app, &text, "hunter3", ApplyOptions::default())
        .await
        .unwrap();
    assert_eq!(
        changes(&report),
        [
            "~ acme name  \"Acme Ltd\" -> \"Acme Inc\"",
            "~ acme-shop config.client_id  \"abc\" -> \"xyz\"",
            "~ acme-shop streams  [\"products\"] -> unset",
            "~ acme-shop config.client_secret  changed (secret)",
            "~ daily cron  \"0 2 * * *\" -> \"0 3 * * *\"",
        ]
    );
    assert!(!report.to_string().contains("hunter"));
    let hour: String = sqlx::query_scalar(
        "select to_char(next_at at time zone 'Europe/Berlin', 'HH24:MI') from syncline.schedule where key = 'daily'",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert_eq!(hour, "03:00");
    assert!(
        run(&app, &text, "hunter3", ApplyOptions::default())
            .await
            .unwrap()
            .is_same()
    );
}

#[tokio::test]
async fn a_change_that_moves_no_tick_keeps_the_next_one() {
    let app = App::start().await;
    apply_text(&app, DOCUMENT).await;
    let set = "update syncline.schedule set next_at = '2020-01-01T00:00:00Z' where key = 'daily'";
    sqlx::query(set).execute(&app.pool).await.unwrap();
    let text = DOCUMENT.replace("{key: daily,", "{key: daily, priority: 5,");
    assert_eq!(
        changes(&apply_text(&app, &text).await),
        ["~ daily priority  50 -> 5"]
    );
    let kept: bool = sqlx::query_scalar(
        "select next_at = '2020-01-01T00:00:00Z' from syncline.schedule where key = 'daily'",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert!(kept, "an overdue tick was lost");
    let text = text.replace("{key: daily,", "{key: daily, enabled: false,");
    apply_text(&app, &text).await;
    let shown = app.get("/api/v1/schedules/daily").await.expect(200);
    assert_eq!(
        (&shown["enabled"], &shown["next_at"]),
        (&json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn a_dry_run_tells_and_writes_nothing() {
    let app = App::start().await;
    let options = ApplyOptions {
        dry_run: true,
        ..ApplyOptions::default()
    };
    let report = run(&app, DOCUMENT, "hunter2", options).await.unwrap();
    assert!(
        report
            .to_string()
            .ends_with("4 to add, 0 to change, 0 same"),
        "{report}"
    );
    assert_eq!(counts(&app).await, (0, 0, 0));
}

#[tokio::test]
async fn all_problems_are_told_with_their_places_and_nothing_is_written() {
    let app = App::start().await;
    let text = r#"
businesses:
  - {key: acme}
connections:
  - {key: one, business: acme, platform: shop, config: {client_id: "", client_secret: 5}}
  - {key: two, business: nobody, platform: myspace, colour: red}
schedules:
  - {key: a, cron: "61 * * * *", zone: Mars/Olympus, target: {connection: one}, streams: [carts]}
  - {key: b, every_seconds: 5, target: {connection: nowhere}}
teams: []
"#;
    let error = run(&app, text, "x", ApplyOptions::default())
        .await
        .unwrap_err()
        .to_string();
    for place in [
        "connections[0].config.client_id:",
        "connections[0].config.client_secret:",
        "connections[1].business:",
        "connections[1].platform: there is no platform \"myspace\"; known: shop",
        "connections[1].colour:",
        "schedules[0].zone:",
        "schedules[0].cron:",
        "schedules[0].streams[0]:",
        "schedules[1].target.connection:",
        "teams:",
    ] {
        assert!(
            error.contains(&format!("\n  {place}")),
            "{place} is missing in {error}"
        );
    }
    assert_eq!(counts(&app).await, (0, 0, 0));
}

#[tokio::test]
async fn an_unset_variable_is_named_with_its_place() {
    let app = App::start().await;
    let text = DOCUMENT.replace("${env:SECRET}", "${env:NOT_SET}");
    let error = run(&app, &text, "x", ApplyOptions::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("connections[0].config.client_secret") && error.contains("NOT_SET"),
        "{error}"
    );
}

#[tokio::test]
async fn the_platform_of_a_connection_stays_and_prune_is_refused() {
    let app = App::start().await;
    apply_text(&app, DOCUMENT).await;
    sqlx::query("update syncline.connection set platform = 'other'")
        .execute(&app.pool)
        .await
        .unwrap();
    let error = run(&app, DOCUMENT, "hunter2", ApplyOptions::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("connections[0].platform") && error.contains("cannot change"),
        "{error}"
    );
    let options = ApplyOptions {
        prune: true,
        ..ApplyOptions::default()
    };
    assert!(matches!(
        run(&app, DOCUMENT, "x", options).await,
        Err(ApplyError::Unsupported(_))
    ));
}

#[tokio::test]
async fn a_document_waits_for_another_that_is_being_applied() {
    let app = App::start().await;
    let mut other = Transaction::from(app.pool.begin().await.unwrap());
    syncline_shared::db::status::lock_apply(&mut other)
        .await
        .unwrap();
    syncline_shared::db::business::create(&mut other, "acme", "Acme Ltd")
        .await
        .unwrap();
    let commit = async {
        // Waiting for the turn, not for the row: that would end in a conflict.
        let query =
            "select exists (select from pg_locks where locktype = 'advisory' and not granted)";
        let look = async {
            while !sqlx::query_scalar::<_, bool>(query)
                .fetch_one(&app.pool)
                .await
                .unwrap()
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), look)
            .await
            .expect("it never waited");
        other.commit().await.unwrap();
    };
    let (report, ()) = tokio::join!(apply_text(&app, DOCUMENT), commit);
    assert_eq!(changes(&report), ["+ acme-shop", "+ daily", "+ often"]);
    assert_eq!(counts(&app).await, (1, 1, 2));
}

const RICH: &str = r#"
businesses: [{key: acme}]
connections:
  - {key: acme-shop, business: acme, platform: shop, config: {client_id: abc, client_secret: x}}
schedules:
  # Written before the one that it follows.
  - key: report
    after: {schedule: nightly, when: ended}
    target: {business: acme}
  - key: nightly
    preset: {daily: "${env:SYNC_SCHEDULE_HOUR:-2}:${env:SYNC_SCHEDULE_MINUTE:-0}"}
    zone: Europe/Berlin
    target: {connection: acme-shop}
    streams: [products]
    catch_up: none
    overlap: queue_one
    jitter_seconds: "${env:JITTER:-30}"
    spread_seconds: 60
    start_at: 2026-01-01T00:00:00Z
    max_runs: 1000
    pause_after_failures: 5
    retry: {base_seconds: 60}
    time_limit_seconds: 3600
    inbound_trigger: {debounce_seconds: 10}
  - key: events
    every_seconds: "${env:RTARF_SYNC_INTERVAL_SECONDS:-300}"
    enabled: "${env:RTARF_SYNC_ENABLED:-true}"
    target: everything
  - {key: by-hand, trigger: manual, target: everything, streams: [products], page: 1}
"#;

async fn apply_with(
    app: &App,
    text: &str,
    variables: &[(&str, &str)],
) -> Result<Report, ApplyError> {
    let env = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let folder = Path::new("");
    let document = Document::parse(text, Sources { env: &env, folder })?;
    let options = ApplyOptions::default();
    apply(
        &app.database,
        &app.state.cipher,
        &app.state.catalog,
        &document,
        options,
    )
    .await
}

#[tokio::test]
async fn every_field_of_a_schedule_is_applied_once_and_compared_afterwards() {
    let app = App::start().await;
    let first = apply_with(&app, RICH, &[]).await.unwrap();
    assert_eq!(first.objects.len(), 6);
    let nightly = app.get("/api/v1/schedules/nightly").await.expect(200);
    assert_eq!(
        (&nightly["cron"], &nightly["jitter_seconds"]),
        (&json!("0 2 * * *"), &json!(30))
    );
    assert_eq!(
        (&nightly["catch_up"]["mode"], &nightly["time_limit_seconds"]),
        (&json!("none"), &json!(3600))
    );
    assert_eq!(nightly["inbound_trigger"]["debounce_seconds"], 10);
    let report = app.get("/api/v1/schedules/report").await.expect(200);
    assert_eq!(
        report["after"],
        json!({"schedule": "nightly", "when": "ended"})
    );
    assert!(apply_with(&app, RICH, &[]).await.unwrap().is_same());
}

#[tokio::test]
async fn the_settings_of_earlier_systems_are_variables_of_a_document() {
    let app = App::start().await;
    let variables = [
        ("SYNC_SCHEDULE_HOUR", "3"),
        ("SYNC_SCHEDULE_MINUTE", "30"),
        ("RTARF_SYNC_ENABLED", "False"),
        ("RTARF_SYNC_INTERVAL_SECONDS", "60"),
    ];
    apply_with(&app, RICH, &variables).await.unwrap();
    let nightly = app.get("/api/v1/schedules/nightly").await.expect(200);
    assert_eq!(nightly["words"], "Every day at 03:30, Europe/Berlin");
    let events = app.get("/api/v1/schedules/events").await.expect(200);
    assert_eq!(
        (&events["every_seconds"], &events["enabled"]),
        (&json!(60), &json!(false))
    );
    let report = apply_with(&app, RICH, &[]).await.unwrap();
    assert_eq!(
        changes(&report),
        [
            "~ nightly cron  \"30 3 * * *\" -> \"0 2 * * *\"",
            "~ events enabled  false -> true",
            "~ events every_seconds  60 -> 300",
        ]
    );
    let odd = [
        ("RTARF_SYNC_ENABLED", "perhaps"),
        ("RTARF_SYNC_INTERVAL_SECONDS", "often"),
    ];
    let error = apply_with(&app, RICH, &odd).await.unwrap_err().to_string();
    assert!(
        error.contains("schedules[2].enabled") && error.contains("schedules[2].every_seconds"),
        "{error}"
    );
}

#[tokio::test]
async fn a_pause_and_an_address_are_no_configuration_and_survive_a_document() {
    let app = App::start().await;
    apply_with(&app, RICH, &[]).await.unwrap();
    app.post(
        "/api/v1/schedules/nightly/pause",
        &json!({"note": "stocktaking"}),
    )
    .await
    .expect(200);
    app.post("/api/v1/schedules/nightly/inbound-trigger", &json!({}))
        .await
        .expect(201);
    let moved = [("SYNC_SCHEDULE_HOUR", "4")];
    apply_with(&app, RICH, &moved).await.unwrap();
    let nightly = app.get("/api/v1/schedules/nightly").await.expect(200);
    assert_eq!(
        (&nightly["state"], &nightly["pause"]["note"]),
        (&json!("paused"), &json!("stocktaking"))
    );
    assert_eq!(
        (&nightly["cron"], &nightly["inbound_trigger"]["set"]),
        (&json!("0 4 * * *"), &json!(true))
    );
    assert_eq!(nightly["next_at"], Value::Null);
}

#[tokio::test]
async fn circles_of_a_document_are_told_whole_and_may_be_turned_round() {
    let app = App::start().await;
    let document = |a: &str, b: &str| {
        format!(
            "schedules:\n  - {{key: a, target: everything, {a}}}\n  - {{key: b, target: everything, {b}}}\n"
        )
    };
    let circle = document("after: {schedule: b}", "after: {schedule: a}");
    let error = apply_with(&app, &circle, &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("schedules[0].after.schedule: the schedules would wait for each other: a follows b follows a"),
        "{error}"
    );
    let missing = document("after: {schedule: nobody}", "trigger: manual");
    let error = apply_with(&app, &missing, &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("schedules[0].after.schedule: there is no schedule"),
        "{error}"
    );
    apply_with(
        &app,
        &document("trigger: manual", "after: {schedule: a}"),
        &[],
    )
    .await
    .unwrap();
    apply_with(
        &app,
        &document("after: {schedule: b}", "trigger: manual"),
        &[],
    )
    .await
    .unwrap();
    // Against what is stored.
    let half = "schedules:\n  - {key: b, target: everything, after: {schedule: a}}\n";
    let error = apply_with(&app, half, &[]).await.unwrap_err().to_string();
    assert!(error.contains("b follows a follows b"), "{error}");
}

const PLATFORMS: &str = r#"
platforms:
  - name: shop
    retry: {max_failures: 3}
    limits:
      requests:
        windows:
          - {limit: 10, per_seconds: 60}
          - {limit: "${env:A_DAY:-500}", per: day, time_zone: Europe/Berlin}
        manual_reserve_percent: 10
businesses:
  - {key: acme, weight: 5}
"#;

#[tokio::test]
async fn settings_of_platforms_and_weights_of_businesses_are_applied() {
    let app = App::start().await;
    let first = apply_with(&app, PLATFORMS, &[]).await.unwrap();
    assert_eq!(
        changes(&first),
        [
            "~ shop retry.max_failures  unset -> 3",
            "~ shop limits.requests.manual_reserve_percent  unset -> 10",
            "~ shop limits.requests.windows  unset -> [{\"limit\":10,\"per_seconds\":60},{\"limit\":500,\"per\":\"day\",\"time_zone\":\"Europe/Berlin\"}]",
            "+ acme",
        ]
    );
    let shown = app.get("/api/v1/platforms/shop").await.expect(200);
    assert_eq!(shown["limits"]["requests"]["windows"][1]["limit"], 500);
    let business = app.get("/api/v1/businesses/acme").await.expect(200);
    assert_eq!(business["weight"], 5);
    let again = apply_with(&app, PLATFORMS, &[]).await.unwrap();
    assert!(again.is_same(), "{again}");

    let text = "platforms: [{name: shop, limits: {}}]\nbusinesses: [{key: acme}]\n";
    let report = apply_with(&app, text, &[]).await.unwrap();
    assert_eq!(changes(&report).last().unwrap(), "~ acme weight  5 -> 1");
    let shown = app.get("/api/v1/platforms/shop").await.expect(200);
    // What a document leaves out of a platform is kept.
    assert_eq!(
        (&shown["limits"], &shown["retry"]),
        (&json!({}), &json!({"max_failures": 3}))
    );
}

#[tokio::test]
async fn platforms_of_a_document_are_known_and_named_once() {
    let app = App::start().await;
    let text = r"
platforms:
  - {name: shop, limits: {calls: {limit: 1, per_seconds: 1}}}
  - {name: shop, retry: {max_failures: 0}}
  - {name: myspace, colour: red}
  - {limits: []}
businesses: [{key: acme, weight: 101}]
";
    let error = apply_with(&app, text, &[]).await.unwrap_err().to_string();
    for place in [
        "platforms[1].name: \"shop\" is the name of platforms[0], too",
        "platforms[0].limits.calls:",
        "platforms[1].retry.max_failures:",
        "platforms[2].name: there is no platform \"myspace\"; known: shop",
        "platforms[2].colour:",
        "platforms[3].name: name is required",
        "platforms[3].limits:",
        "businesses[0].weight:",
    ] {
        assert!(
            error.contains(&format!("\n  {place}")),
            "{place} is missing in {error}"
        );
    }
}
