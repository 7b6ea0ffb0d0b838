//! What holds for all endpoints: the document, the docs page, problems, headers, limits, probes.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use syncline_shared::db::Session;
use syncline_shared::db::process::{self, Capacity, ProcessRole};
use syncline_shared::ids::ProcessId;

use crate::support::App;

/// `UPDATE_OPENAPI=1 cargo test -p syncline-api --test http openapi` writes the file anew.
#[tokio::test]
async fn the_openapi_document_is_the_one_that_was_reviewed() {
    let app = App::start().await;
    let served = app.ask("", "GET", "/api/v1/openapi.json", None).await;
    served.expect(200);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &served.text).unwrap();
    }
    let reviewed = std::fs::read_to_string(path).unwrap();
    assert!(
        served.text == reviewed,
        "the API's contract has changed; look at the difference after: \
         UPDATE_OPENAPI=1 cargo test -p syncline-api --test http openapi"
    );
}

#[test]
fn the_document_is_complete() {
    let document = serde_json::to_value(syncline_api::openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "{reference} leads nowhere");
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{place} has no summary");
            assert_eq!(
                operation["tags"].as_array().map(Vec::len),
                Some(1),
                "{place}"
            );
            assert!(
                ids.insert(operation["operationId"].to_string()),
                "{place}: its id is taken"
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{place}"
            );
            assert!(responses.contains_key("default"), "{place}");
            let is_open = operation["security"] == json!([]);
            assert_eq!(
                is_open,
                crate::access::OPEN.contains(&path.as_str()),
                "{place}"
            );
            assert_eq!(
                !is_open || path.ends_with("sign-in"),
                responses.contains_key("401"),
                "{place}"
            );
        }
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(reference) if name == "$ref" => found.push(reference.to_owned()),
                    _ => collect_references(member, found),
                }
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_docs_page_needs_nothing_from_elsewhere() {
    let app = App::start().await;
    let page = app.ask("", "GET", "/docs/", None).await;
    assert_eq!(page.status, 200);
    assert!(
        !page.text.contains("http://") && !page.text.contains("https://"),
        "{}",
        page.text
    );
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'self';")
    );
    let scripts = page.text.matches("<script").count();
    assert_eq!(
        page.text.matches("<script src=\"./").count(),
        scripts,
        "an inline script would not run"
    );
    for file in [
        "swagger-ui-bundle.js",
        "swagger-ui.css",
        "swagger-initializer.js",
    ] {
        let part = app.ask("", "GET", &format!("/docs/{file}"), None).await;
        assert_eq!(part.status, 200, "{file}");
    }
    let start = app
        .ask("", "GET", "/docs/swagger-initializer.js", None)
        .await;
    assert!(
        start.text.contains("/api/v1/openapi.json"),
        "{}",
        start.text
    );
    assert_eq!(app.ask("", "GET", "/docs", None).await.status, 303);
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_security_headers() {
    let app = App::start().await;
    for path in ["/healthz", "/api/v1/runs", "/nowhere"] {
        let request = Request::get(path).header("x-request-id", "build-42");
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.header("x-request-id"), "build-42");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'; script-src 'self'; style-src 'self';")
        );
        if path == "/nowhere" {
            answer.problems(404);
            assert_eq!(answer.json()["request_id"], "build-42");
            assert_eq!(answer.json()["instance"], "/nowhere");
        }
    }
    app.ask("viewer", "PUT", "/api/v1/runs", Some(&json!({})))
        .await
        .problems(405);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_by_their_fault() {
    let app = App::start().await;
    let bearer = format!("Bearer {}", app.token("operator"));
    let send = async |kind: &'static str, body: String| {
        let request = Request::post("/api/v1/businesses")
            .header("authorization", &bearer)
            .header("content-type", kind);
        app.send(request.body(Body::from(body)).unwrap()).await
    };
    send("text/plain", "{}".to_owned()).await.problems(415);
    send("application/json", "{\"key\": ".to_owned())
        .await
        .problems(400);
    send(
        "application/json",
        format!("\"{}\"", "x".repeat(1024 * 1024)),
    )
    .await
    .problems(413);
    let problems = send("application/json", "[]".to_owned())
        .await
        .problems(422);
    assert_eq!(problems, [(String::new(), "type".to_owned())]);
    let problems = send("application/json; charset=utf-8", "{}".to_owned())
        .await
        .problems(422);
    assert_eq!(problems, [("/key".to_owned(), "required".to_owned())]);
}

