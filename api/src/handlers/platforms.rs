//! Platforms: how their failed runs are tried again, and whether they rest.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::Value;
use syncline_engine::Connector;
use syncline_shared::db::pause::{Pause, PauseScope, list_pauses};
use syncline_shared::db::platform;
use syncline_shared::run::RetryPolicy;
use utoipa::ToSchema;

use super::pauses::PauseView;
use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::page::Page;
use crate::resources::retry::{self, RetryView};
use crate::resources::{Fields, Notes, accept};
use crate::state::AppState;

/// A platform: a third-party API that a connector reads.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Platform)]
pub(crate) struct PlatformView {
    /// The connector's name.
    #[schema(example = "g2a")]
    pub name: String,
    /// Its streams.
    pub streams: Vec<String>,
    /// Its retry policy, as far as it differs from the defaults.
    pub retry: RetryView,
    /// What holds for its runs, unless their connection says otherwise: the policy with the defaults filled in.
    pub effective_retry: RetryView,
    /// True if its runs rest, be it that everything is paused.
    pub paused: bool,
    /// Its own pause, if it has one.
    pub pause: Option<PauseView>,
}

/// Settings of a platform, whole.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"retry": {"base_seconds": 60, "max_failures": 3}}))]
pub(crate) struct PlatformInput {
    /// Its retry policy. What is left out is as it is by default; `{}` sets the defaults.
    pub retry: RetryView,
}

/// The connector of a platform; 404 with the known ones, if there is none.
pub(super) fn find<'s>(state: &'s AppState, name: &str) -> ApiResult<&'s Connector> {
    state.catalog.find(name).ok_or_else(|| {
        ApiError::NotFound(format!(
            "there is no platform {name:?}; known: {}",
            state.catalog.platforms()
        ))
    })
}

fn view(connector: &Connector, policy: RetryPolicy, pauses: &[Pause]) -> PlatformView {
    let name = connector.platform().to_owned();
    let own = pauses
        .iter()
        .find(|pause| pause.scope == PauseScope::Platform && pause.target == name);
    let backoff = policy.backoff();
    PlatformView {
        streams: connector
            .streams()
            .iter()
            .map(|stream| stream.name.clone())
            .collect(),
        retry: policy.into(),
        effective_retry: RetryView {
            base_seconds: Some(backoff.base.as_secs_f64()),
            factor: Some(backoff.factor),
            cap_seconds: Some(backoff.cap.as_secs_f64()),
            jitter: Some(backoff.jitter),
            max_failures: Some(policy.max_failures()),
        },
        paused: own.is_some()
            || pauses
                .iter()
                .any(|pause| pause.scope == PauseScope::Everything),
        pause: own.cloned().map(PauseView::from),
        name,
    }
}

/// List platforms
///
/// In the order of their names, all on one page.
#[utoipa::path(
    get, path = "/api/v1/platforms", tag = "Platforms", operation_id = "listPlatforms",
    responses(
        (status = 200, description = "The platforms", body = Page<PlatformView>),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<Page<PlatformView>>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let policies = platform::list_retry(&mut db).await?;
    let pauses = list_pauses(&mut db).await?;
    let show = |connector: &Connector| {
        let own = policies
            .iter()
            .find(|(name, _)| name == connector.platform());
        view(
            connector,
            own.map_or_else(RetryPolicy::default, |(_, policy)| *policy),
            &pauses,
        )
    };
    Ok(Json(Page {
        data: state.catalog.all().map(show).collect(),
        next_cursor: None,
        has_more: false,
    }))
}

/// Show a platform
#[utoipa::path(
    get, path = "/api/v1/platforms/{name}", tag = "Platforms", operation_id = "getPlatform",
    params(("name" = String, Path, description = "The platform", example = "g2a")),
    responses(
        (status = 200, description = "The platform", body = PlatformView),
        (status = 404, description = "There is none; the known ones are named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> ApiResult<Json<PlatformView>> {
    let connector = find(&state, &name)?;
    let mut db = state.database.session().await?;
    let policy = platform::find_retry(&mut db, &name).await?;
    let pauses = list_pauses(&mut db).await?;
    Ok(Json(view(connector, policy, &pauses)))
}

/// Change a platform
///
/// The policy holds from the next failure on, also for runs that are under way.
#[utoipa::path(
    put, path = "/api/v1/platforms/{name}", tag = "Platforms", operation_id = "setPlatform",
    params(("name" = String, Path, description = "The platform", example = "g2a")),
    request_body = PlatformInput,
    responses(
        (status = 200, description = "The platform as it is now", body = PlatformView),
        (status = 404, description = "There is none; the known ones are named", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set(
    _: Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    params: Params,
    Body(body): Body,
) -> ApiResult<Json<PlatformView>> {
    params.finish()?;
    let connector = find(&state, &name)?;
    let policy = read(&body)?;
    let mut db = state.database.begin().await?;
    platform::set_retry(&mut db, &name, &policy).await?;
    let pauses = list_pauses(&mut db).await?;
    db.commit().await?;
    Ok(Json(view(connector, policy, &pauses)))
}

fn read(body: &Value) -> ApiResult<RetryPolicy> {
    let mut notes = Notes::default();
    let mut policy = RetryPolicy::default();
    if let Some(mut fields) = Fields::of(body, "", &mut notes) {
        match fields.value("retry") {
            Some(value) => policy = retry::read(value, "/retry", &mut notes),
            None => notes.refuse(
                "/retry",
                "required",
                "retry is required; {} sets the defaults",
            ),
        }
        fields.finish(&mut notes);
    }
    accept(notes)?;
    Ok(policy)
}
