//! Who gets in, and how far.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use sqlx::PgPool;
use syncline_shared::db::Session;
use syncline_shared::db::access::{Role, save_user};

use crate::support::{Answer, App, PASSWORD};

pub(crate) const OPEN: [&str; 6] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/openapi.json",
    "/api/v1/auth/sign-in",
    "/api/v1/triggers/{secret}",
];

#[tokio::test]
async fn every_endpoint_but_the_open_ones_asks_who_is_there() {
    let app = App::start().await;
    let document = serde_json::to_value(syncline_api::openapi()).unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        let mut address = path.clone();
        for part in ["{id}", "{name}", "{stream}", "{instant}"] {
            address = address.replace(part, "x");
        }
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let answer = app.ask("", &method, &address, Some(&json!({}))).await;
            assert_eq!(
                answer.status.as_u16(),
                401,
                "{method} {path}: {}",
                answer.text
            );
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
            asked += 1;
        }
    }
    assert!(asked >= 17, "only {asked} operations");
}

#[tokio::test]
async fn roles_are_checked_where_the_work_is_done() {
    let app = App::start().await;
    let business = json!({"key": "acme"});
    app.ask("viewer", "POST", "/api/v1/businesses", Some(&business))
        .await
        .problems(403);
    app.ask("operator", "POST", "/api/v1/businesses", Some(&business))
        .await
        .expect(201);
    app.ask("operator", "GET", "/api/v1/tokens", None)
        .await
        .problems(403);
    app.ask("admin", "GET", "/api/v1/tokens", None)
        .await
        .expect(200);
    let me = app
        .ask("operator", "GET", "/api/v1/auth/me", None)
        .await
        .expect(200);
    assert_eq!(
        me,
        json!({"name": "operator", "role": "operator", "signed_in": false})
    );
}

#[tokio::test]
async fn a_token_works_until_it_is_deleted() {
    let app = App::start().await;
    let input = json!({"name": "ci bot", "role": "viewer"});
    let answer = app
        .ask("admin", "POST", "/api/v1/tokens", Some(&input))
        .await;
    let made = answer.expect(201);
    assert_eq!(answer.header("location"), "/api/v1/tokens/ci%20bot");
    let token = made["token"].as_str().unwrap().to_owned();
    assert_eq!(as_bearer(&app, &token).await.expect(200)["name"], "ci bot");

    app.ask("admin", "POST", "/api/v1/tokens", Some(&input))
        .await
        .problems(409);
    let listed = app.ask("admin", "GET", "/api/v1/tokens", None).await;
    assert_eq!(listed.expect(200)["data"].as_array().unwrap().len(), 4);
    assert!(!listed.text.contains(&token));

    app.ask("admin", "DELETE", answer.header("location"), None)
        .await
        .expect(204);
    as_bearer(&app, &token).await.problems(401);
    app.ask("admin", "DELETE", answer.header("location"), None)
        .await
        .problems(404);
}

#[tokio::test]
async fn an_expired_token_is_unknown() {
    let app = App::start().await;
    let input = json!({"name": "ci", "role": "viewer", "expires_at": "2999-01-01T00:00:00Z"});
    let made = app
        .ask("admin", "POST", "/api/v1/tokens", Some(&input))
        .await
        .expect(201);
    let token = made["token"].as_str().unwrap();
    as_bearer(&app, token).await.expect(200);
    sqlx::query("update syncline.api_token set expires_at = syncline.now() where name = 'ci'")
        .execute(&app.pool)
        .await
        .unwrap();
    as_bearer(&app, token).await.problems(401);
    let past = json!({"name": "", "role": "root", "expires_at": "2001-01-01T00:00:00Z"});
    let problems = app
        .ask("admin", "POST", "/api/v1/tokens", Some(&past))
        .await
        .problems(422);
    let pointers: Vec<_> = problems
        .iter()
        .map(|(pointer, _)| pointer.as_str())
        .collect();
    assert_eq!(pointers, ["/name", "/role", "/expires_at"]);
}

