//! Starting and stopping "the scheduler": everything rests, or goes on. It is kept in the database and survives restarts.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use syncline_shared::db::pause::PauseTarget;
use utoipa::ToSchema;

use crate::auth::Operator;
use crate::error::ApiResult;
use crate::extract::Params;
use crate::pausing;
use crate::state::AppState;

/// What came of a request to start or to stop.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Switched {
    /// In words.
    #[schema(example = "Scheduler stopped")]
    pub message: &'static str,
    /// `running` or `stopped`.
    #[schema(example = "stopped")]
    pub status: &'static str,
}

/// Resume everything
///
/// The same as `POST /api/v1/resume`.
#[utoipa::path(
    post, path = "/api/v1/scheduler/start", tag = "Compatibility", operation_id = "compatStart",
    responses((status = 200, description = "It is resumed", body = Switched))
)]
pub(crate) async fn start(
    _: Operator,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<Switched>> {
    params.finish()?;
    let change = pausing::resume(&state, &PauseTarget::Everything).await?;
    Ok(Json(Switched {
        message: if change.changed {
            "Scheduler started"
        } else {
            "Scheduler was running already"
        },
        status: "running",
    }))
}

/// Pause everything
///
/// The same as `POST /api/v1/pause`: runs under way are handed back at their next checkpoint, and go on from there.
#[utoipa::path(
    post, path = "/api/v1/scheduler/stop", tag = "Compatibility", operation_id = "compatStop",
    responses((status = 200, description = "It is paused", body = Switched))
)]
pub(crate) async fn stop(
    Operator(caller): Operator,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<Switched>> {
    params.finish()?;
    let note = Some("the scheduler was stopped");
    let change = pausing::pause(&state, &PauseTarget::Everything, note, &caller.name).await?;
    Ok(Json(Switched {
        message: if change.changed {
            "Scheduler stopped"
        } else {
            "Scheduler was stopped already"
        },
        status: "stopped",
    }))
}
