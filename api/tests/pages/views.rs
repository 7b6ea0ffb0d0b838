//! What pages show, and how they are served.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use syncline_shared::db::access::Role;

use crate::browser::Browser;
use crate::support::{App, connection};

const PAGES: [&str; 4] = ["/", "/runs", "/schedules", "/connections"];

#[tokio::test]
async fn every_page_is_whole_without_script_and_has_a_title_of_its_own() {
    let app = App::with_connection().await;
    app.add_user("ana", Role::Viewer).await;
    let schedule =
        json!({"key": "hourly", "target": {"connection": "acme-shop"}, "cron": "0 * * * *"});
    app.post("/api/v1/schedules", &schedule).await.expect(201);
    let run = app
        .post("/api/v1/runs", &json!({"connection": "acme-shop"}))
        .await
        .expect(202);
    let run = format!("/runs/{}", run["id"].as_str().unwrap());
    let mut browser = Browser::signed_in(&app, "ana").await;
    let mut titles = BTreeSet::new();
    let others = [run.as_str(), "/schedules/hourly"];
    for path in PAGES.into_iter().chain(others) {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(
            page.header("content-security-policy")
                .starts_with("default-src 'none'; script-src 'self';")
        );
        for missing in [" style=", "<style", "onclick=", "javascript:"] {
            assert!(!page.text.contains(missing), "{path} has {missing}");
        }
        assert_eq!(page.text.matches("<h1>").count(), 1, "{path}");
        assert_eq!(page.text.matches("<script").count(), 1, "{path}");
        assert!(
            page.text.contains("href=\"#content\"") && page.text.contains("acme-shop"),
            "{path}"
        );
        let title = page.text.split("<title>").nth(1).unwrap();
        assert!(
            titles.insert(title.split('<').next().unwrap().to_owned()),
            "{path}"
        );
    }
    let schedules = browser.get("/schedules").await.text;
    assert!(schedules.contains("Every hour, on the hour"), "{schedules}");
    let overview = browser.get("/").await.text;
    assert!(
        overview
            .contains("0 of 1 connection is up to date, 1 has not been synced yet; 1 is waiting"),
        "{overview}"
    );
}

#[tokio::test]
async fn what_users_have_written_is_shown_as_text() {
    let app = App::with_connection().await;
    app.add_user("ana", Role::Viewer).await;
    let mut evil = connection("evil");
    evil["name"] = json!("<script>alert(1)</script>");
    app.post("/api/v1/connections", &evil).await.expect(201);
    let mut browser = Browser::signed_in(&app, "ana").await;
    let page = browser.get("/connections").await.text;
    assert!(
        !page.contains("<script>alert") && page.contains("alert(1)"),
        "{page}"
    );
    let page = browser
        .get("/runs?connection=%22%3E%3Cscript%3Ealert(1)")
        .await
        .text;
    assert!(!page.contains("<script>alert"), "{page}");
    assert!(!page.contains("hunter2"));
}

#[tokio::test]
async fn runs_are_turned_over_both_ways_within_their_filter() {
    let app = App::with_connection().await;
    app.add_user("ana", Role::Viewer).await;
    sqlx::query(
        "insert into syncline.run_history
             (id, outcome, batch_id, connection_id, business_id, platform, origin, kind, priority, attempt, failures,
              lease_token, finished_at, checkpoint_sequence, checkpoint, progress, created_at)
         select syncline.run_id_floor(now() - n * interval '1 minute'),
                case when n % 2 = 0 then 'failed' else 'succeeded' end, gen_random_uuid(), c.id, c.business_id,
                c.platform, 'manual', 'full', 50, 1, 0, 1, now(), 0, '{}', '{}', now()
         from syncline.connection c, generate_series(1, 240) n",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let mut browser = Browser::signed_in(&app, "ana").await;
    let first = browser.get("/runs?status=failed").await.text;
    let ids = run_ids(&first);
    assert_eq!(ids.len(), 50);
    assert_eq!(link(&first, "prev"), None);
    let second = browser.get(&link(&first, "next").unwrap()).await.text;
    let third = browser.get(&link(&second, "next").unwrap()).await.text;
    assert_eq!((run_ids(&second).len(), run_ids(&third).len()), (50, 20));
    assert_eq!(link(&third, "next"), None);
    let all: BTreeSet<_> = [&first, &second, &third]
        .into_iter()
        .flat_map(|page| run_ids(page))
        .collect();
    assert_eq!(all.len(), 120);
    let back = browser.get(&link(&third, "prev").unwrap()).await.text;
    assert_eq!(run_ids(&back), run_ids(&second));
    let back = browser.get(&link(&back, "prev").unwrap()).await.text;
    assert_eq!(run_ids(&back), ids);
    assert_eq!(link(&back, "prev"), None);
}

fn run_ids(page: &str) -> Vec<String> {
    let rows = page.split("<tr id=\"run-").skip(1);
    rows.map(|row| row.split('"').next().unwrap().to_owned())
        .collect()
}

fn link(page: &str, rel: &str) -> Option<String> {
    let (before, _) = page.split_once(&format!("\" rel=\"{rel}\""))?;
    let (_, address) = before.rsplit_once("href=\"")?;
    Some(address.replace("&#38;", "&").replace("&amp;", "&"))
}

#[tokio::test]
async fn problems_are_pages_for_browsers_and_json_for_programs() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    let mut browser = Browser::signed_in(&app, "ana").await;
    for path in ["/nothing-here", "/runs/none", "/assets/none.css"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(page.text.contains("<h1>Not found</h1>"), "{}", page.text);
        assert!(
            page.text.contains(page.header("x-request-id")),
            "{}",
            page.text
        );
    }
    let refused = browser.get("/runs?status=odd").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("allowed: queued"), "{}", refused.text);
    // The API stays the API, whoever asks.
    let api = browser.get("/api/v1/runs/none").await;
    assert_eq!(api.header("content-type"), "application/problem+json");
    assert_eq!(
        app.get("/runs/none").await.header("content-type"),
        "text/html; charset=utf-8"
    );
    let request = Request::get("/runs/none").header("accept", "application/json");
    let answer = app.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.problems(401), []);
}

#[tokio::test]
async fn a_database_that_is_away_is_a_page_that_tries_again() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    let mut browser = Browser::signed_in(&app, "ana").await;
    app.database.close().await;
    let page = browser.get("/").await;
    assert_eq!(page.status, 503);
    assert!(
        page.text.contains("http-equiv=\"refresh\" content=\"5\""),
        "{}",
        page.text
    );
    assert!(
        page.text.contains("The database does not answer"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn assets_are_kept_by_their_hash_and_checked_without_it() {
    let app = App::start().await;
    let page = Browser::new(&app).get("/sign-in").await.text;
    let (_, after) = page.split_once("/assets/app.css?v=").unwrap();
    let hash = after.split('"').next().unwrap();
    let kept = app.get(&format!("/assets/app.css?v={hash}")).await;
    assert_eq!(kept.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(
        kept.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    let plain = app.get("/assets/app.js").await;
    assert_eq!(plain.header("cache-control"), "no-cache");
    assert!(plain.header("content-type").starts_with("text/javascript"));
    let request = Request::get("/assets/app.css").header("if-none-match", kept.header("etag"));
    let same = app.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
}