#[tokio::test]
async fn signing_in_opens_a_session_that_ends() {
    let app = App::start().await;
    app.add_user("ana", Role::Operator).await;
    let answer = sign_in(&app, "ana", PASSWORD).await;
    let token = answer.expect(200)["token"].as_str().unwrap().to_owned();
    let cookie = answer.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let me = with_cookie(&app, "GET", "/api/v1/auth/me", &cookie, "same-origin")
        .await
        .expect(200);
    assert_eq!(
        me,
        json!({"name": "ana", "role": "operator", "signed_in": true})
    );
    as_bearer(&app, &token).await.expect(200);

    // The role is the account's, whenever it changes.
    set_role(&app.pool, "viewer").await;
    assert_eq!(as_bearer(&app, &token).await.expect(200)["role"], "viewer");

    app.clock.forward(chrono::Duration::hours(12));
    with_cookie(&app, "GET", "/api/v1/auth/me", &cookie, "same-origin")
        .await
        .problems(401);
}

#[tokio::test]
async fn a_new_password_or_a_lost_account_ends_sessions() {
    let app = App::start().await;
    app.add_user("ana", Role::Viewer).await;
    let answer = sign_in(&app, "ana", PASSWORD).await.expect(200);
    let token = answer["token"].as_str().unwrap();
    app.add_user("ana", Role::Viewer).await;
    as_bearer(&app, token).await.problems(401);
    let answer = sign_in(&app, "ana", PASSWORD).await.expect(200);
    let token = answer["token"].as_str().unwrap();
    sqlx::query("delete from syncline.user_account")
        .execute(&app.pool)
        .await
        .unwrap();
    as_bearer(&app, token).await.problems(401);
}

#[tokio::test]
async fn wrong_passwords_and_unknown_names_get_the_same_answer() {
    let app = App::start().await;
    app.add_user("ana", Role::Admin).await;
    let wrong = sign_in(&app, "ana", "not the password").await;
    let unknown = sign_in(&app, "bob", PASSWORD).await;
    wrong.problems(401);
    assert_eq!(wrong.json()["detail"], unknown.json()["detail"]);
    assert!(wrong.headers.get("set-cookie").is_none());
    let problems = app
        .ask("", "POST", "/api/v1/auth/sign-in", Some(&json!({})))
        .await
        .problems(422);
    assert_eq!(problems.len(), 2);
}

#[tokio::test]
async fn pages_of_other_sites_cannot_act_with_a_session() {
    let app = App::start().await;
    app.add_user("ana", Role::Admin).await;
    let answer = sign_in(&app, "ana", PASSWORD).await;
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let sign_out = "/api/v1/auth/sign-out";
    with_cookie(&app, "POST", sign_out, &cookie, "cross-site")
        .await
        .problems(403);
    let out = with_cookie(&app, "POST", sign_out, &cookie, "same-origin").await;
    out.expect(204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
}

async fn sign_in(app: &App, name: &str, password: &str) -> Answer {
    let body = json!({"name": name, "password": password});
    app.ask("", "POST", "/api/v1/auth/sign-in", Some(&body))
        .await
}

async fn as_bearer(app: &App, token: &str) -> Answer {
    let request =
        Request::get("/api/v1/auth/me").header("authorization", format!("Bearer {token}"));
    app.send(request.body(Body::empty()).unwrap()).await
}

async fn with_cookie(app: &App, method: &str, path: &str, cookie: &str, site: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("cookie", cookie);
    app.send(
        request
            .header("sec-fetch-site", site)
            .body(Body::empty())
            .unwrap(),
    )
    .await
}

async fn set_role(pool: &PgPool, role: &str) {
    let mut db = Session::from(pool.acquire().await.unwrap());
    let user = syncline_shared::db::access::find_user(&mut db, "ana")
        .await
        .unwrap()
        .unwrap();
    save_user(&mut db, "ana", &user.password_hash, role.parse().unwrap())
        .await
        .unwrap();
}
