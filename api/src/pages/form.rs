//! Forms: the fields that came, once their token has been checked.
//!
//! The token is an HMAC over a cookie that only our own pages can have read it with: the session's, or before there is one,
//! a random one set with the sign-in form (a signed double submit). It is the second lock behind `SameSite=Strict`.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use url::form_urlencoded;

use crate::auth::{SESSION_COOKIE, cookie};
use crate::error::ApiError;
use crate::state::AppState;

/// The hidden field of every form.
pub(super) const TOKEN_FIELD: &str = "form_token";
/// The cookie of the sign-in form.
pub(super) const SIGN_IN_COOKIE: &str = "syncline_sign_in";
/// Forms are a few short fields.
const MAX_FORM: usize = 16 * 1024;

/// The fields of a form, as they came.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

/// The fields of a form of a session, whose token was right.
#[derive(Debug)]
pub(super) struct SessionForm(pub Fields);

impl Fields {
    /// The first field of this name, or nothing.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// All fields of this name: boxes that were ticked.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(field, _)| field == name);
        found.map(|(_, value)| value.clone()).collect()
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| ApiError::TooLarge(MAX_FORM))?;
        if bytes.len() > MAX_FORM {
            return Err(ApiError::TooLarge(MAX_FORM));
        }
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }
}

impl FromRequest<AppState> for SessionForm {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        // A program's bearer token is not sent by a browser on its own: no other site can borrow it.
        let by_program = request.headers().contains_key(header::AUTHORIZATION);
        let session = cookie(request.headers(), SESSION_COOKIE).unwrap_or_default();
        let session = session.to_owned();
        let fields = Fields::from_request(request, state).await?;
        if by_program
            || state
                .sessions
                .check_form_token(&session, fields.get(TOKEN_FIELD))
        {
            return Ok(Self(fields));
        }
        Err(ApiError::Forbidden(
            "this form is not from your present session, so nothing was done; open the page again and repeat it"
                .to_owned(),
        ))
    }
}

/// The token of the forms of this session.
pub(super) fn session_token(headers: &HeaderMap, state: &AppState) -> String {
    let session = cookie(headers, SESSION_COOKIE).unwrap_or_default();
    state.sessions.form_token(session)
}
