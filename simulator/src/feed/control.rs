//! What tests and people may see and change of the simulated feed while it runs.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::Feed;
use super::item::Item;
use super::settings::FeedSettings;
use crate::control::Endpoint;
use crate::control::input::{InputError, parse_body};

/// The endpoints below, as the list of all shows them.
pub(crate) const ENDPOINTS: [Endpoint; 4] = [
    Endpoint::new(
        "GET",
        "/_control/feed/truth",
        "every item, in list order, a JSON line each",
    ),
    Endpoint::new("GET", "/_control/feed/settings", "the settings in force"),
    Endpoint::new(
        "PUT",
        "/_control/feed/settings",
        "replaces them: {items, page_size, limit?: {calls, window_ms, retry_after_s?}, token_ttl_ms?}",
    ),
    Endpoint::new("GET", "/feed/v1/items", "the list, paged by opaque tokens"),
];

/// Routes under `/_control/feed`.
pub(crate) fn control_routes(feed: Arc<Feed>) -> Router {
    Router::new()
        .route("/_control/feed/truth", get(show_truth))
        .route(
            "/_control/feed/settings",
            get(show_settings).put(replace_settings),
        )
        .with_state(feed)
}

async fn show_truth(State(feed): State<Arc<Feed>>) -> Response {
    let mut lines = Vec::new();
    for index in 0..u64::from(feed.settings().items) {
        let item = Item::at(feed.seed, index);
        if let Err(error) = serde_json::to_writer(&mut lines, &item) {
            tracing::error!(%error, "item {index} cannot be rendered: {error}");
        }
        lines.push(b'\n');
    }
    ([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
}

async fn show_settings(State(feed): State<Arc<Feed>>) -> Json<FeedSettings> {
    Json(feed.settings())
}

async fn replace_settings(
    State(feed): State<Arc<Feed>>,
    body: Bytes,
) -> Result<Json<FeedSettings>, InputError> {
    feed.replace(FeedSettings::read(&parse_body(&body)?)?);
    Ok(Json(feed.settings()))
}
