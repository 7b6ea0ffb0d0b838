//! Retrying one finished run: a new run that does the same again.

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;
use syncline_shared::db::DbConnection;
use syncline_shared::db::history;
use syncline_shared::db::run::lock_finished;
use syncline_shared::ids::RunId;

use super::run_view::Run;
use super::runs;
use crate::auth::{Caller, Operator};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Params;
use crate::idempotency::{KeyedBody, Repeat, conclude};
use crate::repeat::{alike, enqueue_again, refusal};
use crate::resources::{Fields, Notes, accept};
use crate::state::AppState;

/// Retry a run
///
/// Enqueues a new run like one that failed, ended in part or was cancelled: the same connection, kind, streams and page. A run is
/// retried once; to go on, retry the run that repeats it.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/retry", tag = "Runs", operation_id = "retryRun",
    params(
        ("id" = String, Path, description = "The run's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = crate::docs::IDEMPOTENCY_KEY),
    ),
    responses(
        (status = 200, description = "The same request was carried out before, and its run has ended", body = Run, headers(("Location" = String))),
        (status = 202, description = "The new run is enqueued", body = Run, headers(("Location" = String))),
        (status = 400, description = "An unreadable Idempotency-Key", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has not ended, succeeded, was retried already, or its connection cannot run; or the same request is under way", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Another request was carried out under the key, or fields that cannot be accepted", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    params.finish()?;
    let mut notes = Notes::default();
    if let Some(fields) = Fields::of(&body.value, "", &mut notes) {
        fields.finish(&mut notes);
    }
    accept(notes)?;
    let id: RunId = runs::read_id(&id)?;
    let mut db = state.database.begin().await?;
    let done = retry_once(&state, &mut db, &caller, id, &body.repeat).await;
    let new = conclude(db, done).await?;
    state.runs_queued.wake();
    Ok(runs::started(runs::find(&state, new).await?))
}

async fn retry_once(
    state: &AppState,
    db: &mut DbConnection,
    caller: &Caller,
    id: RunId,
    repeat: &Repeat,
) -> ApiResult<RunId> {
    if let Some(made) = repeat.look_up(db, caller).await? {
        return runs::made_run(&made);
    }
    let Some(finished) = lock_finished(db, id).await? else {
        return Err(match history::find_run(db, id).await? {
            Some(run) => ApiError::state(
                "unfinished",
                format!(
                    "the run has not ended, it is {}; cancel it first, or wait for its end",
                    run.status
                ),
            ),
            None => runs::unknown(&id.to_string()),
        });
    };
    if let Some(refusal) = refusal(&finished, &state.catalog) {
        return Err(ApiError::state(refusal.code, refusal.detail));
    }
    let repeated = enqueue_again(db, &alike(vec![finished]), &[], &caller.name).await?;
    let new = repeated.runs.get(&id).copied();
    let new =
        new.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("the enqueue answered no run")))?;
    repeat.remember(db, caller, &json!({ "run": new })).await?;
    Ok(new)
}
