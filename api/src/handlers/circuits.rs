//! Circuits: platforms' hosts that fail.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::budget::{self, CircuitState};
use utoipa::ToSchema;

use crate::auth::Viewer;
use crate::error::{ApiResult, Problem};
use crate::extract::Params;
use crate::page::Page;
use crate::state::AppState;

/// A platform's host that fails. It is there from the first failure to the next success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Circuit)]
pub(crate) struct CircuitView {
    /// `platform/host:port`.
    #[schema(example = "g2a/api.g2a.com:443")]
    pub key: String,
    /// The platform.
    #[schema(example = "g2a")]
    pub platform: String,
    /// Failures in a row, of all workers: no answer, or one of a server that fails (5xx).
    #[schema(example = 5)]
    pub failures: i32,
    /// Nothing is sent before; then one request at a time, until one succeeds. Null: everything is sent.
    pub open_until: Option<DateTime<Utc>>,
    /// True: one request is out, to see whether it answers again.
    pub is_probing: bool,
    /// The last failure, in words.
    #[schema(example = "HTTP 503")]
    pub because: String,
    /// When it last failed.
    pub failed_at: DateTime<Utc>,
}

impl From<CircuitState> for CircuitView {
    fn from(found: CircuitState) -> Self {
        let CircuitState {
            key,
            platform,
            failures,
            open_until,
            is_probing,
            because,
            failed_at,
        } = found;
        Self {
            key,
            platform,
            failures,
            open_until,
            is_probing,
            because,
            failed_at,
        }
    }
}

/// List circuits
///
/// The hosts that fail, in the order of their keys, all on one page.
#[utoipa::path(
    get, path = "/api/v1/circuits", tag = "Budgets", operation_id = "listCircuits",
    responses(
        (status = 200, description = "The hosts that fail", body = Page<CircuitView>),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<Page<CircuitView>>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = budget::list_circuits(&mut db).await?;
    Ok(Json(Page {
        data: found.into_iter().map(CircuitView::from).collect(),
        next_cursor: None,
        has_more: false,
    }))
}
