//! Pauses on pages: what rests, in words, and the buttons that pause and resume.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use serde_json::json;
use syncline_shared::db::pause::{Pause, PauseCause, PauseScope};
use url::form_urlencoded;

use super::form::SessionForm;
use super::moment::Moment;
use crate::auth::Operator;
use crate::error::ApiResult;
use crate::extract::{OptionalBody, Params};
use crate::handlers::pauses;
use crate::state::AppState;

/// A pause as a line of a page.
#[derive(Debug)]
pub(super) struct PauseLine {
    /// `Everything is paused by ana`, `The platform shop ...`.
    pub sentence: String,
    pub since: Moment,
    pub note: Option<String>,
    /// Where the overview's form that resumes it is sent; connections and businesses are not on it.
    pub resume: Option<String>,
}

impl PauseLine {
    /// `pause`, as seen at `now`.
    pub(super) fn new(pause: &Pause, now: DateTime<Utc>) -> Self {
        let what = match pause.scope {
            PauseScope::Everything => "Everything is".to_owned(),
            PauseScope::Platform => format!("The platform {} is", pause.target),
            PauseScope::Business => format!("The business {} is", pause.target),
            PauseScope::Connection => "It is".to_owned(),
        };
        let by = &pause.paused_by;
        Self {
            sentence: match pause.cause {
                PauseCause::Person => format!("{what} paused by {by}"),
                PauseCause::NeedsPerson => format!("{what} paused by {by} until a person acts"),
            },
            since: Moment::new(pause.paused_at, now),
            note: pause.note.clone(),
            resume: match pause.scope {
                PauseScope::Everything => Some("/resume".to_owned()),
                PauseScope::Platform => Some(format!("/platforms/{}/resume", pause.target)),
                PauseScope::Business | PauseScope::Connection => None,
            },
        }
    }
}

/// Pauses a connection and shows it.
pub(super) async fn pause_connection(
    caller: Operator,
    State(state): State<AppState>,
    Path(key): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    let asked = OptionalBody(json!({}));
    let params = Params::parse(None);
    let address = address_of(&key);
    let _ = pauses::pause_connection(caller, State(state), Path(key), params, asked).await?;
    Ok(Redirect::to(&address).into_response())
}

/// Resumes a connection and shows it.
pub(super) async fn resume_connection(
    caller: Operator,
    State(state): State<AppState>,
    Path(key): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    let asked = OptionalBody(json!({}));
    let params = Params::parse(None);
    let address = address_of(&key);
    let _ = pauses::resume_connection(caller, State(state), Path(key), params, asked).await?;
    Ok(Redirect::to(&address).into_response())
}

fn address_of(key: &str) -> String {
    let key: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
    format!("/connections?key={key}")
}

/// Resumes a platform and shows how things stand.
pub(super) async fn resume_platform(
    caller: Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    let asked = OptionalBody(json!({}));
    let params = Params::parse(None);
    let _ = pauses::resume_platform(caller, State(state), Path(name), params, asked).await?;
    Ok(Redirect::to("/").into_response())
}

/// Resumes everything and shows how things stand.
pub(super) async fn resume_everything(
    caller: Operator,
    State(state): State<AppState>,
    _: SessionForm,
) -> ApiResult<Response> {
    let asked = OptionalBody(json!({}));
    let _ = pauses::resume_everything(caller, State(state), Params::parse(None), asked).await?;
    Ok(Redirect::to("/").into_response())
}
