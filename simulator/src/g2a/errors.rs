//! The vendor's error answers: HTTP status, `code`, and `{"status":"ERROR",...}`. The codes are the vendor's; but for
//! "Too many requests", the messages are not known word for word, and no client should look at them.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A call that the API refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// 403 AUTH01: no Authorization header.
    HeaderMissing,
    /// 401 AUTH02: unknown client or wrong key.
    BadCredentials,
    /// 400 BR01: a request that cannot be read.
    BadRequest(String),
    /// 400 BR04: not a product id.
    BadProductId,
    /// 429 BR03.
    TooManyRequests {
        /// Seconds of the Retry-After header, which the vendor was never seen to send.
        retry_after_s: Option<u32>,
    },
    /// 500: something broke on the vendor's side. Its code is not known; ISE01 stands for it.
    Internal,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message) = match &self {
            Self::HeaderMissing => (
                StatusCode::FORBIDDEN,
                "AUTH01",
                "Authorization header is missing",
            ),
            Self::BadCredentials => (
                StatusCode::UNAUTHORIZED,
                "AUTH02",
                "Authorization credentials are invalid",
            ),
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, "BR01", message.as_str()),
            Self::BadProductId => (StatusCode::BAD_REQUEST, "BR04", "Product id is invalid"),
            Self::TooManyRequests { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "BR03", "Too many requests")
            }
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "ISE01",
                "Internal server error",
            ),
        };
        let body = Json(json!({"status": "ERROR", "message": message, "code": code}));
        match self {
            Self::TooManyRequests {
                retry_after_s: Some(seconds),
            } => (status, [(RETRY_AFTER, seconds)], body).into_response(),
            _ => (status, body).into_response(),
        }
    }
}
