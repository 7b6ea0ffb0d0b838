//! Budgets: what platforms allow, how much of it is used, and what waits for it.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::budget::{self, BudgetState, WindowState};
use utoipa::ToSchema;

use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::page::{Page, PageRequest};
use crate::resources::{Fields, Notes, accept};
use crate::state::AppState;

/// A platform's limits for one key, as they stand for the whole fleet. It is there from the first request that draws on it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Budget)]
pub(crate) struct BudgetView {
    /// `platform/name/scope`.
    #[schema(example = "g2a/requests/abc")]
    pub key: String,
    /// The platform.
    #[schema(example = "g2a")]
    pub platform: String,
    /// Its name in the connector's manifest.
    #[schema(example = "requests")]
    pub name: String,
    /// Whose budget it is: the account part of the key.
    #[schema(example = "abc")]
    pub scope: String,
    /// Its windows, the shortest first. All of them hold.
    pub windows: Vec<WindowView>,
    /// No request is sent before, since the platform said so; null: it is not paused.
    pub paused_until: Option<DateTime<Utc>>,
    /// What the platform said.
    #[schema(example = "HTTP 429, Retry-After: 60")]
    pub paused_because: Option<String>,
    /// Permits given so far; each is for one request.
    pub granted: i64,
    /// Times so far that somebody asked for permits and had to wait.
    pub refused: i64,
    /// Answers of the platform so far that a limit is reached.
    pub limited: i64,
    /// When the last of them came.
    pub limited_at: Option<DateTime<Utc>>,
    /// Runs that wait for it without a worker.
    pub waiting_runs: i64,
    /// When permits were last given or refused.
    pub updated_at: DateTime<Utc>,
}

/// A window of a budget. Points are calls of weight one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BudgetWindow)]
pub(crate) struct WindowView {
    /// `rolling`: any stretch of time of that length; `fixed`: between two resets of the platform's counter; `day`, `month`: of the
    /// calendar; `concurrent`: requests that are under way.
    #[schema(example = "rolling")]
    pub kind: String,
    /// Its length; of a month the longest; null: it counts requests that are under way.
    #[schema(example = 1)]
    pub per_seconds: Option<f64>,
    /// The time zone of the calendar.
    pub time_zone: Option<String>,
    /// The limit in points.
    #[schema(example = 100)]
    pub limit: i64,
    /// What is allowed now: less than the limit after the platform refused, or told a lower one.
    #[schema(example = 100)]
    pub allowed: i64,
    /// Points that count now: of requests that were sent or may be any moment, and of others as far as the platform told.
    #[schema(example = 37)]
    pub used: i64,
    /// Those of others.
    #[schema(example = 0)]
    pub outside: i64,
    /// When the first of them stop counting; null: none count.
    pub refills_at: Option<DateTime<Utc>>,
    /// When all of them will have stopped counting.
    pub empty_at: Option<DateTime<Utc>>,
}

impl From<WindowState> for WindowView {
    fn from(found: WindowState) -> Self {
        let WindowState {
            kind,
            per_ms,
            zone,
            points_limit,
            allowed,
            used,
            outside,
            refills_at,
            empty_at,
        } = found;
        #[expect(
            clippy::cast_precision_loss,
            reason = "windows are far shorter than 2^53 ms"
        )]
        let per_seconds = (per_ms > 0).then(|| per_ms as f64 / 1000.0);
        Self {
            kind,
            per_seconds,
            time_zone: zone,
            limit: points_limit,
            allowed,
            used,
            outside,
            refills_at,
            empty_at,
        }
    }
}

impl From<BudgetState> for BudgetView {
    fn from(found: BudgetState) -> Self {
        let BudgetState {
            key,
            platform,
            name,
            scope,
            paused_until,
            paused_because,
            granted,
            refused,
            limited,
            limited_at,
            waiting_runs,
            updated_at,
            windows,
        } = found;
        Self {
            key,
            platform,
            name,
            scope,
            windows: windows.into_iter().map(WindowView::from).collect(),
            paused_until,
            paused_because,
            granted,
            refused,
            limited,
            limited_at,
            waiting_runs,
            updated_at,
        }
    }
}

/// List budgets
///
/// In the order of their keys.
#[utoipa::path(
    get, path = "/api/v1/budgets", tag = "Budgets", operation_id = "listBudgets",
    params(
        ("platform" = Option<String>, Query, description = "Only this platform"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of budgets", body = Page<BudgetView>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Page<BudgetView>>> {
    let platform = params.text("platform");
    let page = PageRequest::read(&mut params);
    params.finish()?;
    let mut db = state.database.session().await?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = budget::list_budgets(&mut db, platform.as_deref(), after, page.fetch()).await?;
    Ok(Json(page.page(
        found,
        |budget| budget.key.clone(),
        BudgetView::from,
    )))
}

/// Which budget is meant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BudgetKey, example = json!({"key": "g2a/requests/abc"}))]
pub(crate) struct KeyInput {
    /// `platform/name/scope`.
    pub key: String,
}

/// What came of resuming a budget.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BudgetResumed)]
pub(crate) struct ResumedView {
    /// The budget.
    #[schema(example = "g2a/requests/abc")]
    pub key: String,
    /// Runs that waited for it and are due now.
    #[schema(example = 12)]
    pub runs: i64,
}

/// Resume a budget
///
/// Ends its pause early, and forgets what was lowered after refusals of the platform and what others were said to have used. Runs that wait
/// for it are due at once. If the platform still refuses, it is paused again. What was sent still counts.
#[utoipa::path(
    post, path = "/api/v1/budgets/resume", tag = "Budgets", operation_id = "resumeBudget",
    request_body = KeyInput,
    responses(
        (status = 200, description = "It may be used again", body = ResumedView),
        (status = 404, description = "There is no such budget", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume(
    _: Operator,
    State(state): State<AppState>,
    params: Params,
    Body(body): Body,
) -> ApiResult<Json<ResumedView>> {
    params.finish()?;
    let mut notes = Notes::default();
    let mut key = String::new();
    if let Some(mut fields) = Fields::of(&body, "", &mut notes) {
        key = fields.required_text("key", &mut notes);
        fields.finish(&mut notes);
    }
    accept(notes)?;
    let mut db = state.database.session().await?;
    let runs = budget::resume_budget(&mut db, &key).await?;
    db.end().await?;
    let Some(runs) = runs else {
        return Err(ApiError::NotFound(format!(
            "there is no budget with the key {key:?}; GET /api/v1/budgets lists them, and one is there once a request has drawn on it"
        )));
    };
    state.budgets_changed.wake();
    // They see that runs are due.
    state.schedules_changed.wake();
    Ok(Json(ResumedView { key, runs }))
}
