//! The state of the schedulers and workers, and what is due next.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::pause::{PauseScope, list_pauses};
use syncline_shared::db::process::{self, Process, ProcessRole};
use syncline_shared::db::schedule::{self, Schedule};
use syncline_shared::db::status::{self, QueueCounts};
use syncline_shared::db::{self, batch};
use syncline_shared::run::Outcome;
use utoipa::ToSchema;

use super::schedules::view::{ScheduleView, words_of};
use crate::auth::Viewer;
use crate::error::ApiResult;
use crate::extract::Params;
use crate::state::AppState;

/// Jobs shown at most.
const MAX_JOBS: i64 = 200;

/// The days whose batches are counted, today included.
pub(crate) const PERIOD_DAYS: i32 = 30;

/// What keeps the syncs going.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SchedulerStatus {
    /// True if some scheduler was heard of within a lease, and not everything is paused.
    pub running: bool,
    /// The same.
    pub is_running: bool,
    /// True if everything is paused.
    pub paused: bool,
    /// Seconds between the next two moments of the schedule that is due next; null: there is none.
    #[schema(example = 300)]
    pub interval_seconds: Option<i64>,
    /// When the last batch ended; null: none has within 30 days.
    pub last_sync_time: Option<DateTime<Utc>>,
    /// How it ended: `success`, `partial`, `failed` or `cancelled`.
    #[schema(example = "success")]
    pub last_sync_status: Option<&'static str>,
    /// Batches that ended within the last 30 days, those left out that were cancelled.
    #[schema(example = 42)]
    pub total_syncs: i64,
    /// Those of them that failed.
    #[schema(example = 2)]
    pub failed_syncs: i64,
    /// Those of them that succeeded only in part.
    pub partial_syncs: i64,
    /// The part of them that succeeded; null: there are none.
    #[schema(example = "95.2%")]
    pub success_rate: Option<String>,
    /// By how many seconds the schedule is late that has been due for longest and is not decided; 0: none is due.
    pub late_seconds: f64,
    /// `running` and `jobs` once more, for programs that look for them here.
    pub status: NestedStatus,
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

/// What some programs look for one level deeper.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NestedStatus {
    /// As above.
    pub running: bool,
    /// As above.
    pub jobs: Vec<Job>,
}

/// A schedule, as a job with a next run.
#[derive(Debug, Clone, Serialize, ToSchema)]
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

impl Job {
    /// A schedule as a job.
    pub(crate) fn of(view: &ScheduleView) -> Self {
        Self {
            id: view.key.clone(),
            name: view.name.clone(),
            next_run: view.next_at,
            next_run_time: view.next_at,
            trigger: match &view.cron {
                Some(cron) => format!("cron {cron} ({})", view.zone),
                None => view.words.clone(),
            },
        }
    }
}

impl From<&Schedule> for Job {
    fn from(found: &Schedule) -> Self {
        Self {
            id: found.key.clone(),
            name: found.name.clone(),
            next_run: found.next_at,
            next_run_time: found.next_at,
            trigger: match &found.cron {
                Some(cron) => format!("cron {cron} ({})", found.zone),
                None => words_of(found),
            },
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
    look(&state).await.map(Json)
}

/// The status as it is now.
pub(crate) async fn look(state: &AppState) -> ApiResult<SchedulerStatus> {
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let mut schedulers = Vec::new();
    let mut workers = Vec::new();
    for process in process::list_up(&mut db, state.lease).await? {
        match process.role {
            ProcessRole::Scheduler => schedulers.push(ProcessView::from(process)),
            ProcessRole::Worker => workers.push(ProcessView::from(process)),
            ProcessRole::Api => {}
        }
    }
    let upcoming = schedule::list_upcoming(&mut db, MAX_JOBS).await?;
    let jobs: Vec<Job> = upcoming.iter().map(Job::from).collect();
    let counts = status::count_queue(&mut db).await?.into();
    let syncs = batch::sum_counts(&mut db, PERIOD_DAYS).await?;
    let resting = list_pauses(&mut db).await?;
    let paused = resting
        .iter()
        .any(|pause| pause.scope == PauseScope::Everything);
    let running = !schedulers.is_empty() && !paused;
    let late = upcoming
        .first()
        .and_then(|first| first.due_at)
        .map_or(0.0, |due| (now - due).as_seconds_f64().max(0.0));
    Ok(SchedulerStatus {
        running,
        is_running: running,
        paused,
        interval_seconds: upcoming.iter().find_map(seconds_between),
        last_sync_time: syncs.last_ended_at,
        last_sync_status: syncs.last_outcome.map(|outcome| match outcome {
            Outcome::Succeeded => "success",
            other => other.as_str(),
        }),
        total_syncs: syncs.total(),
        failed_syncs: syncs.failed,
        partial_syncs: syncs.partial,
        success_rate: percent(syncs.succeeded, syncs.total()),
        late_seconds: late,
        status: NestedStatus {
            running,
            jobs: jobs.clone(),
        },
        schedulers,
        workers,
        jobs,
        counts,
    })
}

/// Seconds between a schedule's next moment and the one after.
fn seconds_between(schedule: &Schedule) -> Option<i64> {
    if let Some(seconds) = schedule.every_seconds {
        return Some(seconds);
    }
    let next = schedule.next_at?;
    let following = schedule.trigger().ok()?.next_after(next)?;
    Some((following - next).num_seconds())
}

/// A part in percent; none of none.
pub(crate) fn percent(part: i64, whole: i64) -> Option<String> {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let percent = (whole > 0).then(|| 100.0 * part as f64 / whole as f64);
    percent.map(|percent| format!("{percent:.1}%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_one_decimal_and_need_something_to_be_of() {
        assert_eq!(percent(40, 42).as_deref(), Some("95.2%"));
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(3, 3).as_deref(), Some("100.0%"));
    }
}
