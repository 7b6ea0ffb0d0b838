//! The daily sync of everything, moved by hour and minute.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use syncline_shared::db::schedule;
use utoipa::ToSchema;

use crate::auth::Operator;
use crate::error::{ApiResult, FieldProblem, Problem};
use crate::extract::Params;
use crate::handlers::scheduler::Job;
use crate::handlers::schedules::{change, create_checked};
use crate::idempotency::conclude;
use crate::resources::schedule::merge_schedule;
use crate::state::AppState;

/// The schedule that is the daily sync.
const KEY: &str = "daily-sync";

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DailySchedule {
    /// In words.
    #[schema(example = "Daily sync is at 03:30, UTC")]
    pub message: String,
    /// The schedule.
    pub job: Job,
}

/// Set the time of the daily sync
///
/// Changes the schedule `daily-sync`; if there is none, it is made, for everything, in UTC.
#[utoipa::path(
    put, path = "/api/v1/scheduler/schedule/daily", tag = "Compatibility", operation_id = "compatSetDaily",
    params(
        ("hour" = u32, Query, minimum = 0, maximum = 23, description = "Hour of the schedule's zone"),
        ("minute" = Option<u32>, Query, minimum = 0, maximum = 59, description = "0, if it is left out"),
    ),
    responses(
        (status = 200, description = "It is set", body = DailySchedule),
        (status = 400, description = "A number is missing or out of range", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set(
    _: Operator,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<DailySchedule>> {
    let is_given = params.text("hour").is_some();
    let hour = params.integer("hour", 0, 23);
    let minute = params.integer("minute", 0, 59).unwrap_or(0);
    if !is_given {
        let detail = "hour is required, 0 to 23";
        params.refuse(FieldProblem::new("hour", "required", detail));
    }
    params.finish()?;
    let hour = hour.unwrap_or(0);
    let cron = json!({"cron": format!("{minute} {hour} * * *")});
    let mut db = state.database.begin().await?;
    let view = if schedule::lock(&mut db, KEY).await?.is_some() {
        db.rollback().await?;
        change(&state, KEY, |mut document| {
            merge_schedule(&mut document, &cron);
            document
        })
        .await?
    } else {
        let mut document = json!({"key": KEY, "name": "Daily sync", "target": "everything"});
        merge_schedule(&mut document, &cron);
        let done = create_checked(&state, &mut db, &document).await;
        let view = conclude(db, done).await?;
        state.schedules_changed.wake();
        view
    };
    Ok(Json(DailySchedule {
        message: format!("Daily sync is at {hour:02}:{minute:02}, {}", view.zone),
        job: Job::of(&view),
    }))
}
