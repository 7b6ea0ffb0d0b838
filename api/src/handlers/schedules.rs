//! Schedules, their latest ticks, and what a trigger would do.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use syncline_shared::db;
use syncline_shared::db::schedule::{self, Schedule, ScheduleFilter};
use syncline_shared::db::tick::{self, TickFilter};
use syncline_shared::schedule::TargetKind;
use utoipa::ToSchema;

use super::created;
use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::page::{Page, PageRequest};
use crate::resources::lookup::{create_schedule, resolve_target};
use crate::resources::schedule::{ScheduleInput, WhenInput};
use crate::resources::{Fields, Notes, accept};
use crate::state::AppState;

/// Ticks shown with a schedule.
const LATEST_TICKS: i64 = 10;
/// Ticks of a preview at most, and if no number is given.
const MAX_PREVIEW: i64 = 100;
const DEFAULT_PREVIEW: i64 = 5;

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub(crate) struct ScheduleView {
    /// Identity.
    pub id: uuid::Uuid,
    /// The user's own name for it, accepted wherever an id is.
    #[schema(example = "acme-g2a-daily")]
    pub key: String,
    /// Shown to people.
    pub name: String,
    /// Cron fields, if it is a cron schedule.
    #[schema(example = "0 2 * * *")]
    pub cron: Option<String>,
    /// IANA time zone of the cron fields.
    #[schema(example = "Europe/Berlin")]
    pub zone: String,
    /// Seconds between moments, if it is an interval.
    pub every_seconds: Option<i64>,
    /// The moment the interval is counted from.
    pub anchor: Option<DateTime<Utc>>,
    /// What it syncs.
    #[schema(schema_with = crate::docs::target_schema)]
    pub target: Value,
    /// Only these streams; null: those that the connection has chosen.
    pub streams: Option<Vec<String>>,
    /// `incremental` or `full`.
    #[schema(example = "incremental")]
    pub kind: &'static str,
    /// Priority of its runs; the smaller, the sooner.
    pub priority: i16,
    /// False: it is never due.
    pub enabled: bool,
    /// Its next tick; null: never.
    pub next_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A schedule with its latest ticks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleDetail {
    /// The schedule.
    #[serde(flatten)]
    pub schedule: ScheduleView,
    /// Its latest ticks, newest first.
    pub ticks: Vec<TickView>,
}

/// A due moment of a schedule, or a gap of them, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tick)]
pub(crate) struct TickView {
    /// The due moment; of a gap, the first.
    pub nominal_at: DateTime<Utc>,
    /// Of a gap, its last due moment; else the same.
    pub last_nominal_at: DateTime<Utc>,
    /// How many due moments it stands for.
    pub moments: i64,
    /// `fired`, `late`, `coalesced`, `skipped` or `missed`.
    #[schema(example = "fired")]
    pub outcome: &'static str,
    /// Why it did not fire.
    pub reason: Option<String>,
    /// The batch of runs it made.
    pub batch_id: Option<uuid::Uuid>,
    /// When that was decided.
    pub decided_at: DateTime<Utc>,
}

/// What a trigger would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// The next ticks.
    pub ticks: Vec<PreviewTick>,
}

/// A tick to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewTick {
    /// In UTC.
    pub at: DateTime<Utc>,
    /// The same moment in the schedule's zone.
    #[schema(example = "2026-08-01T02:00:00+02:00")]
    pub local: String,
}

/// A trigger to be previewed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewInput {
    /// When it is due.
    #[serde(flatten)]
    pub when: WhenInput,
    /// How many ticks: 1 to 100, 5 if it is left out.
    #[schema(required = false, minimum = 1, maximum = 100, default = 5)]
    pub count: i64,
}

