//! Products, whole or one page of them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use syncline_shared::db::DbConnection;
use syncline_shared::ids::BatchId;
use syncline_shared::run::RunKind;
use utoipa::ToSchema;

use crate::auth::{Caller, Operator};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Params;
use crate::idempotency::{KeyedBody, Repeat, conclude};
use crate::resources::schedule::TargetInput;
use crate::starting::{Start, made_batch, start};
use crate::state::AppState;

const STREAM: &str = "products";
const MAX_PAGE: usize = i32::MAX as usize;

/// What was started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProductsAnswer {
    /// The batch of the runs; see `/api/v1/batches/{id}`.
    pub job_id: uuid::Uuid,
    /// `scheduled`.
    #[schema(example = "scheduled")]
    pub status: &'static str,
    /// In words.
    #[schema(example = "Sync of page 3 of products started")]
    pub message: String,
}

/// Sync products
///
/// Of every connection of the platform that has a stream `products`; with `page`, this one page, which changes nothing about where the
/// next sync begins. The same as `POST /api/v1/runs` with that platform as target.
#[utoipa::path(
    post, path = "/api/v1/products/sync", tag = "Compatibility", operation_id = "compatSyncProducts",
    params(
        ("page" = Option<u32>, Query, minimum = 0, description = "Only this page"),
        ("platform" = Option<String>, Query, description = "The platform, where several have products"),
    ),
    responses(
        (status = 202, description = "The runs are enqueued", body = ProductsAnswer),
        (status = 409, description = "No connection got a run, and why; or several platforms have products", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The platform has no such stream, or no pages", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sync(
    Operator(caller): Operator,
    State(state): State<AppState>,
    mut params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    let page = params
        .integer("page", 0, MAX_PAGE)
        .and_then(|page| i64::try_from(page).ok());
    let platform = params.text("platform");
    params.finish()?;
    let platform = match platform {
        Some(platform) => platform,
        None => only_platform(&state)?,
    };
    let mut db = state.database.begin().await?;
    let done = sync_once(&state, &mut db, &caller, platform, page, &body.repeat).await;
    let batch = conclude(db, done).await?;
    state.runs_queued.wake();
    let what = page.map_or_else(String::new, |page| format!("page {page} of "));
    let answer = ProductsAnswer {
        job_id: batch.0,
        status: "scheduled",
        message: format!("Sync of {what}products started"),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

fn only_platform(state: &AppState) -> ApiResult<String> {
    let platforms: Vec<String> = state
        .catalog
        .all()
        .filter(|connector| connector.stream(STREAM).is_some())
        .map(|connector| connector.platform().to_owned())
        .collect();
    match platforms.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(ApiError::state(
            "no-platform",
            "no platform has a stream \"products\"".to_owned(),
        )),
        several => Err(ApiError::state(
            "several-platforms",
            format!(
                "several platforms have products; name one by ?platform=: {}",
                several.join(", ")
            ),
        )),
    }
}

async fn sync_once(
    state: &AppState,
    db: &mut DbConnection,
    caller: &Caller,
    platform: String,
    page: Option<i64>,
    repeat: &Repeat,
) -> ApiResult<BatchId> {
    if let Some(made) = repeat.look_up(db, caller).await? {
        return made_batch(&made);
    }
    let streams = [STREAM.to_owned()];
    let wanted = Start {
        target: &TargetInput::Platform(platform),
        streams: Some(&streams),
        kind: page.map_or(RunKind::Incremental, |_| RunKind::Page),
        page,
        delay: Duration::ZERO,
    };
    let batch = start(db, &state.catalog, &wanted, &caller.name).await?;
    repeat
        .remember(db, caller, &json!({ "batch": batch }))
        .await?;
    Ok(batch)
}
