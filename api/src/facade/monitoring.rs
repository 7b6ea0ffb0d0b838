//! History, metrics and health, as the dashboards of earlier systems ask for them.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::batch::{self, BatchFilter, BatchView};
use syncline_shared::db::overview::list_connection_states;
use syncline_shared::db::pause::{PauseScope, list_pauses};
use syncline_shared::db::status::{PlatformHealth, list_platform_health};
use syncline_shared::db::{business, connection};
use syncline_shared::ids::ConnectionId;
use syncline_shared::run::{Outcome, RunStatus};
use utoipa::ToSchema;

use super::answer::status_word;
use crate::auth::Viewer;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Params;
use crate::handlers::scheduler::{PERIOD_DAYS, percent};
use crate::state::AppState;

const MAX_JOBS: usize = 200;
const USUAL_JOBS: usize = 50;
/// Connections shown at most.
const MAX_CONNECTIONS: i64 = 200;

/// A sync that was made: a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncJob {
    /// The batch's id.
    pub id: uuid::Uuid,
    /// The schedule's key, if it was one's.
    pub schedule_id: Option<String>,
    /// `running`, `completed`, `partial`, `failed` or `cancelled`.
    #[schema(example = "completed")]
    pub status: &'static str,
    /// When it was enqueued.
    pub started_at: DateTime<Utc>,
    /// When all of its runs had ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// From the one to the other.
    pub duration_seconds: Option<f64>,
    /// Records that were read.
    pub items_processed: u64,
    /// Records that could not be written.
    pub items_failed: u64,
    /// What became of it, in one line.
    pub message: Option<String>,
}

impl From<BatchView> for SyncJob {
    fn from(found: BatchView) -> Self {
        let records = found.records.as_deref().copied().unwrap_or_default();
        Self {
            status: match found.outcome {
                None => "running",
                Some(Outcome::Succeeded) => "completed",
                Some(other) => other.as_str(),
            },
            message: found.summary(),
            id: found.id.0,
            schedule_id: found.schedule_key,
            started_at: found.created_at,
            completed_at: found.ended_at,
            duration_seconds: found
                .ended_at
                .map(|ended| (ended - found.created_at).as_seconds_f64()),
            items_processed: records.read,
            items_failed: records.failed,
        }
    }
}

