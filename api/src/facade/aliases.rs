//! The same endpoints under the addresses that they had: `/api/scheduler`, `/scheduler` and `/sync`.

use axum::Router;
use axum::routing::{get, post, put};

use super::{business, control, daily, jobs, monitoring, sync_schedules, trigger};
use crate::handlers::scheduler;
use crate::state::AppState;

/// What is served there.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .nest("/api/scheduler", scheduler_group())
        .nest("/scheduler", scheduler_group())
        .nest("/sync", sync_group())
}

#[rustfmt::skip]
fn scheduler_group() -> Router<AppState> {
    Router::new()
        .route("/status", get(scheduler::status))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}", get(jobs::show))
        .route("/trigger-sync", post(trigger::trigger_sync))
        .route("/sync-now", post(trigger::sync_now))
        .route("/sync/manual", post(trigger::sync_manual))
        .route("/start", post(control::start))
        .route("/stop", post(control::stop))
        .route("/business/{id}/schedule", post(business::set).delete(business::remove))
        .route("/schedule/daily", put(daily::set))
}

#[rustfmt::skip]
fn sync_group() -> Router<AppState> {
    Router::new()
        .route("/schedules", get(sync_schedules::list).post(sync_schedules::create))
        .route("/schedules/{id}", put(sync_schedules::update))
        .route("/schedules/{id}/trigger", post(sync_schedules::trigger))
        .route("/jobs", get(monitoring::jobs))
        .route("/metrics", get(monitoring::metrics))
        .route("/system-status", get(monitoring::system_status))
}
