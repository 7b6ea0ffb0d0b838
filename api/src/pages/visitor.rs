//! Who looks at a page, and what all pages show of it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use syncline_shared::db::access::Role;

use super::form;
use crate::auth::{Caller, Viewer};
use crate::error::ApiError;
use crate::state::AppState;

/// Somebody who may look, with the token that the forms of their pages carry.
#[derive(Debug)]
pub(super) struct Visitor {
    caller: Caller,
    form_token: String,
}

/// What every page but the sign-in shows around its content.
#[derive(Debug)]
pub(super) struct Frame {
    /// The page's own title.
    pub title: String,
    /// The item of the menu that is current.
    pub active: &'static str,
    /// Who is signed in.
    pub user: String,
    /// Their role.
    pub role: &'static str,
    /// True if they may start runs; buttons for it are not rendered otherwise.
    pub may_operate: bool,
    /// For hidden fields of forms.
    pub form_token: String,
    /// The database's time of the page's data.
    pub now: DateTime<Utc>,
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Viewer(caller) = Viewer::from_request_parts(parts, state).await?;
        let form_token = form::session_token(&parts.headers, state);
        Ok(Self { caller, form_token })
    }
}

impl Visitor {
    /// The same, as the API's functions know it.
    pub(super) fn viewer(&self) -> Viewer {
        Viewer(self.caller.clone())
    }

    /// The frame of a page whose data is as of `now`.
    pub(super) fn frame(
        self,
        title: impl Into<String>,
        active: &'static str,
        now: DateTime<Utc>,
    ) -> Frame {
        Frame {
            title: title.into(),
            active,
            user: self.caller.name,
            role: self.caller.role.as_str(),
            may_operate: matches!(self.caller.role, Role::Operator | Role::Admin),
            form_token: self.form_token,
            now,
        }
    }
}
