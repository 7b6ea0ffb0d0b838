//! Schedules: made, listed, shown, changed and removed. Who changes one locks its row first, and wakes the schedulers after the commit.

pub(crate) mod advice;
pub(crate) mod control;
pub(crate) mod inbound;
pub(crate) mod preview;
pub(crate) mod ticks;
pub(crate) mod view;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use syncline_shared::db::schedule::{self, Schedule, ScheduleFilter};
use syncline_shared::db::tick::{self, TickFilter};
use syncline_shared::db::{self, DbConnection, business};
use utoipa::ToSchema;

use self::view::{ScheduleDetail, ScheduleView, TickView, view_all, view_one};
use super::created;
use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, FieldProblem, Problem};
use crate::extract::{Body, Params};
use crate::idempotency::conclude;
use crate::page::{Page, PageRequest};
use crate::resources::lookup::{create_schedule, replace_schedule, resolve_schedule};
use crate::resources::schedule::{ScheduleInput, merge_schedule, stored_document};
use crate::resources::{Notes, accept};
use crate::state::AppState;

/// Ticks shown with a schedule.
const LATEST_TICKS: i64 = 10;
/// Schedules that one transaction deletes; each takes its ticks along.
const DELETE_CHUNK: i64 = 100;

/// List schedules
///
/// In the order of their keys.
#[utoipa::path(
    get, path = "/api/v1/schedules", tag = "Schedules", operation_id = "listSchedules",
    params(
        ("business" = Option<String>, Query, description = "Only those of this business or of a connection of it: id or key"),
        ("platform" = Option<String>, Query, description = "Only those of this platform or of a connection of it"),
        ("state" = Option<String>, Query, description = "Only these states, separated by commas: running, paused, error, active", example = "paused,error"),
        ("text" = Option<String>, Query, description = "Only those with this text in their key or name"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of schedules", body = Page<ScheduleView>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such business", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Page<ScheduleView>>> {
    let business = params.text("business");
    let mut filter = ScheduleFilter {
        platform: params.text("platform"),
        states: params.words("state"),
        text: params.text("text"),
        ..ScheduleFilter::default()
    };
    let page = PageRequest::read(&mut params);
    params.finish()?;
    filter.after_key.clone_from(&page.after);
    let mut db = state.database.session().await?;
    if let Some(name) = business {
        let found = business::find(&mut db, &name).await?;
        filter.business = Some(
            found
                .ok_or_else(|| ApiError::unknown("business", &name))?
                .id,
        );
    }
    let found = schedule::list(&mut db, &filter, page.fetch()).await?;
    let page = page.page(found, |schedule| schedule.key.clone(), |schedule| schedule);
    Ok(Json(Page {
        data: view_all(&mut db, page.data).await?,
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    }))
}

/// Show a schedule
///
/// With its latest ten ticks and what became of each.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}", tag = "Schedules", operation_id = "getSchedule",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    responses(
        (status = 200, description = "The schedule", body = ScheduleDetail),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<ScheduleDetail>> {
    let mut db = state.database.session().await?;
    let found = find(&mut db, &id).await?;
    let ticks = tick::list(&mut db, found.id, &TickFilter::default(), LATEST_TICKS).await?;
    Ok(Json(ScheduleDetail {
        schedule: view_one(&mut db, found).await?,
        ticks: ticks.into_iter().map(TickView::from).collect(),
    }))
}

/// Create a schedule
///
/// Its first tick is the first moment after now, by the database's clock.
#[utoipa::path(
    post, path = "/api/v1/schedules", tag = "Schedules", operation_id = "createSchedule",
    request_body = ScheduleInput,
    responses(
        (status = 201, description = "Created", body = ScheduleView, headers(("Location" = String))),
        (status = 409, description = "The key is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    _: Operator,
    State(state): State<AppState>,
    Body(body): Body,
) -> ApiResult<Response> {
    let mut db = state.database.begin().await?;
    let done = create_checked(&state, &mut db, &body).await;
    let view = conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(created(format!("/api/v1/schedules/{}", view.id), view))
}

/// Saves a schedule that is written like this, in the caller's transaction.
pub(crate) async fn create_checked(
    state: &AppState,
    db: &mut DbConnection,
    body: &Value,
) -> ApiResult<ScheduleView> {
    let mut notes = Notes::default();
    let input = ScheduleInput::read(body, "", &mut notes);
    let now = db::now(db).await?;
    let mut resolved = None;
    if let Some(input) = &input {
        refuse_past(input, None, now, &mut notes);
        resolved = resolve_schedule(db, input, None, &state.catalog, "", &mut notes).await?;
    }
    accept(notes)?;
    let (Some(input), Some(resolved)) = (input, resolved) else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    let id = create_schedule(db, &input, &resolved, now).await?;
    let made = find(db, &id.to_string()).await?;
    Ok(view_one(db, made).await?)
}

/// Replace a schedule
///
/// Its whole configuration: what is left out is as it is by default. What it has done stays, as do its pause and the address of its
/// inbound trigger. An interval goes on counting from where it did.
#[utoipa::path(
    put, path = "/api/v1/schedules/{id}", tag = "Schedules", operation_id = "replaceSchedule",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    request_body = ScheduleInput,
    responses(
        (status = 200, description = "The schedule as it is now", body = ScheduleView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn replace(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    Body(body): Body,
) -> ApiResult<Json<ScheduleView>> {
    params.finish()?;
    change(&state, &id, |_| body).await.map(Json)
}

/// Change a schedule
///
/// A merge patch (RFC 7396): what is left out stays, null sets the default. Another trigger takes the place of the one before.
#[utoipa::path(
    patch, path = "/api/v1/schedules/{id}", tag = "Schedules", operation_id = "changeSchedule",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    request_body(content = Object, description = "Any fields of a schedule", example = json!({"every_seconds": 900, "overlap": "queue_one"})),
    responses(
        (status = 200, description = "The schedule as it is now", body = ScheduleView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn patch(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    Body(body): Body,
) -> ApiResult<Json<ScheduleView>> {
    params.finish()?;
    if !body.is_object() {
        return Err(ApiError::Invalid(vec![FieldProblem::new(
            "",
            "type",
            "a change is an object with the fields to be changed",
        )]));
    }
    change(&state, &id, |mut document| {
        merge_schedule(&mut document, &body);
        document
    })
    .await
    .map(Json)
}

/// Saves a schedule as `wanted` makes its document, and wakes the schedulers.
pub(crate) async fn change(
    state: &AppState,
    id: &str,
    wanted: impl FnOnce(Value) -> Value,
) -> ApiResult<ScheduleView> {
    let mut db = state.database.begin().await?;
    let done = change_locked(state, &mut db, id, wanted).await;
    let view = conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(view)
}

async fn change_locked(
    state: &AppState,
    db: &mut DbConnection,
    id: &str,
    wanted: impl FnOnce(Value) -> Value,
) -> ApiResult<ScheduleView> {
    let stored = lock(db, id).await?;
    let mut wanted = wanted(stored_document(&stored));
    if let Value::Object(members) = &mut wanted {
        members
            .entry("key")
            .or_insert_with(|| stored.key.clone().into());
    }
    let mut notes = Notes::default();
    let input = ScheduleInput::read(&wanted, "", &mut notes);
    let now = db::now(db).await?;
    let mut resolved = None;
    if let Some(input) = &input {
        if input.key != stored.key && !input.key.is_empty() {
            let detail = format!(
                "the key of a schedule stays what it is, {:?}; leave it out",
                stored.key
            );
            notes.refuse("/key", "key", detail);
        }
        refuse_past(input, Some(&stored), now, &mut notes);
        resolved =
            resolve_schedule(db, input, Some(&stored), &state.catalog, "", &mut notes).await?;
    }
    accept(notes)?;
    let (Some(input), Some(resolved)) = (input, resolved) else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    replace_schedule(db, &stored, &input, &resolved, now).await?;
    let found = find(db, &stored.key).await?;
    Ok(view_one(db, found).await?)
}

/// Notes a one-time schedule whose moment is over, unless it was so before.
fn refuse_past(
    input: &ScheduleInput,
    stored: Option<&Schedule>,
    now: chrono::DateTime<chrono::Utc>,
    notes: &mut Notes,
) {
    let before = stored.and_then(|stored| stored.run_at);
    if let Some(at) = input.when.run_at.filter(|at| *at <= now)
        && before != Some(at)
    {
        let detail = format!(
            "{at} is over, so it would never run; name a later instant, or trigger it by hand"
        );
        notes.refuse("/run_at", "past", detail);
    }
}

/// Delete a schedule
///
/// With its ticks. Its runs and batches stay, and those that are unfinished go on.
#[utoipa::path(
    delete, path = "/api/v1/schedules/{id}", tag = "Schedules", operation_id = "deleteSchedule",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Other schedules follow it; they are named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<StatusCode> {
    params.finish()?;
    let mut db = state.database.begin().await?;
    let done = delete_locked(&mut db, &id).await;
    conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a schedule that no other follows, in the caller's transaction.
pub(crate) async fn delete_locked(db: &mut DbConnection, id: &str) -> ApiResult<()> {
    // As whoever lets a schedule follow another does: nobody begins to follow this one meanwhile.
    schedule::lock_following(db).await?;
    let found = lock(db, id).await?;
    let followers = schedule::list_after(db, found.id).await?;
    if !followers.is_empty() {
        let keys: Vec<&str> = followers
            .iter()
            .map(|follower| follower.key.as_str())
            .collect();
        return Err(ApiError::state(
            "followed",
            format!(
                "other schedules follow {:?}: {}; give them another trigger, or delete them first",
                found.key,
                keys.join(", ")
            ),
        ));
    }
    schedule::delete(db, found.id).await?;
    Ok(())
}

/// What came of a request to delete all schedules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedSchedules {
    /// How many were deleted.
    pub deleted: u64,
}

/// Delete all schedules
///
/// Every one, with its ticks. Runs and batches stay, and those that are unfinished go on. `all=true` says that it is meant.
#[utoipa::path(
    delete, path = "/api/v1/schedules", tag = "Schedules", operation_id = "deleteAllSchedules",
    params(("all" = bool, Query, description = "`true`")),
    responses(
        (status = 200, description = "They are deleted", body = DeletedSchedules),
        (status = 400, description = "`all=true` is missing", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_all(
    Operator(caller): Operator,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<DeletedSchedules>> {
    if params.text("all").as_deref() != Some("true") {
        let detail = "this deletes every schedule; say all=true if that is meant";
        params.refuse(FieldProblem::new("all", "required", detail));
    }
    params.finish()?;
    let mut deleted = 0;
    loop {
        let mut db = state.database.begin().await?;
        // Those that follow come before those that they follow.
        let chunk = schedule::delete_unfollowed(&mut db, DELETE_CHUNK).await?;
        db.commit().await?;
        deleted += chunk;
        if chunk == 0 {
            break;
        }
    }
    state.schedules_changed.wake();
    tracing::warn!(
        deleted,
        "all {deleted} schedules were deleted by {}",
        caller.name
    );
    Ok(Json(DeletedSchedules { deleted }))
}

/// The schedule with this id or key; 404 if there is none.
pub(crate) async fn find(db: &mut DbConnection, id: &str) -> ApiResult<Schedule> {
    let found = schedule::find(db, id).await?;
    found.ok_or_else(|| ApiError::unknown("schedule", id))
}

/// The same, locked until the transaction ends.
pub(crate) async fn lock(db: &mut DbConnection, id: &str) -> ApiResult<Schedule> {
    let found = schedule::lock(db, id).await?;
    found.ok_or_else(|| ApiError::unknown("schedule", id))
}
