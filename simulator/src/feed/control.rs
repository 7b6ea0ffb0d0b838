//! What tests and people may see and change of the simulated feed while it runs.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Feed;
use super::item::Item;
use super::limits::{FeedLimit, MOST_CALLS};
use super::settings::FeedSettings;
use crate::control::Endpoint;
use crate::control::input::{Fields, InputError, parse_body};

/// The endpoints below, as the list of all shows them.
pub(crate) const ENDPOINTS: [Endpoint; 9] = [
    Endpoint::new(
        "GET",
        "/_control/feed/truth",
        "every item, in list order, a JSON line each",
    ),
    Endpoint::new("GET", "/_control/feed/settings", "the settings in force"),
    Endpoint::new(
        "PUT",
        "/_control/feed/settings",
        "replaces them: {items, page_size, limit?: {calls, window_ms, retry_after_s?}, token_ttl_ms?, \
         points?: {items?, changes?}, limits?: [{calls | points, window_ms, retry_after_s?} | {at_once}], \
         refusal?: retry_after | retry_date | reset | bare | code | retry_delay, \
         tell?: [rate_limit | app_usage | business_usage | account_usage], delay_ms?, unavailable?: status | reset}; \
         windows of the same length keep their calls",
    ),
    Endpoint::new(
        "POST",
        "/_control/feed/outside",
        "books calls of somebody else in an account's windows now, which the referee does not count: {account, calls}",
    ),
    Endpoint::new("GET", "/feed/v1/items", "the list, paged by opaque tokens"),
    Endpoint::new(
        "GET",
        "/feed/v1/changes",
        "all items by their last change, between since and until, paged by opaque tokens",
    ),
    Endpoint::new(
        "GET",
        "/_control/feed/changes",
        "every item as the list of changes has it, a JSON line each",
    ),
    Endpoint::new(
        "POST",
        "/_control/feed/changes",
        "changes items at a moment: {first, count, at}",
    ),
    Endpoint::new(
        "GET",
        "/_control/feed/changes/calls",
        "the calls of the list of changes that were answered, and forgets them",
    ),
];

/// Routes under `/_control/feed`.
pub(crate) fn control_routes(feed: Arc<Feed>) -> Router {
    Router::new()
        .route("/_control/feed/truth", get(show_truth))
        .route(
            "/_control/feed/settings",
            get(show_settings).put(replace_settings),
        )
        .route("/_control/feed/outside", post(book_outside))
        .route("/_control/feed/changes", get(show_changes).post(touch))
        .route("/_control/feed/changes/calls", get(take_calls))
        .with_state(feed)
}

async fn show_changes(State(feed): State<Arc<Feed>>) -> Response {
    let changing = feed.changing();
    let list = changing
        .changes
        .list(feed.seed, changing.settings.items, None, None);
    lines_of(&list)
}

async fn touch(State(feed): State<Arc<Feed>>, body: Bytes) -> Result<Json<Value>, InputError> {
    let touched = feed.changing().changes.touch(&parse_body(&body)?)?;
    Ok(Json(touched))
}

/// Each call costs a point. Answers what each window limit of the account holds then.
async fn book_outside(
    State(feed): State<Arc<Feed>>,
    body: Bytes,
) -> Result<Json<Value>, InputError> {
    let json = parse_body(&body)?;
    let mut fields = Fields::of(&json, "")?;
    let account = fields.required_word("account")?;
    let calls = fields.required_number("calls", 1..=MOST_CALLS)?;
    fields.finish()?;
    let mut changing = feed.changing();
    let limits = changing.settings.all_limits();
    let now_us = feed.referee.now().monotonic_us;
    let known = changing.accounts.names().join(", ");
    let Some(granted) = changing.accounts.granted(&account) else {
        let found = Value::from(account);
        return Err(InputError::not_allowed("account", found, known));
    };
    granted.book(&limits, calls, calls, now_us);
    let mut windows = Vec::new();
    for limit in &limits {
        if let FeedLimit::Window(window) = limit {
            let used = granted.used(window, 1, now_us).used;
            windows.push(json!({"limit": limit, "used": used}));
        }
    }
    Ok(Json(
        json!({"account": account, "calls": calls, "windows": windows}),
    ))
}

async fn take_calls(State(feed): State<Arc<Feed>>) -> Json<Value> {
    let mut changing = feed.changing();
    let calls = json!({"calls": changing.changes.calls()});
    changing.changes.forget_calls();
    Json(calls)
}

fn lines_of<T: serde::Serialize>(records: &[T]) -> Response {
    let mut lines = Vec::new();
    for record in records {
        if let Err(error) = serde_json::to_writer(&mut lines, record) {
            tracing::error!(%error, "a record cannot be rendered: {error}");
        }
        lines.push(b'\n');
    }
    ([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
}

async fn show_truth(State(feed): State<Arc<Feed>>) -> Response {
    let items: Vec<Item> = (0..u64::from(feed.settings().items))
        .map(|index| Item::at(feed.seed, index))
        .collect();
    lines_of(&items)
}

async fn show_settings(State(feed): State<Arc<Feed>>) -> Json<FeedSettings> {
    Json(FeedSettings::clone(&feed.settings()))
}

async fn replace_settings(
    State(feed): State<Arc<Feed>>,
    body: Bytes,
) -> Result<Json<FeedSettings>, InputError> {
    feed.replace(FeedSettings::read(&parse_body(&body)?)?);
    Ok(Json(FeedSettings::clone(&feed.settings())))
}
