//! Error answers: an HTTP status and `{"error": {"code", "message"}}`.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
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
    /// 429.
    RateLimited {
        /// Seconds of the Retry-After header.
        retry_after_s: u32,
    },
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
            Self::RateLimited { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "RATE_LIMITED",
                "Too many calls.",
            ),
        };
        let body = Json(json!({"error": {"code": code, "message": message}}));
        match self {
            Self::RateLimited { retry_after_s } => {
                (status, [(RETRY_AFTER, retry_after_s)], body).into_response()
            }
            _ => (status, body).into_response(),
        }
    }
}