#[tokio::test]
async fn text_that_the_database_cannot_hold_is_the_callers_fault() {
    let app = App::with_connection().await;
    app.post(
        "/api/v1/businesses",
        &json!({"key": "nul", "name": "a\u{0}b"}),
    )
    .await
    .problems(400);
    let mut connection = crate::support::connection("nul");
    connection["config"]["client_id"] = json!("a\u{0}b");
    app.post("/api/v1/connections", &connection)
        .await
        .problems(400);
    app.get("/api/v1/businesses/%00").await.problems(400);
    app.get("/api/v1/runs?platform=%00").await.problems(400);
}

#[tokio::test]
async fn unknown_parameters_are_refused_on_every_list() {
    let app = App::start().await;
    for list in [
        "runs",
        "budgets",
        "businesses",
        "connections",
        "schedules",
        "platforms",
        "pauses",
        "circuits",
        "scheduler/status",
        "batches",
        "backfills",
        "scheduler/jobs",
        "sync/schedules",
        "sync/jobs",
        "sync/metrics",
        "sync/system-status",
        "analytics/refresh",
    ] {
        let problems = app
            .get(&format!("/api/v1/{list}?colour=red"))
            .await
            .problems(400);
        assert_eq!(
            problems,
            [("colour".to_owned(), "unknown-parameter".to_owned())],
            "{list}"
        );
    }
}

#[tokio::test]
async fn a_process_that_drains_is_alive_but_not_ready() {
    let app = App::start().await;
    app.ask("", "GET", "/readyz", None).await.expect(200);
    app.life.drain();
    app.ask("", "GET", "/readyz", None).await.problems(503);
    app.ask("", "GET", "/healthz", None).await.expect(200);
}

#[tokio::test]
async fn a_database_that_is_gone_is_said_to_be_unavailable() {
    let app = App::start().await;
    app.database.close().await;
    app.ask("", "GET", "/readyz", None).await.problems(503);
    let answer = app.get("/api/v1/businesses").await;
    answer.problems(503);
    assert_eq!(answer.header("retry-after"), "2");
    app.ask("", "GET", "/healthz", None).await.expect(200);
}

#[tokio::test]
async fn the_status_names_schedulers_workers_jobs_and_counts() {
    let app = App::with_connection().await;
    let before = app.get("/api/v1/scheduler/status").await.expect(200);
    assert_eq!(before["running"], false);
    let mut db = Session::from(app.pool.acquire().await.unwrap());
    let capacity = Capacity { slots: 4, share: 2 };
    for (role, name, capacity) in [
        (ProcessRole::Scheduler, "s:1", None),
        (ProcessRole::Worker, "w:2", Some(capacity)),
    ] {
        process::register(&mut db, ProcessId::random(), role, name, capacity)
            .await
            .unwrap();
    }
    drop(db);
    let schedule =
        json!({"key": "daily", "cron": "0 2 * * *", "target": {"connection": "acme-shop"}});
    app.post("/api/v1/schedules", &schedule).await.expect(201);
    app.post("/api/v1/runs", &json!({"connection": "acme-shop"}))
        .await
        .expect(202);

    let status = app.get("/api/v1/scheduler/status").await.expect(200);
    assert_eq!(status["running"], true);
    assert_eq!(status["schedulers"][0]["name"], "s:1");
    assert_eq!(status["workers"][0]["slots"], 4);
    assert_eq!(status["jobs"][0]["id"], "daily");
    assert_eq!(status["jobs"][0]["trigger"], "cron 0 2 * * * (UTC)");
    assert!(
        status["jobs"][0]["next_run_time"]
            .as_str()
            .unwrap()
            .ends_with("02:00:00Z")
    );
    assert_eq!(status["counts"]["queued"], 1);

    let metrics = app.ask("", "GET", "/metrics", None).await;
    for line in [
        "syncline_runs{state=\"queued\"} 1",
        "syncline_processes_up{role=\"worker\"} 1",
        "syncline_pauses{scope=\"everything\"} 0",
        "syncline_http_responses_total{class=\"2xx\"}",
    ] {
        assert!(metrics.text.contains(line), "{}", metrics.text);
    }
}
