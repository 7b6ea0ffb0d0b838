//! Signing in and out by form.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::form::{Fields, SIGN_IN_COOKIE, SessionForm};
use super::html;
use crate::auth::{NewToken, Viewer, cookie};
use crate::error::{ApiError, ApiResult};
use crate::extract::Params;
use crate::handlers::auth;
use crate::state::AppState;

/// How long a sign-in form may stay open, in seconds.
const FORM_LIFE: i64 = 24 * 3600;

#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    /// Where to go afterwards.
    next: String,
    form_token: String,
    /// What was typed.
    name: String,
    /// The field it is about, and what is wrong.
    problem: Option<(&'static str, &'static str)>,
}

/// Shows the form; whoever is signed in already goes on.
pub(super) async fn show(
    State(state): State<AppState>,
    known: Option<Viewer>,
    mut params: Params,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let next = local_path(&params.text("next").unwrap_or_default()).to_owned();
    if known.is_some() {
        return Ok(Redirect::to(&next).into_response());
    }
    let (form_token, cookie) = form_token(&state, &headers)?;
    let page = SignInPage {
        next,
        form_token,
        name: String::new(),
        problem: None,
    };
    answer(StatusCode::OK, &page, cookie)
}

/// Opens a session and goes on to the page that was asked for.
pub(super) async fn sign_in(
    State(state): State<AppState>,
    headers: HeaderMap,
    fields: Fields,
) -> ApiResult<Response> {
    let next = local_path(fields.get("next")).to_owned();
    let name = fields.get("name").trim().to_owned();
    let password = fields.get("password").to_owned();
    let problem = if !is_ours(&state, &headers, &fields) {
        Some((
            "name",
            "The form was too old, or your browser keeps no cookies. Sign in again; if it stays, allow cookies for this site",
        ))
    } else if name.is_empty() {
        Some(("name", "Enter your name"))
    } else if password.is_empty() {
        Some(("password", "Enter your password"))
    } else {
        match auth::open_session(&state, &name, password).await {
            Ok((token, _)) => {
                let session = auth::session_cookie(&token, &headers)?;
                let form = auth::cookie(SIGN_IN_COOKIE, "", 0, &headers)?;
                let mut response = Redirect::to(&next).into_response();
                response.headers_mut().append(header::SET_COOKIE, session);
                response.headers_mut().append(header::SET_COOKIE, form);
                return Ok(response);
            }
            Err(ApiError::Unauthenticated(_)) => {
                Some(("password", "Name or password is wrong. Enter them again"))
            }
            Err(error) => return Err(error),
        }
    };
    let (form_token, cookie) = form_token(&state, &headers)?;
    let page = SignInPage {
        next,
        form_token,
        name,
        problem,
    };
    answer(StatusCode::UNPROCESSABLE_ENTITY, &page, cookie)
}

/// Removes the session from the browser.
pub(super) async fn sign_out(_: Viewer, headers: HeaderMap, _: SessionForm) -> ApiResult<Response> {
    let cookie = auth::ended_session_cookie(&headers)?;
    let mut response = Redirect::to("/sign-in").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

fn answer(
    status: StatusCode,
    page: &SignInPage,
    cookie: Option<HeaderValue>,
) -> ApiResult<Response> {
    let mut response = html(page)?;
    *response.status_mut() = status;
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The token of the sign-in form, and the cookie it is bound to unless the browser has one: of two open forms, both work.
fn form_token(state: &AppState, headers: &HeaderMap) -> ApiResult<(String, Option<HeaderValue>)> {
    if let Some(held) = cookie(headers, SIGN_IN_COOKIE).filter(|held| !held.is_empty()) {
        return Ok((state.sessions.form_token(held), None));
    }
    let random = NewToken::random().map_err(ApiError::Internal)?.text;
    let set = auth::cookie(SIGN_IN_COOKIE, &random, FORM_LIFE, headers)?;
    Ok((state.sessions.form_token(&random), Some(set)))
}

fn is_ours(state: &AppState, headers: &HeaderMap, fields: &Fields) -> bool {
    let token = fields.get(super::form::TOKEN_FIELD);
    cookie(headers, SIGN_IN_COOKIE)
        .is_some_and(|held| !held.is_empty() && state.sessions.check_form_token(held, token))
}

/// The path if it lies on this site, else `/`: a link to the sign-in must not lead anybody elsewhere.
fn local_path(path: &str) -> &str {
    let plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && path.starts_with('/') && !path.starts_with("//") {
        path
    } else {
        "/"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_paths_are_gone_to() {
        for path in ["/", "/runs?status=failed", "/runs/0198"] {
            assert_eq!(local_path(path), path);
        }
        for path in [
            "",
            "runs",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/a b",
            "/a\r\nSet-Cookie: x=y",
            "javascript:alert(1)",
            "/ü",
        ] {
            assert_eq!(local_path(path), "/", "{path:?}");
        }
    }
}
