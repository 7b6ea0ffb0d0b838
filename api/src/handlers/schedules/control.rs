//! Pausing, resuming and triggering a schedule.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use syncline_shared::db::schedule::{self, SchedulePauseCause};
use syncline_shared::db::{self, DbConnection};
use syncline_shared::ids::BatchId;
use syncline_shared::run::RunKind;
use syncline_shared::schedule::Overlap;
use utoipa::ToSchema;

use super::view::{ScheduleView, view_one};
use super::{find, lock};
use crate::auth::{Caller, Operator};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{OptionalBody, Params};
use crate::handlers::batches::{BatchView, started};
use crate::handlers::cancel::NoteInput;
use crate::idempotency::{KeyedBody, Repeat, conclude};
use crate::resources::lookup::set_next_moment;
use crate::resources::schedule::{check_streams_of, read_kind};
use crate::resources::{Fields, Notes, accept, read_note, read_streams};
use crate::starting::{TriggerNow, made_batch, trigger};
use crate::state::AppState;

/// Pause a schedule
///
/// It has no ticks until it is resumed, and leaves no row of those that it would have had. Runs that it has made go on. Who paused it
/// first stays on record, with the new note.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/pause", tag = "Schedules", operation_id = "pauseSchedule",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is paused", body = ScheduleView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pause(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<ScheduleView>> {
    params.finish()?;
    let note = read_note(&body)?;
    let mut db = state.database.begin().await?;
    let done = pause_locked(&mut db, &id, &caller.name, note.as_deref()).await;
    let view = conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(Json(view))
}

/// Pauses a schedule, in the caller's transaction.
pub(crate) async fn pause_locked(
    db: &mut DbConnection,
    id: &str,
    by: &str,
    note: Option<&str>,
) -> ApiResult<ScheduleView> {
    let found = lock(db, id).await?;
    schedule::pause(db, found.id, SchedulePauseCause::Person, by, note).await?;
    let found = find(db, &found.key).await?;
    Ok(view_one(db, found).await?)
}

/// Resume a schedule
///
/// Its next tick is its first moment after now; its failures are counted anew. What it missed while it was paused stays missed.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/resume", tag = "Schedules", operation_id = "resumeSchedule",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is resumed", body = ScheduleView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<ScheduleView>> {
    params.finish()?;
    // Why it is resumed is not kept; a note is accepted so that both requests have the same form.
    read_note(&body)?;
    let mut db = state.database.begin().await?;
    let done = resume_locked(&mut db, &id).await;
    let view = conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(Json(view))
}

/// Resumes a schedule, in the caller's transaction.
pub(crate) async fn resume_locked(db: &mut DbConnection, id: &str) -> ApiResult<ScheduleView> {
    let found = lock(db, id).await?;
    // One that was not paused keeps its moment, which may be due.
    if schedule::resume(db, found.id).await? {
        let now = db::now(db).await?;
        set_next_moment(db, &found.key, now).await?;
    }
    let found = find(db, &found.key).await?;
    Ok(view_one(db, found).await?)
}

/// What a request for a schedule's runs says otherwise than the schedule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"streams": ["products"], "kind": "full", "overlap": "queue_one"}))]
pub(crate) struct TriggerInput {
    /// Only these streams; the schedule's, if it is left out.
    pub streams: Option<Vec<String>>,
    /// How much is read; as the schedule does, if it is left out.
    #[schema(schema_with = crate::docs::kind_schema, required = false)]
    pub kind: Option<RunKind>,
    /// The page, if that is the kind.
    #[schema(minimum = 0)]
    pub page: Option<i64>,
    /// What is done on a connection whose run of this schedule is unfinished; the schedule's policy, if it is left out.
    #[schema(schema_with = crate::docs::overlap_schema, required = false)]
    pub overlap: Option<Overlap>,
}

/// Trigger a schedule now
///
/// Makes its runs at once, as one batch, also while it is paused or disabled. It makes no tick, and its next tick stays where it is.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/trigger", tag = "Schedules", operation_id = "triggerSchedule",
    params(
        ("id" = String, Path, description = "Id or key", example = "acme-g2a-daily"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = crate::docs::IDEMPOTENCY_KEY),
    ),
    request_body = Option<TriggerInput>,
    responses(
        (status = 202, description = "The runs are enqueued", body = BatchView, headers(("Location" = String))),
        (status = 400, description = "An unreadable Idempotency-Key", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No connection got a run, and why; or the same request is under way", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them; or another request was carried out under the key", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn trigger_now(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    params.finish()?;
    let asked = read_trigger(&body.value)?;
    let batch = start(&state, &id, &asked, &caller, &body.repeat).await?;
    started(&state, batch).await
}

/// Triggers a schedule once per key, and wakes the workers.
pub(crate) async fn start(
    state: &AppState,
    id: &str,
    asked: &TriggerNow,
    caller: &Caller,
    repeat: &Repeat,
) -> ApiResult<BatchId> {
    let mut db = state.database.begin().await?;
    let done = trigger_once(state, &mut db, id, asked, caller, repeat).await;
    let batch = conclude(db, done).await?;
    state.runs_queued.wake();
    Ok(batch)
}

async fn trigger_once(
    state: &AppState,
    db: &mut DbConnection,
    id: &str,
    asked: &TriggerNow,
    caller: &Caller,
    repeat: &Repeat,
) -> ApiResult<BatchId> {
    if let Some(made) = repeat.look_up(db, caller).await? {
        return made_batch(&made);
    }
    // Locked, so that no tick looks for unfinished runs at the same time.
    let found = lock(db, id).await?;
    let mut notes = Notes::default();
    let (kind, _) = asked.kind.unwrap_or((found.kind, found.page));
    let streams = asked.streams.as_deref().or(found.streams.as_deref());
    let platform = match found.connection_id {
        Some(connection) => {
            let found = db::connection::find(db, &connection.to_string()).await?;
            found.map(|found| found.platform)
        }
        None => found.platform.clone(),
    };
    check_streams_of(
        streams,
        kind,
        platform.as_deref(),
        &state.catalog,
        "",
        &mut notes,
    );
    accept(notes)?;
    let batch = trigger(db, &found, asked, &caller.name).await?;
    repeat
        .remember(db, caller, &json!({ "batch": batch }))
        .await?;
    Ok(batch)
}

fn read_trigger(body: &Value) -> ApiResult<TriggerNow> {
    let mut notes = Notes::default();
    let Some(mut fields) = Fields::of(body, "", &mut notes) else {
        return Err(ApiError::Invalid(notes.into_problems()));
    };
    let streams = read_streams(&mut fields, &mut notes);
    let has_kind = fields.value("kind").is_some() || fields.value("page").is_some();
    let kind = read_kind(&mut fields, &mut notes);
    let overlap = fields.word("overlap", &mut notes);
    fields.finish(&mut notes);
    accept(notes)?;
    Ok(TriggerNow {
        streams,
        kind: has_kind.then_some(kind),
        overlap,
    })
}
