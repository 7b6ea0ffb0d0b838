//! Problems as pages: what handlers and [`crate::observe`] answer as problem+json becomes HTML for those who read HTML.
//!
//! It works on the finished answer, outside of everything else, so that a panic, a time-out and an unknown address end as a
//! page, too, with the same id that the log has. A missing session becomes the way to sign in.

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;
use url::form_urlencoded;

/// Problems are short.
const MAX_PROBLEM: usize = 256 * 1024;

/// Marks answers of page handlers.
#[derive(Debug, Clone, Copy)]
struct IsPage;

#[derive(Debug, Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    status: u16,
    title: String,
    detail: String,
    fields: Vec<String>,
    request_id: String,
    /// What can be done about it.
    advice: &'static str,
    /// Seconds until the page tries again by itself; 0: it does not.
    again: u8,
}

/// Says that an answer comes from a page.
pub(super) async fn mark_page(mut response: Response) -> Response {
    response.extensions_mut().insert(IsPage);
    response
}

/// Turns a problem into a page where the client reads HTML.
pub(crate) async fn show_problems(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let accepts = accepts_html(request.headers());
    let response = next.run(request).await;
    let is_page = response.extensions().get::<IsPage>().is_some();
    let wanted = match accepts {
        Accepts::Html => !uri.path().starts_with("/api/"),
        Accepts::Anything => is_page,
        Accepts::Other => false,
    };
    if !wanted || !is_problem(&response) {
        return response;
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        return to_sign_in(response, &method, &uri);
    }
    as_page(response).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepts {
    Html,
    Anything,
    Other,
}

fn accepts_html(headers: &HeaderMap) -> Accepts {
    let Some(accept) = headers.get(header::ACCEPT).map(HeaderValue::as_bytes) else {
        return Accepts::Anything;
    };
    let accept = String::from_utf8_lossy(accept).to_ascii_lowercase();
    if accept.contains("text/html") {
        Accepts::Html
    } else if accept.contains("*/*") && !accept.contains("json") {
        Accepts::Anything
    } else {
        Accepts::Other
    }
}

fn is_problem(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes() == b"application/problem+json")
}

fn to_sign_in(mut response: Response, method: &Method, uri: &Uri) -> Response {
    // What was to be done by a form is not done later, behind the back of whoever signs in.
    let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
    let looked = matches!(*method, Method::GET | Method::HEAD);
    let mut address = "/sign-in".to_owned();
    if looked && asked != "/" {
        let next: String = form_urlencoded::byte_serialize(asked.as_bytes()).collect();
        address = format!("/sign-in?next={next}");
    }
    *response.status_mut() = StatusCode::SEE_OTHER;
    *response.body_mut() = Body::empty();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::WWW_AUTHENTICATE);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(address) = HeaderValue::from_str(&address) {
        headers.insert(header::LOCATION, address);
    }
    response
}

async fn as_page(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // The body is in memory already.
    let bytes = to_bytes(body, MAX_PROBLEM).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let status = parts.status.as_u16();
    let fields = problem["errors"].as_array().cloned().unwrap_or_default();
    let page = ProblemPage {
        status,
        title: text("title"),
        detail: sentence(&text("detail")),
        fields: fields
            .iter()
            .filter_map(|field| field["detail"].as_str())
            .map(sentence)
            .collect(),
        request_id: text("request_id"),
        advice: advice(status),
        again: if status == 503 { 5 } else { 0 },
    };
    let Ok(html) = page.render() else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    let html_type = HeaderValue::from_static("text/html; charset=utf-8");
    parts.headers.insert(header::CONTENT_TYPE, html_type);
    parts
        .headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(html))
}

/// With a capital and a full stop, as a page has it.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let stop = if text.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
}

fn advice(status: u16) -> &'static str {
    match status {
        403 => "If you need to do this, ask an administrator for another role.",
        404 => "It may have been deleted, or the address has a slip.",
        503 => {
            "Runs that are under way go on by themselves once the database is back. This page tries again every 5 seconds."
        }
        504 => "Try again; if it stays, look at the load of the database.",
        500..600 => "Try again; if it stays, look for the request id in Syncline's log.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &'static str) -> Accepts {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(value));
        accepts_html(&headers)
    }

    #[test]
    fn browsers_read_html_and_programs_do_not() {
        assert_eq!(
            accept("text/html,application/xhtml+xml,*/*;q=0.8"),
            Accepts::Html
        );
        assert_eq!(accept("*/*"), Accepts::Anything);
        assert_eq!(accepts_html(&HeaderMap::new()), Accepts::Anything);
        assert_eq!(accept("application/json"), Accepts::Other);
        assert_eq!(accept("application/json, */*"), Accepts::Other);
    }

    #[test]
    fn details_become_sentences() {
        assert_eq!(sentence("there is none"), "There is none.");
        assert_eq!(sentence("Why?"), "Why?");
        assert_eq!(sentence(""), "");
    }
}
