//! A schedule of its own for a business, made and removed by the business' id alone.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::json;
use syncline_shared::db::business::{self, Business};
use syncline_shared::db::{DbConnection, schedule};
use utoipa::ToSchema;

use crate::auth::Operator;
use crate::error::{ApiError, ApiResult, FieldProblem, Problem};
use crate::extract::Params;
use crate::handlers::scheduler::Job;
use crate::handlers::schedules::{change, create_checked, delete_locked};
use crate::idempotency::conclude;
use crate::resources::schedule::merge_schedule;
use crate::state::AppState;

/// Longest key of a schedule.
const MAX_KEY: usize = 63;
/// 366 days.
const MAX_HOURS: usize = 366 * 24;

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BusinessSchedule {
    /// In words.
    #[schema(example = "Business acme is synced every 24 hours")]
    pub message: String,
    /// The schedule; null: it has none.
    pub job: Option<Job>,
}

/// The key of the schedule that belongs to a business.
fn key_of(business: &Business) -> String {
    let key = format!("business-{}", business.key);
    if key.len() <= MAX_KEY {
        key
    } else {
        format!("business-{}", business.id)
    }
}

async fn find(db: &mut DbConnection, id: &str) -> ApiResult<Business> {
    let found = business::find(db, id).await?;
    found.ok_or_else(|| ApiError::unknown("business", id))
}

/// Sync a business at an interval
///
/// Makes the schedule `business-<key>`, or changes its interval.
#[utoipa::path(
    post, path = "/api/v1/scheduler/business/{id}/schedule", tag = "Compatibility", operation_id = "compatSetBusinessSchedule",
    params(
        ("id" = String, Path, description = "The business: id or key", example = "acme"),
        ("interval_hours" = u32, Query, minimum = 1, maximum = 8784, description = "Hours between syncs"),
    ),
    responses(
        (status = 200, description = "It is scheduled", body = BusinessSchedule),
        (status = 400, description = "interval_hours is missing or out of range", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such business", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    mut params: Params,
) -> ApiResult<Json<BusinessSchedule>> {
    let is_given = params.text("interval_hours").is_some();
    let hours = params.integer("interval_hours", 1, MAX_HOURS);
    if !is_given {
        let detail = "interval_hours is required: the hours between syncs";
        params.refuse(FieldProblem::new("interval_hours", "required", detail));
    }
    params.finish()?;
    let hours = hours.unwrap_or(1);
    let mut db = state.database.begin().await?;
    let found = find(&mut db, &id).await?;
    let key = key_of(&found);
    let wanted = json!({
        "name": format!("Sync of {}", found.name), "every_seconds": hours * 3600, "target": {"business": found.key},
        "enabled": true,
    });
    let is_there = schedule::lock(&mut db, &key).await?.is_some();
    let view = if is_there {
        db.rollback().await?;
        change(&state, &key, |mut document| {
            merge_schedule(&mut document, &wanted);
            document
        })
        .await?
    } else {
        let mut document = wanted;
        document["key"] = key.into();
        let done = create_checked(&state, &mut db, &document).await;
        let view = conclude(db, done).await?;
        state.schedules_changed.wake();
        view
    };
    let noun = if hours == 1 { "hour" } else { "hours" };
    Ok(Json(BusinessSchedule {
        message: format!("Business {} is synced every {hours} {noun}", found.key),
        job: Some(Job::of(&view)),
    }))
}

/// Remove the schedule of a business
///
/// Deletes the schedule `business-<key>`. Other schedules stay.
#[utoipa::path(
    delete, path = "/api/v1/scheduler/business/{id}/schedule", tag = "Compatibility", operation_id = "compatRemoveBusinessSchedule",
    params(("id" = String, Path, description = "The business: id or key", example = "acme")),
    responses(
        (status = 200, description = "It is removed", body = BusinessSchedule),
        (status = 404, description = "There is no such business, or no such schedule", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Other schedules follow it; they are named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<Json<BusinessSchedule>> {
    params.finish()?;
    let mut db = state.database.begin().await?;
    let done = async {
        let found = find(&mut db, &id).await?;
        delete_locked(&mut db, &key_of(&found)).await?;
        Ok(found)
    }
    .await;
    let found = conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(Json(BusinessSchedule {
        message: format!("The schedule of business {} is removed", found.key),
        job: None,
    }))
}
