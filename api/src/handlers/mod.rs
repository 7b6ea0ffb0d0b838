//! The endpoints, one file a noun. Routes are in [`crate::routes`].

pub(crate) mod auth;
pub(crate) mod backfills;
pub(crate) mod batches;
pub(crate) mod budgets;
pub(crate) mod businesses;
pub(crate) mod cancel;
pub(crate) mod circuits;
pub(crate) mod connections;
pub(crate) mod health;
pub(crate) mod pauses;
pub(crate) mod platforms;
pub(crate) mod redrive;
pub(crate) mod retry;
pub(crate) mod run_view;
pub(crate) mod runs;
pub(crate) mod scheduler;
pub(crate) mod schedules;
pub(crate) mod stream_states;
pub(crate) mod tokens;
pub(crate) mod why;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// An id with the key that people know it by.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Named {
    /// Identity.
    #[schema(value_type = String, format = Uuid)]
    pub id: uuid::Uuid,
    /// The user's own name for it; null if it has been deleted since.
    #[schema(example = "acme-g2a")]
    pub key: Option<String>,
}

/// 201 with the address of what was created.
pub(crate) fn created(location: String, body: impl Serialize) -> Response {
    let status = axum::http::StatusCode::CREATED;
    (status, [(header::LOCATION, location)], axum::Json(body)).into_response()
}
