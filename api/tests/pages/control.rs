//! The buttons that cancel, retry, pause and resume: who sees them when, and what they do.

use serde_json::{Value, json};
use syncline_shared::db::access::Role;
use syncline_shared::run::{FailureKind, Outcome, RunError};

use crate::browser::{Browser, form_token};
use crate::support::App;
use crate::work::{claim_one, end, start};

/// Presses the button whose form leads there, on the page as it is now.
async fn press(browser: &mut Browser<'_>, page: &str, action: &str) -> String {
    let shown = browser.get(page).await.text;
    assert!(
        shown.contains(&format!("action=\"{action}\"")),
        "{action}: {shown}"
    );
    let token = form_token(&shown);
    let answer = browser.post(action, &[("form_token", &token)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.header("location").to_owned()
}

fn page_of(run: &Value) -> String {
    format!("/runs/{}", run["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_run_that_waits_is_cancelled_and_can_then_be_retried() {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    let mut browser = Browser::signed_in(&app, "olga").await;
    let page = page_of(&start(&app, json!({"connection": "acme-shop"})).await);
    let to = press(&mut browser, &page, &format!("{page}/cancel")).await;
    assert_eq!(to, page);
    let shown = browser.get(&page).await.text;
    assert!(
        shown.contains("<dt>Cancelled by</dt><dd>olga</dd>"),
        "{shown}"
    );
    assert!(!shown.contains("/cancel\""), "{shown}");

    let new = press(&mut browser, &page, &format!("{page}/retry")).await;
    assert_ne!(new, page);
    let old = browser.get(&page).await.text;
    assert!(old.contains(&format!("<dt>Retried by</dt><dd><a href=\"{new}\">")));
    assert!(!old.contains("/retry\""), "{old}");
    let new = browser.get(&new).await.text;
    assert!(new.contains(&format!("<dt>Repeats</dt><dd><a href=\"{page}\">")));
}

#[tokio::test]
async fn a_running_run_shows_that_it_is_being_cancelled() {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    let mut browser = Browser::signed_in(&app, "olga").await;
    let page = page_of(&start(&app, json!({"connection": "acme-shop"})).await);
    let claimed = claim_one(&app).await;
    press(&mut browser, &page, &format!("{page}/cancel")).await;
    let shown = browser.get(&page).await.text;
    assert!(shown.contains("cancelling: asked by olga"), "{shown}");
    assert!(!shown.contains("/cancel\""), "{shown}");

    end(&app, &claimed, Outcome::Cancelled, None).await;
    let refused = browser
        .post(
            &format!("{page}/cancel"),
            &[("form_token", &form_token(&shown))],
        )
        .await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text.contains("ended already: cancelled"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn an_attempt_says_why_it_ended() {
    let app = App::with_connection().await;
    app.add_user("vic", Role::Viewer).await;
    let page = page_of(&start(&app, json!({"connection": "acme-shop"})).await);
    let claimed = claim_one(&app).await;
    let error = RunError::new(FailureKind::Permanent, "no such page");
    end(&app, &claimed, Outcome::Failed, Some(error)).await;
    let mut browser = Browser::signed_in(&app, "vic").await;
    let shown = browser.get(&page).await.text;
    assert!(shown.contains("Why it ended") && shown.contains(">no such page</td>"));
    // A viewer may look only.
    assert!(!shown.contains("/retry\""), "{shown}");
    let token = form_token(&shown);
    let answer = browser
        .post(&format!("{page}/retry"), &[("form_token", &token)])
        .await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_connection_is_paused_and_resumed_by_its_buttons() {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    let mut browser = Browser::signed_in(&app, "olga").await;
    let to = press(&mut browser, "/connections", "/connections/acme-shop/pause").await;
    assert_eq!(to, "/connections?key=acme-shop");
    let shown = browser.get(&to).await.text;
    assert!(
        shown.contains("It is paused by olga since") && shown.contains("Paused</span>"),
        "{shown}"
    );
    assert!(!shown.contains("/connections/acme-shop/pause\""));
    press(&mut browser, &to, "/connections/acme-shop/resume").await;
    let shown = browser.get("/connections").await.text;
    assert!(!shown.contains("paused by"), "{shown}");
    for action in ["pause", "resume"] {
        let answer = browser
            .post(&format!("/connections/acme-shop/{action}"), &[])
            .await;
        assert_eq!(answer.status, 403);
    }
}

#[tokio::test]
async fn what_rests_as_a_whole_is_on_the_overview_until_it_is_resumed() {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    let mut browser = Browser::signed_in(&app, "olga").await;
    let note = json!({"note": "<b>stocktaking</b>"});
    for path in ["pause", "platforms/shop/pause"] {
        app.post(&format!("/api/v1/{path}"), &note)
            .await
            .expect(200);
    }
    let shown = browser.get("/").await.text;
    assert!(
        shown.contains("Everything is paused by operator since"),
        "{shown}"
    );
    assert!(shown.contains("The platform shop is paused by operator since"));
    assert!(shown.contains("stocktaking") && !shown.contains("<b>stock"));
    let connections = browser.get("/connections").await.text;
    assert!(connections.contains("Everything is paused by operator"));
    // Its own pause is still to be had.
    assert!(connections.contains("/connections/acme-shop/pause\""));
    press(&mut browser, "/", "/resume").await;
    press(&mut browser, "/", "/platforms/shop/resume").await;
    assert!(!browser.get("/").await.text.contains("paused by"));
}
