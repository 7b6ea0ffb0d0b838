//! Platforms: how their failed runs are tried again, what their budgets are limited to, and whether they rest.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};
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
use crate::resources::limit_view::LimitView;
use crate::resources::platform::PlatformSettings;
use crate::resources::retry::RetryView;
use crate::resources::{Notes, accept};
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
    /// In place of the limits that its manifest gives its budgets, by the name of the budget. A connection's own go before them.
    #[schema(value_type = BTreeMap<String, LimitView>, example = json!({"requests": {"limit": 100, "per_seconds": 1}}))]
    pub limits: Value,
    /// True if its runs rest, be it that everything is paused.
    pub paused: bool,
    /// Its own pause, if it has one.
    pub pause: Option<PauseView>,
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

fn view(
    connector: &Connector,
    policy: RetryPolicy,
    limits: &[(String, Value)],
    pauses: &[Pause],
) -> PlatformView {
    let name = connector.platform().to_owned();
    let own = pauses
        .iter()
        .find(|pause| pause.scope == PauseScope::Platform && pause.target == name);
    let backoff = policy.backoff();
    let limits = limits.iter().find(|(platform, _)| *platform == name);
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
        limits: limits.map_or_else(|| json!({}), |(_, limits)| limits.clone()),
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
    let limits = platform::list_limits(&mut db).await?;
    let pauses = list_pauses(&mut db).await?;
    let show = |connector: &Connector| {
        let own = policies
            .iter()
            .find(|(name, _)| name == connector.platform());
        view(
            connector,
            own.map_or_else(RetryPolicy::default, |(_, policy)| *policy),
            &limits,
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
    let limits = platform::list_limits(&mut db).await?;
    let pauses = list_pauses(&mut db).await?;
    Ok(Json(view(connector, policy, &limits, &pauses)))
}

/// Change a platform
///
/// The policy holds from the next failure on, also for runs that are under way; the limits from the next attempt on.
#[utoipa::path(
    put, path = "/api/v1/platforms/{name}", tag = "Platforms", operation_id = "setPlatform",
    params(("name" = String, Path, description = "The platform", example = "g2a")),
    request_body = PlatformSettings,
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
    let mut notes = Notes::default();
    let settings = PlatformSettings::read(&body, connector, &mut notes);
    accept(notes)?;
    let mut db = state.database.begin().await?;
    if let Some(retry) = settings.retry {
        platform::set_retry(&mut db, &name, &retry.into()).await?;
    }
    if let Some(limits) = &settings.limits {
        platform::set_limits(&mut db, &name, limits).await?;
    }
    let policy = platform::find_retry(&mut db, &name).await?;
    let limits = platform::list_limits(&mut db).await?;
    let pauses = list_pauses(&mut db).await?;
    db.commit().await?;
    Ok(Json(view(connector, policy, &limits, &pauses)))
}
