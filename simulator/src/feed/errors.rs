//! Error answers: an HTTP status and `{"error": {"code", "message"}}`. Refusals for a limit have forms of their own.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A call that the API refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// 401: no bearer token, or an unknown one.
    Unauthenticated,
    /// 400: a parameter that cannot be read.
    InvalidArgument(String),
    /// 400: a page token that has died, or never was one.
    InvalidPageToken,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message) = match &self {
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "UNAUTHENTICATED",
                "A valid bearer token is needed.",
            ),
            Self::InvalidArgument(message) => (
                StatusCode::BAD_REQUEST,
                "INVALID_ARGUMENT",
                message.as_str(),
            ),
            Self::InvalidPageToken => (
                StatusCode::BAD_REQUEST,
                "INVALID_PAGE_TOKEN",
                "The page token is invalid or has expired.",
            ),
        };
        let body = json!({"error": {"code": code, "message": message}});
        (status, Json(body)).into_response()
    }
}
