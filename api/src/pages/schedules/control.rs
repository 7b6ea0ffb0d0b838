//! The buttons of a schedule: the same as the API's `trigger`, `pause`, `resume` and DELETE, for forms. Pausing asks for a note,
//! deleting asks whether it is meant, each on a page that works alone.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;
use syncline_shared::db;

use crate::auth::Operator;
use crate::error::{ApiError, ApiResult};
use crate::extract::{OptionalBody, Params};
use crate::handlers::schedules as api;
use crate::idempotency::KeyedBody;
use crate::pages::form::SessionForm;
use crate::pages::problem::sentence;
use crate::pages::visitor::{Frame, Visitor};
use crate::state::AppState;

#[derive(Debug, Template)]
#[template(path = "schedule_ask.html")]
struct AskPage {
    frame: Frame,
    key: String,
    name: String,
    asks: Asks,
}

#[derive(Debug)]
enum Asks {
    /// For a note, as typed, and what is wrong with it.
    Pause(String, Option<String>),
    /// Whether it is meant.
    Delete,
}

/// Makes the schedule's runs now, and shows it.
pub(in crate::pages) async fn run(
    caller: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    let asked = KeyedBody::without_key(json!({}));
    let shown = to_the_schedule(&id);
    api::control::trigger_now(caller, State(state), Path(id), Params::parse(None), asked).await?;
    Ok(shown)
}

/// Asks why it is to be paused.
pub(in crate::pages) async fn ask_pause(
    visitor: Visitor,
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<Response> {
    params.finish()?;
    ask(visitor, &state, &id, Asks::Pause(String::new(), None)).await
}

/// Pauses it and shows it; a note that cannot be accepted is asked for again.
pub(in crate::pages) async fn pause(
    visitor: Visitor,
    caller: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    SessionForm(fields): SessionForm,
) -> ApiResult<Response> {
    let note = fields.get("note").to_owned();
    let asked = OptionalBody(json!({ "note": note }));
    let params = Params::parse(None);
    let path = Path(id.clone());
    match api::control::pause(caller, State(state.clone()), path, params, asked).await {
        Ok(_) => Ok(to_the_schedule(&id)),
        Err(ApiError::Invalid(problems)) => {
            let problem = problems.first().map(|problem| sentence(&problem.detail));
            let mut page = ask(visitor, &state, &id, Asks::Pause(note, problem)).await?;
            *page.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(page)
        }
        Err(error) => Err(error),
    }
}

/// Resumes it and shows it.
pub(in crate::pages) async fn resume(
    caller: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    let asked = OptionalBody(json!({}));
    let shown = to_the_schedule(&id);
    let params = Params::parse(None);
    let _ = api::control::resume(caller, State(state), Path(id), params, asked).await?;
    Ok(shown)
}

/// Asks whether it is to be deleted.
pub(in crate::pages) async fn ask_delete(
    visitor: Visitor,
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<Response> {
    params.finish()?;
    ask(visitor, &state, &id, Asks::Delete).await
}

/// Deletes it and shows the others.
pub(in crate::pages) async fn delete(
    caller: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    api::delete(caller, State(state), Path(id), Params::parse(None)).await?;
    Ok(Redirect::to("/schedules").into_response())
}

async fn ask(visitor: Visitor, state: &AppState, id: &str, asks: Asks) -> ApiResult<Response> {
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let found = api::find(&mut db, id).await?;
    let title = match &asks {
        Asks::Pause(_, None) => "Pause a schedule",
        Asks::Pause(_, Some(_)) => "Error: Pause a schedule",
        Asks::Delete => "Delete a schedule",
    };
    crate::pages::html(&AskPage {
        frame: visitor.frame(title, "schedules", now),
        key: found.key,
        name: found.name,
        asks,
    })
}

/// Leads to the page of a schedule that was found by this id or key.
pub(super) fn to_the_schedule(id: &str) -> Response {
    let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    Redirect::to(&format!("/schedules/{id}")).into_response()
}