impl From<Schedule> for ScheduleView {
    fn from(found: Schedule) -> Self {
        let target = match found.target {
            TargetKind::Connection => json!({"connection": found.target_key}),
            TargetKind::Business => json!({"business": found.target_key}),
            TargetKind::Platform => json!({"platform": found.platform}),
            TargetKind::Everything => json!("everything"),
        };
        Self {
            id: found.id.0,
            key: found.key,
            name: found.name,
            cron: found.cron,
            zone: found.zone,
            every_seconds: found.every_seconds,
            anchor: found.anchor,
            target,
            streams: found.streams,
            kind: found.kind.as_str(),
            priority: found.priority,
            enabled: found.enabled,
            next_at: found.next_at,
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}

impl From<tick::Tick> for TickView {
    fn from(found: tick::Tick) -> Self {
        Self {
            nominal_at: found.nominal_at,
            last_nominal_at: found.last_nominal_at,
            moments: found.moments,
            outcome: found.outcome.as_str(),
            reason: found.reason,
            batch_id: found.batch_id.map(|id| id.0),
            decided_at: found.decided_at,
        }
    }
}

/// List schedules
///
/// In the order of their keys.
#[utoipa::path(
    get, path = "/api/v1/schedules", tag = "Schedules", operation_id = "listSchedules",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of schedules", body = Page<ScheduleView>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Page<ScheduleView>>> {
    let page = PageRequest::read(&mut params);
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = schedule::list(
        &mut db,
        &ScheduleFilter {
            after_key: page.after.clone(),
            ..ScheduleFilter::default()
        },
        page.fetch(),
    )
    .await?;
    Ok(Json(page.page(
        found,
        |schedule| schedule.key.clone(),
        ScheduleView::from,
    )))
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
    let found = schedule::find(&mut db, &id).await?;
    let found = found.ok_or_else(|| ApiError::unknown("schedule", &id))?;
    let ticks = tick::list(&mut db, found.id, &TickFilter::default(), LATEST_TICKS).await?;
    let ticks = ticks.into_iter().map(TickView::from).collect();
    Ok(Json(ScheduleDetail {
        schedule: found.into(),
        ticks,
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
    let mut notes = Notes::default();
    let input = ScheduleInput::read(&body, "", &mut notes);
    let mut db = state.database.begin().await?;
    let mut target = None;
    if let Some(input) = &input {
        let resolved = resolve_target(&mut db, &input.target, "", &mut notes).await?;
        if let Some((resolved, platform)) = resolved {
            input.check(platform.as_deref(), &state.catalog, "", &mut notes);
            target = Some(resolved);
        }
    }
    accept(notes)?;
    let (Some(input), Some(target)) = (input, target) else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    let now = db::now(&mut db).await?;
    let id = create_schedule(&mut db, &input, &target, now).await?;
    let made = schedule::find(&mut db, &id.to_string()).await?;
    let made = made.ok_or_else(|| ApiError::unknown("schedule", &id.to_string()))?;
    db.commit().await?;
    state.schedules_changed.wake();
    Ok(created(
        format!("/api/v1/schedules/{id}"),
        ScheduleView::from(made),
    ))
}

/// Preview a trigger
///
/// The next ticks of a trigger, without saving anything.
#[utoipa::path(
    post, path = "/api/v1/schedules/preview", tag = "Schedules", operation_id = "previewSchedule",
    request_body = PreviewInput,
    responses(
        (status = 200, description = "The next ticks", body = Preview),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn preview(
    _: Viewer,
    State(state): State<AppState>,
    Body(body): Body,
) -> ApiResult<Json<Preview>> {
    let mut notes = Notes::default();
    let mut read = None;
    if let Some(mut fields) = Fields::of(&body, "", &mut notes) {
        let when = WhenInput::read(&mut fields, &mut notes);
        let count = fields
            .integer("count", 1, MAX_PREVIEW, &mut notes)
            .unwrap_or(DEFAULT_PREVIEW);
        fields.finish(&mut notes);
        read = Some((when, count));
    }
    accept(notes)?;
    let Some((when, count)) = read else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let refused = |error: syncline_shared::schedule::TriggerError| ApiError::Internal(error.into());
    let trigger = when
        .trigger(when.anchor_at(now).unwrap_or(now))
        .map_err(refused)?;
    let zone = syncline_shared::schedule::parse_zone(&when.zone).map_err(refused)?;
    let mut ticks = Vec::new();
    let mut after = now;
    for _ in 0..count {
        let Some(at) = trigger.next_after(after) else {
            break;
        };
        ticks.push(PreviewTick {
            at,
            local: at.with_timezone(&zone).to_rfc3339(),
        });
        after = at;
    }
    Ok(Json(Preview { ticks }))
}
