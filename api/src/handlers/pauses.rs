//! Pauses: of everything, a platform, a business or a connection.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use syncline_shared::db::pause::{Pause, PauseTarget};
use syncline_shared::db::{business, connection};
use utoipa::ToSchema;

use super::cancel::NoteInput;
use super::platforms;
use crate::auth::{Caller, Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{OptionalBody, Params};
use crate::page::Page;
use crate::pausing::{self, PauseChange};
use crate::resources::read_note;
use crate::state::AppState;

/// Something that rests until somebody resumes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pause)]
pub(crate) struct PauseView {
    /// `everything`, `platform`, `business` or `connection`.
    #[schema(example = "connection")]
    pub scope: &'static str,
    /// The platform's name, or the key of the business or connection; its id, if it was deleted; null for everything.
    #[schema(example = "acme-g2a")]
    pub target: Option<String>,
    /// `person`: somebody asked for it; `needs_person`: a run ended with an error that only a person can cure.
    #[schema(example = "person")]
    pub cause: &'static str,
    /// Why, in words.
    pub note: Option<String>,
    /// Who paused it.
    #[schema(example = "ana")]
    pub paused_by: String,
    /// Since when.
    pub paused_at: DateTime<Utc>,
}

impl From<Pause> for PauseView {
    fn from(found: Pause) -> Self {
        let Pause {
            scope,
            target,
            cause,
            note,
            paused_by,
            paused_at,
        } = found;
        Self {
            scope: scope.as_str(),
            target: Some(target).filter(|target| !target.is_empty()),
            cause: cause.as_str(),
            note,
            paused_by,
            paused_at,
        }
    }
}

/// List pauses
///
/// The widest first, all on one page.
#[utoipa::path(
    get, path = "/api/v1/pauses", tag = "Pauses", operation_id = "listPauses",
    responses(
        (status = 200, description = "Everything that rests", body = Page<PauseView>),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<Page<PauseView>>> {
    params.finish()?;
    let found = pausing::list(&state).await?;
    Ok(Json(Page {
        data: found.into_iter().map(PauseView::from).collect(),
        next_cursor: None,
        has_more: false,
    }))
}

async fn pause(
    state: &AppState,
    caller: &Caller,
    params: Params,
    body: &Value,
    target: &PauseTarget,
) -> ApiResult<Json<PauseChange>> {
    params.finish()?;
    let note = read_note(body)?;
    let change = pausing::pause(state, target, note.as_deref(), &caller.name).await?;
    Ok(Json(change))
}

async fn resume(
    state: &AppState,
    params: Params,
    body: &Value,
    target: &PauseTarget,
) -> ApiResult<Json<PauseChange>> {
    params.finish()?;
    // Why it is resumed is not kept; a note is accepted so that both requests have the same form.
    read_note(body)?;
    Ok(Json(pausing::resume(state, target).await?))
}

async fn business_of(state: &AppState, id: &str) -> ApiResult<PauseTarget> {
    let mut db = state.database.session().await?;
    let found = business::find(&mut db, id).await?.map(|found| found.id);
    let found = found.ok_or_else(|| ApiError::unknown("business", id))?;
    Ok(PauseTarget::Business(found))
}

async fn connection_of(state: &AppState, id: &str) -> ApiResult<PauseTarget> {
    let mut db = state.database.session().await?;
    let found = connection::find(&mut db, id).await?.map(|found| found.id);
    let found = found.ok_or_else(|| ApiError::unknown("connection", id))?;
    Ok(PauseTarget::Connection(found))
}

/// The same for what was deleted and is known by its id only: its pause can still be lifted.
fn or_by_id<T: std::str::FromStr>(
    found: ApiResult<PauseTarget>,
    id: &str,
    target: impl Fn(T) -> PauseTarget,
) -> ApiResult<PauseTarget> {
    match (found, id.parse()) {
        (Err(ApiError::NotFound(_)), Ok(id)) => Ok(target(id)),
        (found, _) => found,
    }
}

/// Pause everything
///
/// Running runs are handed back at their next checkpoint, queued ones wait, and what comes due waits too, until it is resumed.
#[utoipa::path(
    post, path = "/api/v1/pause", tag = "Pauses", operation_id = "pauseEverything",
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is paused", body = PauseChange),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pause_everything(
    Operator(caller): Operator,
    State(state): State<AppState>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<PauseChange>> {
    pause(&state, &caller, params, &body, &PauseTarget::Everything).await
}

/// Resume everything
///
/// Lifts the pause of everything. Platforms, businesses and connections that were paused by themselves stay so.
#[utoipa::path(
    post, path = "/api/v1/resume", tag = "Pauses", operation_id = "resumeEverything",
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is resumed", body = PauseChange),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume_everything(
    _: Operator,
    State(state): State<AppState>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<PauseChange>> {
    resume(&state, params, &body, &PauseTarget::Everything).await
}

/// Pause a platform
#[utoipa::path(
    post, path = "/api/v1/platforms/{name}/pause", tag = "Pauses", operation_id = "pausePlatform",
    params(("name" = String, Path, description = "The platform", example = "g2a")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is paused", body = PauseChange),
        (status = 404, description = "There is none; the known ones are named", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pause_platform(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<PauseChange>> {
    platforms::find(&state, &name)?;
    pause(&state, &caller, params, &body, &PauseTarget::Platform(name)).await
}

/// Resume a platform
#[utoipa::path(
    post, path = "/api/v1/platforms/{name}/resume", tag = "Pauses", operation_id = "resumePlatform",
    params(("name" = String, Path, description = "The platform", example = "g2a")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is resumed", body = PauseChange),
        (status = 404, description = "There is none; the known ones are named", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume_platform(
    _: Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<PauseChange>> {
    let target = PauseTarget::Platform(name.clone());
    let change = resume(&state, params, &body, &target).await?;
    // The pause of a platform whose connector was taken away can still be lifted.
    if !change.changed {
        platforms::find(&state, &name)?;
    }
    Ok(change)
}

/// Pause a business
#[utoipa::path(
    post, path = "/api/v1/businesses/{id}/pause", tag = "Pauses", operation_id = "pauseBusiness",
    params(("id" = String, Path, description = "Id or key", example = "acme")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is paused", body = PauseChange),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pause_business(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<PauseChange>> {
    let target = business_of(&state, &id).await?;
    pause(&state, &caller, params, &body, &target).await
}

/// Resume a business
#[utoipa::path(
    post, path = "/api/v1/businesses/{id}/resume", tag = "Pauses", operation_id = "resumeBusiness",
    params(("id" = String, Path, description = "Id or key", example = "acme")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is resumed", body = PauseChange),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume_business(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<PauseChange>> {
    let found = business_of(&state, &id).await;
    let is_known = found.is_ok();
    let target = or_by_id(found, &id, PauseTarget::Business)?;
    let change = resume(&state, params, &body, &target).await?;
    if !is_known && !change.changed {
        return Err(ApiError::unknown("business", &id));
    }
    Ok(change)
}

/// Pause a connection
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/pause", tag = "Pauses", operation_id = "pauseConnection",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is paused", body = PauseChange),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pause_connection(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<PauseChange>> {
    let target = connection_of(&state, &id).await?;
    pause(&state, &caller, params, &body, &target).await
}

/// Resume a connection
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/resume", tag = "Pauses", operation_id = "resumeConnection",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a")),
    request_body = Option<NoteInput>,
    responses(
        (status = 200, description = "It is resumed", body = PauseChange),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume_connection(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Json<PauseChange>> {
    let found = connection_of(&state, &id).await;
    let is_known = found.is_ok();
    let target = or_by_id(found, &id, PauseTarget::Connection)?;
    let change = resume(&state, params, &body, &target).await?;
    if !is_known && !change.changed {
        return Err(ApiError::unknown("connection", &id));
    }
    Ok(change)
}
