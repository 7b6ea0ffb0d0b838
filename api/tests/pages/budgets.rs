//! The page of budgets.

use serde_json::json;
use syncline_shared::db::access::Role;

use crate::browser::{Browser, form_token};
use crate::draws::{fail, hourly, refuse, take, wait_for};
use crate::support::App;
use crate::work::start;

#[tokio::test]
async fn the_page_is_whole_before_anything_has_drawn_on_a_budget() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    let mut browser = Browser::signed_in(&app, "ana").await;
    let page = browser.get("/budgets").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.text.matches("<h1>").count(), 1);
    assert!(page.text.contains("<title>Budgets"), "{}", page.text);
    assert!(page.text.contains("appears here once"), "{}", page.text);
    assert!(page.text.contains("id=\"budgets\" data-live=\"swap\""));
    // It is in the menus of all pages.
    let overview = browser.get("/").await.text;
    assert_eq!(overview.matches("href=\"/budgets\"").count(), 2);
}

#[tokio::test]
async fn each_budget_has_a_bar_for_each_window() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    take(&app, hourly("shop", "<b>a</b>"), 3).await;
    take(&app, hourly("other", "full"), 4).await;
    let mut browser = Browser::signed_in(&app, "ana").await;
    let page = browser.get("/budgets").await.text;
    for expected in [
        "3 of 10 in any 1 h",
        "3 of 4 at once",
        "<rect width=\"30\" height=\"6\"/>",
        "class=\"bar used-up\"",
        "Open</span>",
        "Used up</span>",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    for missing in [" style=", "<b>a</b>", "/budgets/resume", "fails:"] {
        assert!(!page.contains(missing), "{missing}: {page}");
    }
    let one = browser.get("/budgets?platform=other").await.text;
    assert!(one.contains("full") && !one.contains("3 of 10"), "{one}");
    let first = browser.get("/budgets?limit=1").await.text;
    let (before, _) = first.split_once("\" rel=\"next\"").unwrap();
    let (_, next) = before.rsplit_once("href=\"").unwrap();
    assert!(first.contains("full"), "{first}");
    let second = browser.get(next).await.text;
    assert!(
        second.contains("3 of 10") && second.contains(">First page<"),
        "{second}"
    );
}

#[tokio::test]
async fn a_pause_says_why_and_is_ended_by_a_button() {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    take(&app, hourly("shop", "a"), 1).await;
    refuse(&app, &hourly("shop", "a")).await;
    start(&app, json!({"connection": "acme-shop"})).await;
    wait_for(&app, "shop/requests/a").await;
    let mut browser = Browser::signed_in(&app, "olga").await;
    let page = browser.get("/budgets").await.text;
    for expected in [
        "Paused until",
        "slow down",
        "1 run",
        "1 time<",
        "lowered from 10",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let key = ("key", "shop/requests/a");
    let forged = browser.post("/budgets/resume", &[key]).await;
    assert_eq!(forged.status, 403);
    let token = form_token(&page);
    let fields = [("form_token", token.as_str()), key];
    let pressed = browser.post("/budgets/resume", &fields).await;
    assert_eq!(
        (pressed.status.as_u16(), pressed.header("location")),
        (303, "/budgets")
    );
    let page = browser.get("/budgets").await.text;
    assert!(
        !page.contains("Paused until") && !page.contains("/budgets/resume"),
        "{page}"
    );
}

#[tokio::test]
async fn hosts_that_fail_stand_above_the_budgets() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    fail(&app, "shop/api.shop.example:443", "shop").await;
    let mut browser = Browser::signed_in(&app, "ana").await;
    let page = browser.get("/budgets").await.text;
    assert!(
        page.contains(
            "shop/api.shop.example:443 fails: 5 failures in a row, the last of them: HTTP 503."
        ),
        "{page}"
    );
    assert!(page.contains("Nothing is sent to it until"), "{page}");
    let other = browser.get("/budgets?platform=other").await.text;
    assert!(!other.contains("fails:"), "{other}");
}
