//! The button "Run now": who sees it, who may press it, and whose form counts.

use serde_json::Value;
use syncline_shared::db::access::Role;

use crate::browser::{Browser, form_token};
use crate::support::App;

const BUTTON: &str = "action=\"/connections/acme-shop/run\"";

async fn runs(app: &App) -> Vec<Value> {
    let list = app.get("/api/v1/runs").await.expect(200);
    list["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_operator_runs_a_connection_and_is_shown_the_run() {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    let mut browser = Browser::signed_in(&app, "olga").await;
    let page = browser.get("/connections").await;
    assert!(page.text.contains(BUTTON), "{}", page.text);
    let token = form_token(&page.text);
    let answer = browser
        .post("/connections/acme-shop/run", &[("form_token", &token)])
        .await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let made = runs(&app).await;
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["trigger"]["requested_by"], "olga");
    let address = format!("/runs/{}", made[0]["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), address);
    let shown = browser.get(&address).await;
    assert_eq!(shown.status, 200);
    assert!(
        shown
            .text
            .contains("ready, but no worker is up; start one: syncline worker"),
        "{}",
        shown.text
    );
}

#[tokio::test]
async fn a_form_without_the_sessions_own_token_is_refused() {
    let app = App::with_connection().await;
    for name in ["olga", "otto"] {
        app.add_user(name, Role::Operator).await;
    }
    let mut other = Browser::signed_in(&app, "otto").await;
    let of_other_session = form_token(&other.get("/connections").await.text);
    let mut browser = Browser::signed_in(&app, "olga").await;
    for token in ["", "nonsense", of_other_session.as_str()] {
        let answer = browser
            .post("/connections/acme-shop/run", &[("form_token", token)])
            .await;
        assert_eq!(answer.status, 403, "{token}");
        assert!(answer.text.contains("nothing was done"), "{}", answer.text);
    }
    assert_eq!(runs(&app).await.len(), 0);
}

#[tokio::test]
async fn a_viewer_sees_no_button_and_is_refused() {
    let app = App::with_connection().await;
    app.add_user("vic", Role::Viewer).await;
    let mut browser = Browser::signed_in(&app, "vic").await;
    let page = browser.get("/connections").await;
    assert!(page.text.contains("acme-shop") && !page.text.contains(BUTTON));
    let token = form_token(&page.text);
    let answer = browser
        .post("/connections/acme-shop/run", &[("form_token", &token)])
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(runs(&app).await.len(), 0);
}

#[tokio::test]
async fn an_unknown_connection_is_not_run() {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    let mut browser = Browser::signed_in(&app, "olga").await;
    let token = form_token(&browser.get("/connections").await.text);
    let answer = browser
        .post("/connections/nope/run", &[("form_token", &token)])
        .await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.text.contains("<h1>Not found</h1>"),
        "{}",
        answer.text
    );
}