/// List syncs
///
/// The newest first. The same as `GET /api/v1/batches`.
#[utoipa::path(
    get, path = "/api/v1/sync/jobs", tag = "Compatibility", operation_id = "compatSyncJobs",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "How many; 50")),
    responses(
        (status = 200, description = "The syncs", body = [SyncJob]),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn jobs(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Vec<SyncJob>>> {
    let limit = params.integer("limit", 1, MAX_JOBS).unwrap_or(USUAL_JOBS);
    params.finish()?;
    let mut db = state.database.session().await?;
    let limit = i64::try_from(limit).unwrap_or(1);
    let found = batch::list(&mut db, &BatchFilter::default(), limit).await?;
    Ok(Json(found.into_iter().map(SyncJob::from).collect()))
}

/// How the syncs of the last days went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncMetrics {
    /// The days that are counted, today included.
    pub period_days: i32,
    /// Batches that ended, those left out that were cancelled.
    pub total_syncs: i64,
    /// Those that succeeded.
    pub successful_syncs: i64,
    /// Those that succeeded in part.
    pub partial_syncs: i64,
    /// Those that failed.
    pub failed_syncs: i64,
    /// The part that succeeded; null: none has ended.
    #[schema(example = "95.2%")]
    pub success_rate: Option<String>,
    /// From enqueue to end, on average; null: none has ended.
    pub average_duration_seconds: Option<f64>,
    /// Records that were read.
    pub data_points_processed: i64,
    /// When the last one ended.
    pub last_sync_time: Option<DateTime<Utc>>,
    /// How it ended: `success`, `partial`, `failed` or `cancelled`.
    pub last_sync_status: Option<&'static str>,
}

/// Show how the syncs went
///
/// Of the last 30 days.
#[utoipa::path(
    get, path = "/api/v1/sync/metrics", tag = "Compatibility", operation_id = "compatSyncMetrics",
    responses(
        (status = 200, description = "The numbers", body = SyncMetrics),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn metrics(
    _: Viewer,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<SyncMetrics>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let counts = batch::sum_counts(&mut db, PERIOD_DAYS).await?;
    let total = counts.total();
    #[expect(clippy::cast_precision_loss, reason = "shown to people")]
    let average = (total > 0).then(|| counts.duration_ms as f64 / 1000.0 / total as f64);
    Ok(Json(SyncMetrics {
        period_days: PERIOD_DAYS,
        total_syncs: total,
        successful_syncs: counts.succeeded,
        partial_syncs: counts.partial,
        failed_syncs: counts.failed,
        success_rate: percent(counts.succeeded, total),
        average_duration_seconds: average,
        data_points_processed: counts.records,
        last_sync_time: counts.last_ended_at,
        last_sync_status: counts.last_outcome.map(status_word),
    }))
}

/// How a platform is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SystemStatus {
    /// The platform.
    #[schema(example = "g2a")]
    pub name: String,
    /// `healthy`: its last run succeeded; `degraded`: in part; `down`: it failed; `paused`; `unknown`: there was none.
    #[schema(example = "healthy")]
    pub status: &'static str,
    /// When its last run ended.
    pub last_sync: Option<DateTime<Utc>>,
    /// When the last run that succeeded ended.
    pub last_success: Option<DateTime<Utc>>,
    /// Runs that did not wholly succeed within 24 hours; 1,000 stands for that many or more.
    pub error_count_24h: i64,
    /// Runs being executed.
    pub active_jobs: i64,
    /// Unfinished runs that are not; 1,000 stands for that many or more.
    pub queued_jobs: i64,
    /// The error of its last run.
    pub message: Option<String>,
}

impl SystemStatus {
    fn of(found: PlatformHealth, is_paused: bool) -> Self {
        Self {
            status: match found.last_outcome {
                _ if is_paused => "paused",
                None => "unknown",
                Some(Outcome::Succeeded | Outcome::Cancelled) => "healthy",
                Some(Outcome::Partial) => "degraded",
                Some(Outcome::Failed) => "down",
            },
            name: found.platform,
            last_sync: found.last_at,
            last_success: found.last_success_at,
            error_count_24h: found.errors_24h,
            active_jobs: found.running,
            queued_jobs: found.waiting,
            message: found.last_error,
        }
    }
}

/// Show how the platforms are doing
#[utoipa::path(
    get, path = "/api/v1/sync/system-status", tag = "Compatibility", operation_id = "compatSystemStatus",
    responses(
        (status = 200, description = "The platforms", body = [SystemStatus]),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn system_status(
    _: Viewer,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<Vec<SystemStatus>>> {
    params.finish()?;
    let platforms: Vec<String> = state
        .catalog
        .all()
        .map(|connector| connector.platform().to_owned())
        .collect();
    let mut db = state.database.session().await?;
    let resting = list_pauses(&mut db).await?;
    let is_paused = |name: &str| {
        resting.iter().any(|pause| match pause.scope {
            PauseScope::Everything => true,
            PauseScope::Platform => pause.target == name,
            PauseScope::Business | PauseScope::Connection => false,
        })
    };
    let found = list_platform_health(&mut db, &platforms).await?;
    Ok(Json(
        found
            .into_iter()
            .map(|health| {
                let paused = is_paused(&health.platform);
                SystemStatus::of(health, paused)
            })
            .collect(),
    ))
}

/// How a connection did last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnalyticsState {
    /// The connection's key.
    pub connection: String,
    /// The platform.
    pub platform: String,
    /// How its last run ended; null: there was none.
    pub status: Option<&'static str>,
    /// When that was.
    pub last_run: Option<DateTime<Utc>>,
    /// The data of the platform as of this instant is here.
    pub fresh_as_of: Option<DateTime<Utc>>,
    /// The error of its last run.
    pub error: Option<String>,
}

/// Show how the connections of a business did last
///
/// With the error of each, if it had one. It changes nothing; POST refreshes.
#[utoipa::path(
    get, path = "/api/v1/analytics/refresh", tag = "Compatibility", operation_id = "compatAnalyticsState",
    params(("business_id" = Option<String>, Query, description = "Only this business: id or key")),
    responses(
        (status = 200, description = "The connections, at most 200", body = [AnalyticsState]),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such business", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn analytics(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Vec<AnalyticsState>>> {
    let name = params.text("business_id");
    params.finish()?;
    let mut db = state.database.session().await?;
    let business = match &name {
        None => None,
        Some(name) => {
            let found = business::find(&mut db, name).await?;
            Some(found.ok_or_else(|| ApiError::unknown("business", name))?.id)
        }
    };
    let found = connection::list(&mut db, business, None, None, MAX_CONNECTIONS).await?;
    let ids: Vec<ConnectionId> = found.iter().map(|connection| connection.id).collect();
    let states = list_connection_states(&mut db, &ids).await?;
    let shown = found.into_iter().map(|connection| {
        let own = states
            .iter()
            .find(|state| state.connection_id == connection.id);
        AnalyticsState {
            connection: connection.key,
            platform: connection.platform,
            status: own.and_then(|own| own.last).map(RunStatus::as_str),
            last_run: own.and_then(|own| own.last_at),
            fresh_as_of: own.and_then(|own| own.fresh_at),
            error: own.and_then(|own| own.last_error.clone()),
        }
    });
    Ok(Json(shown.collect()))
}
