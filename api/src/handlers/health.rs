//! What machines ask: alive, ready, numbers.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use syncline_shared::db::{budget, pause, process, status};
use syncline_shared::telemetry;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult, Problem};
use crate::metrics::Found;
use crate::state::AppState;

/// A probe gives up after a few seconds, so the answer must come before.
const PATIENCE: Duration = Duration::from_secs(2);

/// A machine's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    pub status: &'static str,
    /// The release.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
}

const HEALTHY: Health = Health {
    status: "ok",
    version: syncline_shared::VERSION,
};

/// Is the process alive?
///
/// Asks nothing of the database, so that an outage does not restart healthy processes.
#[utoipa::path(
    get, path = "/healthz", tag = "Health", operation_id = "healthz", security(),
    responses((status = 200, description = "Alive", body = Health))
)]
pub(crate) async fn alive() -> Json<Health> {
    Json(HEALTHY)
}

/// Can the process serve?
#[utoipa::path(
    get, path = "/readyz", tag = "Health", operation_id = "readyz", security(),
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "The database does not answer, or the process is stopping", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ready(State(state): State<AppState>) -> ApiResult<Json<Health>> {
    if state.life.draining().is_cancelled() {
        return Err(ApiError::Unavailable("the process is stopping"));
    }
    let ask = async {
        let mut db = state.database.session().await?;
        syncline_shared::db::now(&mut db).await
    };
    match tokio::time::timeout(PATIENCE, ask).await {
        Ok(Ok(_)) => Ok(Json(HEALTHY)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: {error}");
            Err(ApiError::Unavailable("the database does not answer"))
        }
        Err(_) => Err(ApiError::Unavailable(
            "the database does not answer within 2 seconds",
        )),
    }
}

/// Numbers for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "Health", operation_id = "metrics", security(),
    responses((status = 200, description = "Text form 0.0.4", body = String, content_type = "text/plain; version=0.0.4"))
)]
pub(crate) async fn metrics(State(state): State<AppState>) -> ApiResult<Response> {
    let totals = async {
        let mut db = state.database.session().await?;
        budget::total_budgets(&mut db).await
    };
    let budgets = state.budget_totals.get(state.clock.now(), totals).await?;
    let mut db = state.database.session().await?;
    let found = Found {
        queue: status::count_queue(&mut db).await?,
        up: process::list_up(&mut db, state.lease).await?,
        pauses: pause::list_pauses(&mut db).await?,
        budgets,
        circuits: budget::list_circuits(&mut db).await?,
    };
    let counted = telemetry::metrics_text();
    let text = state.metrics.render(&found, &counted);
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response())
}
