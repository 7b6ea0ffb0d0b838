//! A platform that hands out refresh tokens for one use each: whoever uses one twice, or loses the one that came for it, is locked out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use syncline_tests::database::rows;
use syncline_tests::wait::{Look, until};
use syncline_tests::{Cluster, program};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Requests that an access token is good for.
const USES: u32 = 4;
/// Requests for pages that a read of everything takes: six months, a full and an empty page each.
const PAGES: usize = 12;

/// What the platform knows of a user.
#[derive(Debug, Default)]
struct User {
    /// The number of the refresh token that is good.
    number: u32,
    /// Requests that the access token of this number was used for.
    used: u32,
    /// Refresh tokens that were used when they were no longer good.
    refused: Vec<String>,
    pages: usize,
}

#[derive(Debug)]
struct Platform {
    users: Mutex<BTreeMap<String, User>>,
    /// From this page of a user on answers are held back, until the gate is open.
    held: Mutex<Option<(String, usize)>>,
    gate: watch::Sender<bool>,
}

impl Platform {
    async fn start() -> (Arc<Self>, String) {
        let platform = Arc::new(Self {
            users: Mutex::default(),
            held: Mutex::default(),
            gate: watch::Sender::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/token", post(token))
            .route("/items", get(items))
            .with_state(Arc::clone(&platform));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (platform, address)
    }

    fn with<T>(&self, name: &str, question: impl FnOnce(&mut User) -> T) -> T {
        let mut users = self.users.lock().unwrap();
        question(users.entry(name.to_owned()).or_default())
    }

    /// Refreshes that a user's tokens went through, and tokens that came a second time.
    fn refreshes(&self, name: &str) -> (u32, Vec<String>) {
        self.with(name, |user| (user.number, user.refused.clone()))
    }
}

async fn token(
    State(platform): State<Arc<Platform>>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let given = form["refresh_token"].clone();
    let name = given.split('-').next().unwrap().to_owned();
    platform.with(&name, |user| {
        if given != format!("{name}-refresh-{}", user.number) {
            user.refused.push(given);
            let refusal = json!({"error": "invalid_grant"}).to_string();
            return (StatusCode::BAD_REQUEST, refusal).into_response();
        }
        user.number += 1;
        user.used = 0;
        let number = user.number;
        let tokens = json!({
            "access_token": format!("{name}-access-{number}"),
            "refresh_token": format!("{name}-refresh-{number}"),
            "expires_in": 3600,
        });
        axum::Json(tokens).into_response()
    })
}

async fn items(
    State(platform): State<Arc<Platform>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let token = headers["authorization"].to_str().unwrap();
    let token = token.strip_prefix("Bearer ").unwrap().to_owned();
    let name = token.split('-').next().unwrap().to_owned();
    let page = platform.with(&name, |user| {
        let is_good = token == format!("{name}-access-{}", user.number) && user.used < USES;
        is_good.then(|| {
            user.used += 1;
            user.pages += 1;
            user.pages
        })
    });
    let Some(page) = page else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let held = platform.held.lock().unwrap().clone();
    let is_held = held.is_some_and(|(user, from)| user == name && page >= from);
    if is_held {
        let mut gate = platform.gate.subscribe();
        gate.wait_for(|is_open| *is_open).await.unwrap();
    }
    let since = query["since"].clone();
    let found: Vec<Value> = if query.contains_key("page") {
        Vec::new()
    } else {
        let item = |n: u32| json!({"id": format!("{name}-{since}-{n}"), "day": since});
        vec![item(1), item(2)]
    };
    axum::Json(json!({ "items": found })).into_response()
}

async fn cluster() -> Cluster {
    Cluster::builder()
        .workers(2)
        .connectors(program::checkout().join("tests/connectors"))
        .start()
        .await
}

/// A connection of the user of this name.
async fn connect(cluster: &Cluster, address: &str, name: &str) -> String {
    let business = json!({"key": name});
    cluster.api.post("/businesses", business).await.expect(201);
    let config = json!({
        "server": address, "client_id": "app", "client_secret": "app-secret", "refresh_token": format!("{name}-refresh-0"),
    });
    let connection =
        json!({"key": name, "business": name, "platform": "rotating", "config": config});
    let made = cluster.api.post("/connections", connection).await;
    made.expect(201)["id"].as_str().unwrap().to_owned()
}

/// All rows of a user, each once.
async fn assert_complete(cluster: &Cluster, connection: &str) {
    let found = rows(&cluster.pool, "rotating_items", "id", connection).await;
    assert_eq!(found.len(), PAGES, "{:?}", found.keys());
}

#[tokio::test]
async fn each_refresh_token_is_used_once_and_a_killed_workers_run_goes_on_with_the_stored_one() {
    let (platform, address) = Platform::start().await;
    let mut cluster = cluster().await;
    let (acme, globex) = (
        connect(&cluster, &address, "acme").await,
        connect(&cluster, &address, "globex").await,
    );
    // The second access token is in use by then, and no third one is asked for, since no answer comes.
    *platform.held.lock().unwrap() = Some(("acme".to_owned(), 6));
    let of_acme = cluster.api.start_run("acme").await;
    let of_globex = cluster.api.start_run("globex").await;
    until("acme's read to be in its middle", async || {
        let pages = platform.with("acme", |user| user.pages);
        Look::is(pages >= 6, pages)
    })
    .await;
    let run = cluster.api.run(&of_acme).await;
    let (worker, _) = cluster.worker_of(&run);
    cluster.process(&worker).kill_9();
    platform.gate.send_replace(true);
    for run in [&of_acme, &of_globex] {
        cluster.api.wait_for_success(run).await;
    }
    for connection in [&acme, &globex] {
        assert_complete(&cluster, connection).await;
    }
    for name in ["acme", "globex"] {
        let (refreshes, refused) = platform.refreshes(name);
        let pages = platform.with(name, |user| user.pages);
        assert!(refused.is_empty(), "{name}: {refused:?}");
        // One refresh for all that ask at the time, and none while a token is good.
        let least = pages.div_ceil(USES as usize);
        assert_eq!(refreshes as usize, least, "{name}: {pages} pages");
    }
}

#[tokio::test]
async fn a_token_that_is_good_serves_the_whole_fleet() {
    let (platform, address) = Platform::start().await;
    let mut cluster = cluster().await;
    let connection = connect(&cluster, &address, "acme").await;
    let first = cluster.api.start_run("acme").await;
    let ended = cluster.api.wait_for_success(&first).await;
    assert_complete(&cluster, &connection).await;
    let (refreshes, refused) = platform.refreshes("acme");
    assert_eq!(
        (refreshes as usize, refused),
        (PAGES / USES as usize, vec![])
    );
    // The other worker takes the stored token: the state leaves the last month to be read, two more pages.
    platform.with("acme", |user| user.used = 0);
    let (worker, _) = cluster.worker_of(&ended);
    cluster.process(&worker).kill_9();
    let second = cluster.api.start_run("acme").await;
    let ended = cluster.api.wait_for_success(&second).await;
    assert_ne!(cluster.worker_of(&ended).0, worker);
    let (refreshes, refused) = platform.refreshes("acme");
    assert_eq!(
        (refreshes as usize, refused),
        (PAGES / USES as usize, vec![])
    );
    assert!(platform.with("acme", |user| user.pages) > PAGES);
}
