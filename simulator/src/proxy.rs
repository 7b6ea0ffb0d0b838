//! What a proxy in front of a platform answers when the platform does not.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};

const UNAVAILABLE: &str = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n\
    <body><center><h1>503 Service Temporarily Unavailable</h1></center></body>\r\n</html>\r\n";

/// 503 with a page for people, and with the Retry-After header when there are seconds for it.
pub(crate) fn unavailable(retry_after_s: Option<u32>) -> Response {
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, Html(UNAVAILABLE)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    if let Some(seconds) = retry_after_s {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}
