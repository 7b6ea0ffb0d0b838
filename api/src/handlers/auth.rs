//! Signing in and out.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::access;
use utoipa::ToSchema;

use crate::auth::{Caller, SESSION_COOKIE, SESSION_HOURS, Session, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Body;
use crate::resources::{Fields, Notes, accept};
use crate::state::AppState;

/// Who signs in.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "admin", "password": "..."}))]
pub(crate) struct SignInInput {
    /// The account's name.
    pub name: String,
    /// Its password.
    #[schema(format = Password)]
    pub password: String,
}

/// A session that was just opened.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedIn {
    /// Serves as a bearer token, too.
    pub token: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Sign in
///
/// Sets the cookie of the web page and answers the same session as a token.
#[utoipa::path(
    post, path = "/api/v1/auth/sign-in", tag = "Access", operation_id = "signIn", security(),
    request_body = SignInInput,
    responses(
        (status = 200, description = "Signed in", body = SignedIn, headers(("Set-Cookie" = String))),
        (status = 401, description = "Name or password is wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sign_in(
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(body): Body,
) -> ApiResult<Response> {
    let mut notes = Notes::default();
    let (mut name, mut password) = (String::new(), String::new());
    if let Some(mut fields) = Fields::of(&body, "", &mut notes) {
        name = fields.required_text("name", &mut notes);
        password = fields.required_text("password", &mut notes);
        fields.finish(&mut notes);
    }
    accept(notes)?;
    let (token, expires_at) = open_session(&state, &name, password).await?;
    let cookie = session_cookie(&token, &headers)?;
    Ok((
        [(header::SET_COOKIE, cookie)],
        Json(SignedIn { token, expires_at }),
    )
        .into_response())
}

/// Sign out
///
/// Removes the cookie.
#[utoipa::path(
    post, path = "/api/v1/auth/sign-out", tag = "Access", operation_id = "signOut",
    responses((status = 204, description = "Signed out"))
)]
pub(crate) async fn sign_out(_: Viewer, headers: HeaderMap) -> ApiResult<Response> {
    let cookie = ended_session_cookie(&headers)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Who am I?
#[utoipa::path(
    get, path = "/api/v1/auth/me", tag = "Access", operation_id = "whoAmI",
    responses(
        (status = 200, description = "The caller", body = Caller),
        (status = 401, description = "Nobody known", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn me(Viewer(caller): Viewer) -> Json<Caller> {
    Json(caller)
}

/// The token of a new session, and when it ends. Fails with 401 if name or password is wrong.
pub(crate) async fn open_session(
    state: &AppState,
    name: &str,
    password: String,
) -> ApiResult<(String, DateTime<Utc>)> {
    // The connection goes back before the slow part.
    let account = {
        let mut db = state.database.session().await?;
        access::find_user(&mut db, name).await?
    };
    let hash = account
        .as_ref()
        .map(|account| account.password_hash.clone());
    let fits = state
        .passwords
        .verify(password, hash)
        .await
        .map_err(ApiError::Internal)?;
    let known = account.as_ref().map(|account| account.name.clone());
    let Some(account) = account.filter(|_| fits) else {
        // Of an unknown name nothing is logged: people type passwords into the wrong field.
        if let Some(name) = known {
            tracing::warn!(
                user = name,
                "a sign-in as {name:?} was refused: wrong password"
            );
        }
        return Err(ApiError::Unauthenticated("name or password is wrong"));
    };
    let session = Session::open(&account.name, &account.password_hash, state.clock.now());
    let token = state.sessions.sign(&session).map_err(ApiError::Internal)?;
    let expires_at = DateTime::from_timestamp(session.ends_at, 0).unwrap_or_default();
    Ok((token, expires_at))
}

/// Keeps a session in the browser.
pub(crate) fn session_cookie(token: &str, headers: &HeaderMap) -> ApiResult<HeaderValue> {
    cookie(SESSION_COOKIE, token, SESSION_HOURS * 3600, headers)
}

/// Removes the session from the browser.
pub(crate) fn ended_session_cookie(headers: &HeaderMap) -> ApiResult<HeaderValue> {
    cookie(SESSION_COOKIE, "", 0, headers)
}

/// A cookie that scripts cannot read and other sites' requests do not carry. `headers` are those of the request.
pub(crate) fn cookie(
    name: &str,
    value: &str,
    seconds: i64,
    headers: &HeaderMap,
) -> ApiResult<HeaderValue> {
    let secure = if is_https(headers) { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).map_err(|error| ApiError::Internal(error.into()))
}

/// TLS ends at a proxy, which says so; without one, `Secure` would keep the cookie from ever coming back.
fn is_https(headers: &HeaderMap) -> bool {
    headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}
