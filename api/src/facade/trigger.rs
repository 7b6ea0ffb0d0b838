//! Syncs on request, of everything or of a business.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use syncline_shared::db::DbConnection;
use syncline_shared::ids::BatchId;
use syncline_shared::run::RunKind;

use super::answer::SyncAnswer;
use crate::auth::{Caller, Operator};
use crate::error::{ApiResult, Problem};
use crate::extract::Params;
use crate::handlers::scheduler;
use crate::idempotency::{KeyedBody, Repeat, conclude};
use crate::resources::schedule::TargetInput;
use crate::starting::{Start, made_batch, start, wait_for};
use crate::state::AppState;

/// A request for a sync of all is answered within so many seconds, below the time limit of requests.
const LONGEST_WAIT: usize = 25;
/// How long it waits if nothing is said.
const USUAL_WAIT: usize = 20;

/// Sync everything, or a business
///
/// The same as `POST /api/v1/runs` with a target.
#[utoipa::path(
    post, path = "/api/v1/scheduler/trigger-sync", tag = "Compatibility", operation_id = "compatTriggerSync",
    params(("business_id" = Option<String>, Query, description = "Only this business: id or key")),
    responses(
        (status = 202, description = "The runs are enqueued", body = SyncAnswer, headers(("Location" = String))),
        (status = 409, description = "No connection got a run, and why", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is no such business", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn trigger_sync(
    Operator(caller): Operator,
    State(state): State<AppState>,
    mut params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    let target = business_or_everything(&mut params);
    params.finish()?;
    let batch = sync(&state, &caller, &target, &body.repeat).await?;
    answer(&state, batch, "Sync", Duration::ZERO).await
}

/// Sync everything and wait
///
/// Answers when it has ended: 200 with what it did; or 202 when the time was up first. The same as `POST /api/v1/runs` with the target
/// `everything` and `wait`.
#[utoipa::path(
    post, path = "/api/v1/scheduler/sync-now", tag = "Compatibility", operation_id = "compatSyncNow",
    params(("wait" = Option<u32>, Query, minimum = 0, maximum = 25, description = "Seconds to wait at most; 20")),
    responses(
        (status = 200, description = "It has ended", body = SyncAnswer),
        (status = 202, description = "It is under way", body = SyncAnswer, headers(("Location" = String))),
        (status = 409, description = "No connection got a run, and why", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sync_now(
    Operator(caller): Operator,
    State(state): State<AppState>,
    mut params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    let wait = params
        .integer("wait", 0, LONGEST_WAIT)
        .unwrap_or(USUAL_WAIT);
    params.finish()?;
    let batch = sync(&state, &caller, &TargetInput::Everything, &body.repeat).await?;
    let wait = Duration::from_secs(u64::try_from(wait).unwrap_or(0));
    let found = wait_for(&state, batch, wait).await?;
    let mut answer = SyncAnswer::of(&found, "Manual sync");
    answer.scheduler_status = Some(scheduler::look(&state).await?);
    Ok(respond(answer, batch))
}

/// Sync everything
#[utoipa::path(
    post, path = "/api/v1/scheduler/sync/manual", tag = "Compatibility", operation_id = "compatSyncManual",
    responses(
        (status = 202, description = "The runs are enqueued", body = SyncAnswer, headers(("Location" = String))),
        (status = 409, description = "No connection got a run, and why", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sync_manual(
    Operator(caller): Operator,
    State(state): State<AppState>,
    params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    params.finish()?;
    let batch = sync(&state, &caller, &TargetInput::Everything, &body.repeat).await?;
    answer(&state, batch, "Manual sync", Duration::ZERO).await
}

/// Refresh the data of a business
///
/// The same as `trigger-sync`.
#[utoipa::path(
    post, path = "/api/v1/analytics/refresh", tag = "Compatibility", operation_id = "compatRefreshAnalytics",
    params(("business_id" = Option<String>, Query, description = "Only this business: id or key")),
    responses(
        (status = 202, description = "The runs are enqueued", body = SyncAnswer, headers(("Location" = String))),
        (status = 409, description = "No connection got a run, and why", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is no such business", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn refresh_analytics(
    Operator(caller): Operator,
    State(state): State<AppState>,
    mut params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    let target = business_or_everything(&mut params);
    params.finish()?;
    let batch = sync(&state, &caller, &target, &body.repeat).await?;
    answer(&state, batch, "Refresh", Duration::ZERO).await
}

fn business_or_everything(params: &mut Params) -> TargetInput {
    params
        .text("business_id")
        .map_or(TargetInput::Everything, TargetInput::Business)
}

async fn sync(
    state: &AppState,
    caller: &Caller,
    target: &TargetInput,
    repeat: &Repeat,
) -> ApiResult<BatchId> {
    let mut db = state.database.begin().await?;
    let done = sync_once(state, &mut db, caller, target, repeat).await;
    let batch = conclude(db, done).await?;
    state.runs_queued.wake();
    Ok(batch)
}

async fn sync_once(
    state: &AppState,
    db: &mut DbConnection,
    caller: &Caller,
    target: &TargetInput,
    repeat: &Repeat,
) -> ApiResult<BatchId> {
    if let Some(made) = repeat.look_up(db, caller).await? {
        return made_batch(&made);
    }
    let wanted = Start {
        target,
        streams: None,
        kind: RunKind::Incremental,
        page: None,
        delay: Duration::ZERO,
    };
    let batch = start(db, &state.catalog, &wanted, &caller.name).await?;
    repeat
        .remember(db, caller, &json!({ "batch": batch }))
        .await?;
    Ok(batch)
}

/// The answer to a request for a sync, after a wait.
pub(super) async fn answer(
    state: &AppState,
    batch: BatchId,
    what: &str,
    wait: Duration,
) -> ApiResult<Response> {
    let found = wait_for(state, batch, wait).await?;
    Ok(respond(SyncAnswer::of(&found, what), batch))
}

fn respond(answer: SyncAnswer, batch: BatchId) -> Response {
    let status = if answer.result.is_some() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let location = format!("/api/v1/batches/{batch}");
    (status, [(header::LOCATION, location)], Json(answer)).into_response()
}
