//! The button "Run now" of a connection: the same as `POST /api/v1/runs`, for a form.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::form::SessionForm;
use crate::auth::Operator;
use crate::error::{ApiError, ApiResult};
use crate::extract::Params;
use crate::handlers::runs;
use crate::idempotency::KeyedBody;
use crate::state::AppState;

/// Starts a run of the connection and shows it.
pub(super) async fn start(
    caller: Operator,
    State(state): State<AppState>,
    Path(key): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    let asked = KeyedBody::without_key(json!({ "connection": key }));
    let made = runs::create(caller, State(state), Params::parse(None), asked).await?;
    to_the_run(&made)
}

/// Leads to the page of a run that was made.
pub(super) fn to_the_run(made: &Response) -> ApiResult<Response> {
    let address = made
        .headers()
        .get(header::LOCATION)
        .and_then(|address| address.to_str().ok())
        .and_then(|address| address.strip_prefix("/api/v1"))
        .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("the new run has no address")))?;
    Ok(Redirect::to(address).into_response())
}
