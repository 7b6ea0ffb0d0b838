//! The buttons "Cancel" and "Retry" of a run: the same as `POST /api/v1/runs/{id}/cancel` and `/retry`, for a form.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::form::SessionForm;
use super::run_now::to_the_run;
use crate::auth::Operator;
use crate::error::ApiResult;
use crate::extract::{OptionalBody, Params};
use crate::handlers::{cancel, retry, runs};
use crate::idempotency::KeyedBody;
use crate::state::AppState;

/// Cancels the run and shows it.
pub(super) async fn cancel(
    caller: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    let id = runs::read_id(&id)?;
    let asked = OptionalBody(json!({}));
    let params = Params::parse(None);
    cancel::create(caller, State(state), Path(id.to_string()), params, asked).await?;
    Ok(Redirect::to(&format!("/runs/{id}")).into_response())
}

/// Retries the run and shows the new one.
pub(super) async fn retry(
    caller: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: SessionForm,
) -> ApiResult<Response> {
    let asked = KeyedBody::without_key(json!({}));
    let params = Params::parse(None);
    let made = retry::create(caller, State(state), Path(id), params, asked).await?;
    to_the_run(&made)
}
