//! The state of the schedulers and workers, and what is due next.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::process::{self, Process, ProcessRole};
use syncline_shared::db::schedule::{self, Schedule};
use syncline_shared::db::status::{self, QueueCounts};
use utoipa::ToSchema;

use crate::auth::Viewer;
use crate::error::ApiResult;
use crate::extract::Params;
use crate::state::AppState;

/// Jobs shown at most.
const MAX_JOBS: i64 = 200;

/// What keeps the syncs going.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SchedulerStatus {
    /// True if some scheduler was heard of within a lease.
    pub running: bool,
    /// Schedulers that are up.
    pub schedulers: Vec<ProcessView>,
    /// Workers that are up.
    pub workers: Vec<ProcessView>,
    /// Schedules with a next tick, soonest first, at most 200.
    pub jobs: Vec<Job>,
    /// Unfinished runs by state, and paused budgets.
    pub counts: Counts,
}

/// A process that takes part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProcessView {
    /// Host and process id.
    #[schema(example = "worker-1:42")]
    pub name: String,
    /// Its release.
    pub version: String,
    /// How many runs it executes at once; null unless it is a worker.
    pub slots: Option<i32>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Its last heartbeat.
    pub seen_at: DateTime<Utc>,
}

/// A schedule, as a job with a next run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    /// The schedule's key.
    #[schema(example = "acme-g2a-daily")]
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// When it is due next.
    pub next_run: Option<DateTime<Utc>>,
    /// The same.
    pub next_run_time: Option<DateTime<Utc>>,
    /// What makes it due.
    #[schema(example = "cron 0 2 * * * (Europe/Berlin)")]
    pub trigger: String,
}

/// Unfinished runs by state, and paused budgets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// Runs that can be claimed now.
    pub queued: i64,
    /// Runs being executed.
    pub running: i64,
    /// Runs with a due time in the future.
    pub waiting: i64,
    /// Runs behind another run of their connection.
    pub blocked: i64,
    /// Budgets that a platform has paused.
    pub budgets_paused: i64,
}

impl From<Process> for ProcessView {
    fn from(found: Process) -> Self {
        let Process {
            name,
            version,
            slots,
            started_at,
            seen_at,
            ..
        } = found;
        Self {
            name,
            version,
            slots,
            started_at,
            seen_at,
        }
    }
}

impl From<QueueCounts> for Counts {
    fn from(found: QueueCounts) -> Self {
        let QueueCounts {
            queued,
            running,
            waiting,
            blocked,
            budgets_paused,
        } = found;
        Self {
            queued,
            running,
            waiting,
            blocked,
            budgets_paused,
        }
    }
}

impl From<Schedule> for Job {
    fn from(found: Schedule) -> Self {
        let trigger = match (&found.cron, found.every_seconds) {
            (Some(cron), _) => format!("cron {cron} ({})", found.zone),
            (None, every) => format!("every {} s", every.unwrap_or_default()),
        };
        Self {
            id: found.key,
            name: found.name,
            next_run: found.next_at,
            next_run_time: found.next_at,
            trigger,
        }
    }
}

/// Show what keeps the syncs going
#[utoipa::path(
    get, path = "/api/v1/scheduler/status", tag = "Scheduler", operation_id = "schedulerStatus",
    responses((status = 200, description = "Schedulers, workers, jobs with next runs, counts", body = SchedulerStatus))
)]
pub(crate) async fn status(
    _: Viewer,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<SchedulerStatus>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let mut schedulers = Vec::new();
    let mut workers = Vec::new();
    for process in process::list_up(&mut db, state.lease).await? {
        match process.role {
            ProcessRole::Scheduler => schedulers.push(ProcessView::from(process)),
            ProcessRole::Worker => workers.push(ProcessView::from(process)),
            ProcessRole::Api => {}
        }
    }
    let jobs = schedule::list_upcoming(&mut db, MAX_JOBS).await?;
    let counts = status::count_queue(&mut db).await?.into();
    Ok(Json(SchedulerStatus {
        running: !schedulers.is_empty(),
        schedulers,
        workers,
        jobs: jobs.into_iter().map(Job::from).collect(),
        counts,
    }))
}
