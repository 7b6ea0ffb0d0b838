//! The edge of every request: its id, time limit, log line and security headers, and the body of problems.
//!
//! One function instead of a stack of layers, because the parts need each other: the problem needs the id, the log line
//! the problem's cause, and a panic or a time-out must end as a problem, too.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use uuid::Uuid;

use crate::error::{ApiError, PendingProblem};
use crate::handlers::runs::LONGEST_WAIT;
use crate::state::AppState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Handlers have so long, waits not counted.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Addresses of this route are secrets.
const SECRET_ROUTE: &str = "/api/v1/triggers/{secret}";
/// The docs page and its parts.
const DOCS: &str = "/docs";

const STRICT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// Swagger UI writes `style` attributes; its scripts keep to the strict rule.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Answers a request through `next`, and sees to everything that all answers have in common.
pub(crate) async fn observe(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |matched| matched.as_str().to_owned());

    let limit = if waits(&method, &route) {
        TIME_LIMIT + LONGEST_WAIT
    } else {
        TIME_LIMIT
    };
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            ApiError::Internal(anyhow::anyhow!("panic: {}", panic_text(&*panic))).into_response()
        }
        Err(_) => ApiError::TimedOut(limit.as_secs()).into_response(),
    };

    // An address that is a secret is told to nobody, and looks the same whatever it holds.
    let shown = if route == SECRET_ROUTE { &route } else { &path };
    let cause = write_problem(&mut response, &id, shown);
    write_headers(&mut response, &id, &path);
    let status = response.status().as_u16();
    state.metrics.count(status);
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(cause) = cause {
        tracing::error!(
            http.request_id = id, http.method = %method, http.route = route, http.status = status, duration_ms,
            error = cause, "{method} {route} failed: {cause}"
        );
    } else if is_probe(&route) {
        tracing::debug!(
            http.request_id = id, http.method = %method, http.route = route, http.status = status, duration_ms,
            "{method} {route} answered {status} in {duration_ms} ms"
        );
    } else {
        tracing::info!(
            http.request_id = id, http.method = %method, http.route = route, http.status = status, duration_ms,
            "{method} {route} answered {status} in {duration_ms} ms"
        );
    }
    response
}

/// True of the one endpoint that may be asked to wait for a run.
fn waits(method: &Method, route: &str) -> bool {
    method == Method::POST && route == "/api/v1/runs"
}

/// Asked every few seconds by machines: not worth a line.
fn is_probe(route: &str) -> bool {
    matches!(route, "/healthz" | "/readyz" | "/metrics")
}

/// The caller's id if it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |text: &&str| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(plain)
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// Writes the body of a pending problem. Answers the cause, if there is one to be logged.
fn write_problem(response: &mut Response, id: &str, path: &str) -> Option<String> {
    let PendingProblem { mut problem, cause } = response.extensions_mut().remove()?;
    id.clone_into(&mut problem.request_id);
    path.clone_into(&mut problem.instance);
    // Text and numbers only, so this cannot fail.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    cause
}

fn write_headers(response: &mut Response, id: &str, path: &str) {
    let policy = if path.starts_with(DOCS) {
        DOCS_POLICY
    } else {
        STRICT_POLICY
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    if path.starts_with("/api/") {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use syncline_shared::config::DatabaseConfig;
    use syncline_shared::db::Database;

    use axum::body::to_bytes;
    use axum::routing::{get, post};
    use axum::{Router, middleware};
    use clap::Parser;
    use syncline_shared::clock::SystemClock;
    use syncline_shared::lifecycle::Lifecycle;
    use tower::ServiceExt;

    use crate::config::ApiConfig;
    use syncline_engine::Catalog;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        api: ApiConfig,
    }

    /// Nothing here asks the database, so the database never connects.
    fn app() -> Router {
        let secret = "s".repeat(40);
        let flags = Flags::parse_from(["api", "--secret-key", &secret, "--jwt-secret", &secret]);
        let to = DatabaseConfig::direct("postgres://localhost/none", 2);
        let database = Database::lazy(&to, "tests").unwrap();
        let life = Lifecycle::new(Duration::ZERO);
        let clock = Arc::new(SystemClock);
        let state =
            AppState::with_catalog(&flags.api, Catalog::default(), database, &life, clock).unwrap();
        let forever = std::future::pending::<&'static str>;
        #[expect(clippy::panic, reason = "what is under test")]
        let broken = async || -> &'static str { panic!("the secret is hunter2") };
        Router::new()
            .route("/broken", get(broken))
            .route("/slow", get(forever))
            .route("/api/v1/runs", post(forever))
            .layer(middleware::from_fn_with_state(state.clone(), observe))
            .with_state(state)
    }

    async fn ask(method: Method, path: &str) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let response = app().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing() {
        let (status, body) = ask(Method::GET, "/broken").await;
        assert_eq!(status, 500);
        assert!(
            body.contains("request_id") && !body.contains("hunter2"),
            "{body}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up_but_waits_have_their_time() {
        for (method, path, seconds) in [
            (Method::GET, "/slow", 30),
            (Method::POST, "/api/v1/runs", 90),
        ] {
            let began = tokio::time::Instant::now();
            let (status, body) = ask(method, path).await;
            assert_eq!(
                (status, began.elapsed().as_secs()),
                (504, seconds),
                "{body}"
            );
        }
    }

    #[test]
    fn a_callers_request_id_is_kept_only_if_it_is_plain() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("build-42"));
        assert_eq!(request_id(&headers), "build-42");
        headers.insert(REQUEST_ID, HeaderValue::from_static("a b\"c"));
        assert!(Uuid::parse_str(&request_id(&headers)).is_ok());
    }
}
