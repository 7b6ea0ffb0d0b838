//! The control side of the simulator: health, the list of endpoints, and the referee's books. What belongs to one
//! platform lies with the platform.
//!
//! There is no authentication: whoever reaches the port may switch faults. The simulator is for tests and demos and
//! is meant to listen on loopback.

pub(crate) mod input;

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::input::{Fields, InputError};
use crate::referee::{CallsInShort, Referee};
use crate::{feed, g2a};

/// One line of the list that `GET /_control` shows.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Endpoint {
    method: &'static str,
    path: &'static str,
    what: &'static str,
}

impl Endpoint {
    pub(crate) const fn new(method: &'static str, path: &'static str, what: &'static str) -> Self {
        Self { method, path, what }
    }
}

const LONGEST_WINDOW_MS: u64 = 86_400_000;
/// Lengths of window that one report may be asked for.
const MOST_WINDOWS: usize = 16;

const ENDPOINTS: [Endpoint; 5] = [
    Endpoint::new("GET", "/healthz", "200 once the simulator serves"),
    Endpoint::new("GET", "/_control", "this list"),
    Endpoint::new(
        "GET",
        "/_control/referee",
        "exact counts of every key; ?key= adds its fullest windows (?window_ms=1000,60000) and timeline (?timeline=N newest)",
    ),
    Endpoint::new(
        "GET",
        "/_control/referee/arrivals",
        "the calls of ?key= that the timeline holds (?from_us=N or later), each [at_us, points, status, answered_us]",
    ),
    Endpoint::new("DELETE", "/_control/referee", "forgets all calls"),
];

/// Routes that belong to no platform.
pub(crate) fn routes(referee: Arc<Referee>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/_control", get(list_endpoints))
        .route("/_control/referee", get(show_referee).delete(reset_referee))
        .route("/_control/referee/arrivals", get(show_arrivals))
        .with_state(referee)
}

/// Answers paths that nobody serves.
pub(crate) async fn unknown_path(method: Method, uri: Uri) -> Response {
    let error = format!(
        "{method} {} is not served here; GET /_control lists what is",
        uri.path()
    );
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

/// Answers known paths that do not take this method; axum adds the Allow header.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let error = format!(
        "{} does not take {method}; GET /_control lists what is served",
        uri.path()
    );
    (
        StatusCode::METHOD_NOT_ALLOWED,
        Json(json!({ "error": error })),
    )
        .into_response()
}

async fn list_endpoints() -> Json<Value> {
    let all: Vec<Endpoint> = ENDPOINTS
        .into_iter()
        .chain(g2a::ENDPOINTS)
        .chain(feed::ENDPOINTS)
        .collect();
    Json(json!({ "endpoints": all, "faults": crate::faults::FAULTS }))
}

async fn show_referee(
    State(referee): State<Arc<Referee>>,
    RawQuery(query): RawQuery,
) -> Result<Response, InputError> {
    let query = query.unwrap_or_default();
    let mut asked = query_as_json(&query);
    let lengths = windows_asked(&query);
    if lengths.len() > 1 {
        asked["window_ms"] = Value::Array(lengths);
    }
    let mut fields = Fields::of(&asked, "")?;
    let windows_ms = if asked["window_ms"].is_array() {
        fields.numbers("window_ms", 1..=LONGEST_WINDOW_MS, MOST_WINDOWS)?
    } else {
        let one = fields.number("window_ms", 1..=LONGEST_WINDOW_MS)?;
        one.map(|window_ms| vec![window_ms])
    };
    let newest = fields.number("timeline", 0..=u64::MAX)?.unwrap_or(u64::MAX);
    let key = fields.text("key")?;
    fields.finish()?;
    let newest = usize::try_from(newest).unwrap_or(usize::MAX);
    Ok(match key {
        Some(key) => {
            let windows_ms = windows_ms.unwrap_or_default();
            Json(referee.report(&key, &windows_ms, newest)).into_response()
        }
        None => Json(json!({ "keys": referee.totals() })).into_response(),
    })
}

/// Each length of window in the query: they come repeated, divided by commas, or both.
fn windows_asked(query: &str) -> Vec<Value> {
    url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "window_ms")
        .flat_map(|(_, lengths)| lengths.split(',').map(number_or_text).collect::<Vec<_>>())
        .collect()
}

async fn show_arrivals(
    State(referee): State<Arc<Referee>>,
    RawQuery(query): RawQuery,
) -> Result<Json<CallsInShort>, InputError> {
    let asked = query_as_json(&query.unwrap_or_default());
    let mut fields = Fields::of(&asked, "")?;
    let from_us = fields.number("from_us", 0..=u64::MAX)?.unwrap_or(0);
    let key = fields.text("key")?;
    fields.finish()?;
    let allowed = "a key that GET /_control/referee lists";
    let key = key.ok_or_else(|| InputError::not_allowed("key", None, allowed))?;
    Ok(Json(referee.arrivals(&key, from_us)))
}

async fn reset_referee(State(referee): State<Arc<Referee>>) -> Json<Value> {
    referee.reset();
    Json(json!({ "keys": {} }))
}

/// A query in the form in which bodies come, so that both are checked by the same rules. A key stays text even when
/// it is all digits.
pub(crate) fn query_as_json(query: &str) -> Value {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = if name == "key" {
            Value::from(value.as_ref())
        } else {
            number_or_text(&value)
        };
        fields.insert(name.into_owned(), value);
    }
    Value::Object(fields)
}

fn number_or_text(value: &str) -> Value {
    let number = value.parse::<u64>();
    number.map_or_else(|_| Value::from(value), Value::from)
}
