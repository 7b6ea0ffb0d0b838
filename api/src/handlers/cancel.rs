//! Cancelling a run: at once while nobody executes it, else by way of its worker.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;
use serde::Serialize;
use syncline_shared::db::history::{self, RunView};
use syncline_shared::db::run::{self, Cancelling};
use syncline_shared::ids::RunId;
use syncline_shared::run::RunStatus;
use utoipa::ToSchema;

use super::run_view::Run;
use super::runs;
use crate::auth::Operator;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{OptionalBody, Params};
use crate::resources::read_note;
use crate::state::AppState;

/// Why something is done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Note, example = json!({"note": "the shop is being moved"}))]
pub(crate) struct NoteInput {
    /// In words, at most 1,000 characters.
    pub note: Option<String>,
}

/// Cancel a run
///
/// A run that nobody executes ends at once: 200. A running one is ended by its worker within about a second: 202. What it has
/// written stays. No failure is counted.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "Runs", operation_id = "cancelRun",
    params(("id" = String, Path, description = "The run's id")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It has ended as cancelled", body = Run),
        (status = 202, description = "Its worker was asked to end it", body = Run),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Response> {
    params.finish()?;
    let note = read_note(&body)?;
    let id: RunId = runs::read_id(&id)?;
    let mut db = state.database.begin().await?;
    let cancelling = run::cancel(&mut db, id, &caller.name, note.as_deref()).await?;
    let found = history::find_run(&mut db, id).await?;
    let found = found.ok_or_else(|| runs::unknown(&id.to_string()))?;
    let status = match cancelling {
        Cancelling::NotUnfinished => return Err(ended(&found)),
        Cancelling::Done => StatusCode::OK,
        Cancelling::Asked => StatusCode::ACCEPTED,
    };
    db.commit().await?;
    // Something may have stood behind it.
    state.runs_queued.wake();
    state.orders_changed.wake();
    Ok((status, Json(Run::from(found))).into_response())
}

fn ended(run: &RunView) -> ApiError {
    let when = run.finished_at.map_or_else(String::new, |at| {
        format!(" at {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
    });
    let by = match &run.cancelled_by {
        Some(by) if run.status == RunStatus::Cancelled => format!(" by {by}"),
        _ => String::new(),
    };
    ApiError::state(
        "ended",
        format!("the run has ended already: {}{by}{when}", run.status),
    )
}
