//! Signing in and out, and what is shown to somebody who has not.

use syncline_shared::db::access::Role;

use crate::browser::{Browser, form_token};
use crate::support::{App, PASSWORD};

#[tokio::test]
async fn whoever_is_not_signed_in_is_led_to_the_form_and_then_to_the_page() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    let mut browser = Browser::new(&app);
    let answer = browser.get("/runs?status=failed,partial").await;
    assert_eq!(answer.status, 303);
    let form = answer.header("location").to_owned();
    assert_eq!(form, "/sign-in?next=%2Fruns%3Fstatus%3Dfailed%2Cpartial");
    let page = browser.get(&form).await;
    assert!(
        page.text.contains("value=\"/runs?status=failed,partial\""),
        "{}",
        page.text
    );
    let answer = browser
        .sign_in("ana", PASSWORD, "/runs?status=failed,partial")
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "/runs?status=failed,partial")
    );
    assert_eq!(browser.get("/runs?status=failed,partial").await.status, 200);
    // The form is of no use to somebody who is signed in.
    assert_eq!(
        browser
            .get("/sign-in?next=/schedules")
            .await
            .header("location"),
        "/schedules"
    );
}

#[tokio::test]
async fn wrong_sign_ins_show_the_form_again_with_what_was_typed() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    let mut browser = Browser::new(&app);
    for (name, password, problem) in [
        ("ana", "wrong", "Name or password is wrong"),
        ("nobody", PASSWORD, "Name or password is wrong"),
        ("", PASSWORD, "Enter your name"),
        ("ana", "", "Enter your password"),
    ] {
        let answer = browser.sign_in(name, password, "/runs").await;
        assert_eq!(answer.status, 422, "{name}");
        for expected in [
            "There is a problem",
            "<title>Error: Sign in",
            problem,
            "value=\"/runs\"",
            &format!("value=\"{name}\""),
        ] {
            assert!(
                answer.text.contains(expected),
                "{expected}: {}",
                answer.text
            );
        }
        assert!(!answer.text.contains(PASSWORD));
        assert_eq!(browser.cookie("syncline_session"), None);
    }
}

#[tokio::test]
async fn a_sign_in_form_of_another_site_does_not_count() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    let mut other = Browser::new(&app);
    let stolen = form_token(&other.get("/sign-in").await.text);
    for token in ["", "x", stolen.as_str()] {
        let mut browser = Browser::new(&app);
        browser.get("/sign-in").await;
        let fields = [
            ("form_token", token),
            ("name", "ana"),
            ("password", PASSWORD),
        ];
        let answer = browser.post("/sign-in", &fields).await;
        assert_eq!(answer.status, 422, "{token}");
        assert_eq!(browser.cookie("syncline_session"), None);
    }
}

#[tokio::test]
async fn the_way_back_never_leads_to_another_site() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    for next in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "runs",
    ] {
        let mut browser = Browser::new(&app);
        let answer = browser.sign_in("ana", PASSWORD, next).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (303, "/"),
            "{next}"
        );
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_of_the_browser() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    let mut browser = Browser::signed_in(&app, "ana").await;
    assert_eq!(browser.post("/sign-out", &[]).await.status, 403);
    let token = form_token(&browser.get("/").await.text);
    let answer = browser.post("/sign-out", &[("form_token", &token)]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "/sign-in")
    );
    assert_eq!(browser.cookie("syncline_session"), None);
    assert_eq!(browser.get("/").await.header("location"), "/sign-in");
}
