//! An application under test: a router on a database of its own, with a token a role.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use chrono::{DateTime, Utc};
use clap::Parser;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use syncline_api::auth::{NewToken, PasswordHasher};
use syncline_api::{ApiConfig, AppState, router};
use syncline_engine::Catalog;
use syncline_engine::Connector;
use syncline_postgres::testing::{TestDatabase, database};
use syncline_shared::clock::Clock;
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::access::{Role, save_token, save_user};
use syncline_shared::db::{Database, Session};
use syncline_shared::lifecycle::Lifecycle;
use tower::ServiceExt;

/// Three streams, of which one can be asked for by page, and one by data range; a secret at the top and one further down; one budget.
const SHOP: &str = include_str!("shop.yaml");
pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct App {
    pub(crate) router: Router,
    /// As the API has it.
    pub(crate) database: Database,
    /// For looking from outside.
    pub(crate) pool: PgPool,
    pub(crate) state: AppState,
    pub(crate) life: Lifecycle,
    pub(crate) clock: Arc<TestClock>,
    tokens: BTreeMap<&'static str, String>,
    _database: TestDatabase,
}

#[derive(Debug)]
pub(crate) struct TestClock(Mutex<DateTime<Utc>>);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

impl TestClock {
    pub(crate) fn forward(&self, by: chrono::Duration) {
        *self.0.lock().unwrap() += by;
    }
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    api: ApiConfig,
}

/// What the command line would make of these flags; sound secrets unless they are among them.
pub(crate) fn config(flags: &[&str]) -> ApiConfig {
    let secret = "s".repeat(40);
    let mut all = vec!["api"];
    for name in ["--secret-key", "--jwt-secret"] {
        if !flags.contains(&name) {
            all.extend([name, &secret]);
        }
    }
    all.extend(flags);
    Flags::parse_from(all).api
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The body, after a look at the status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// Pointers and codes of a problem, after a look at its form.
    #[track_caller]
    pub(crate) fn problems(&self, status: u16) -> Vec<(String, String)> {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        for field in ["type", "title", "detail", "instance", "request_id"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}: {problem}"
            );
        }
        assert_eq!(problem["status"], status);
        let text = |field: &Value, name: &str| field[name].as_str().unwrap().to_owned();
        let fields = problem["errors"].as_array().cloned().unwrap_or_default();
        fields
            .iter()
            .map(|field| (text(field, "pointer"), text(field, "code")))
            .collect()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl App {
    pub(crate) async fn start() -> Self {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let database = database(&migrations).await.unwrap();
        let to = DatabaseConfig::direct(database.url(), 8);
        let connected = Database::connect(&to, "api under test").await.unwrap();
        let life = Lifecycle::new(Duration::from_secs(5));
        let config = config(&[]);
        let catalog = Catalog::of([Connector::load("shop", SHOP).unwrap()]);
        let clock = Arc::new(TestClock(Mutex::new(
            "2026-08-01T12:00:00Z".parse().unwrap(),
        )));
        let state =
            AppState::with_catalog(&config, catalog, connected.clone(), &life, clock.clone())
                .unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_lazy(&database.url())
            .unwrap();
        let mut tokens = BTreeMap::new();
        let mut db = Session::from(pool.acquire().await.unwrap());
        for role in Role::ALL {
            let token = NewToken::random().unwrap();
            save_token(&mut db, role.as_str(), *role, &token.hash, None)
                .await
                .unwrap();
            tokens.insert(role.as_str(), token.text);
        }
        drop(db);
        let router = router(state.clone());
        Self {
            router,
            database: connected,
            pool,
            state,
            life,
            clock,
            tokens,
            _database: database,
        }
    }

    /// An application with the business `acme` and the connection `acme-shop`.
    pub(crate) async fn with_connection() -> Self {
        let app = Self::start().await;
        app.post("/api/v1/businesses", &json!({"key": "acme"}))
            .await
            .expect(201);
        app.post("/api/v1/connections", &connection("acme-shop"))
            .await
            .expect(201);
        app
    }

    pub(crate) async fn add_user(&self, name: &str, role: Role) {
        let hash = PasswordHasher::hash(PASSWORD).unwrap();
        let mut db = Session::from(self.pool.acquire().await.unwrap());
        save_user(&mut db, name, &hash, role).await.unwrap();
    }

    pub(crate) fn token(&self, role: &str) -> &str {
        &self.tokens[role]
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    /// As `role`; the empty one sends no token.
    pub(crate) async fn ask(
        &self,
        role: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !role.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token(role)));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("viewer", "GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("operator", "POST", path, Some(body)).await
    }
}

/// A sound connection of the business `acme`.
pub(crate) fn connection(key: &str) -> Value {
    json!({
        "key": key, "business": "acme", "platform": "shop",
        "config": {"client_id": "id-1", "client_secret": "hunter2-top", "proxy": {"host": "h", "token": "hunter2-deep"}},
    })
}

/// Returns when a fact has come about.
pub(crate) async fn until(mut fact: impl AsyncFnMut() -> bool) {
    let look = async {
        while !fact().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), look)
        .await
        .expect("it never came about");
}
