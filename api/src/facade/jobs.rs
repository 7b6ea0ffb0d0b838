//! Schedules as jobs.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::schedule::{self, ScheduleFilter};
use utoipa::ToSchema;

use crate::auth::Viewer;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Params;
use crate::handlers::scheduler::Job;
use crate::handlers::schedules::view::{ScheduleView, view_all, view_one};
use crate::state::AppState;

/// Jobs shown at most.
const MAX_JOBS: i64 = 200;

/// The jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Jobs {
    /// Schedules in the order of their keys, at most 200.
    pub jobs: Vec<JobDetail>,
    /// How many there are here.
    pub total: usize,
}

/// A job, and how it is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// `running`, `paused`, `error` or `active`.
    #[schema(example = "active")]
    pub status: &'static str,
    /// When its last batch was enqueued.
    pub last_run: Option<DateTime<Utc>>,
    /// How that ended: `success`, `partial`, `failed` or `cancelled`; `running` until it has.
    pub last_run_status: Option<&'static str>,
}

impl From<ScheduleView> for JobDetail {
    fn from(view: ScheduleView) -> Self {
        Self {
            status: view.state.as_str(),
            last_run: view.last_batch.as_ref().map(|batch| batch.created_at),
            last_run_status: view.last_batch.as_ref().map(|batch| match batch.status {
                "succeeded" => "success",
                other => other,
            }),
            job: Job::of(&view),
        }
    }
}

/// List jobs
///
/// The same as `GET /api/v1/schedules`.
#[utoipa::path(
    get, path = "/api/v1/scheduler/jobs", tag = "Compatibility", operation_id = "compatJobs",
    responses(
        (status = 200, description = "The jobs", body = Jobs),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<Jobs>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = schedule::list(&mut db, &ScheduleFilter::default(), MAX_JOBS).await?;
    let jobs: Vec<JobDetail> = view_all(&mut db, found)
        .await?
        .into_iter()
        .map(JobDetail::from)
        .collect();
    Ok(Json(Jobs {
        total: jobs.len(),
        jobs,
    }))
}

/// Show a job
#[utoipa::path(
    get, path = "/api/v1/scheduler/jobs/{id}", tag = "Compatibility", operation_id = "compatJob",
    params(("id" = String, Path, description = "A schedule's key or id", example = "daily-sync")),
    responses(
        (status = 200, description = "The job", body = JobDetail),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<JobDetail>> {
    let mut db = state.database.session().await?;
    let found = schedule::find(&mut db, &id).await?;
    let found = found.ok_or_else(|| ApiError::unknown("job", &id))?;
    Ok(Json(view_one(&mut db, found).await?.into()))
}
