//! The inbound trigger of a schedule: an address that is a secret. Whoever calls it makes a tick; calls within the debounce time
//! make one.
//!
//! The secret has 256 random bits, and only its SHA-256 is stored. Addresses are logged by their route, never as they were called.
//! What is no secret of ours gets the same answer, whatever it looks like.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rand::TryRng;
use serde::Serialize;
use sha2::{Digest, Sha256};
use syncline_shared::db::schedule;
use utoipa::ToSchema;

use super::lock;
use crate::auth::Operator;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Params;
use crate::idempotency::conclude;
use crate::state::AppState;

/// What a secret starts with, so that people and secret scanners know it.
const PREFIX: &str = "trg_";
/// Where triggers are called.
const ADDRESS: &str = "/api/v1/triggers";

/// The address of an inbound trigger, the only time it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewInboundTrigger)]
pub(crate) struct NewInbound {
    /// The schedule's key.
    #[schema(example = "acme-g2a-daily")]
    pub schedule: String,
    /// What to POST to, on this server. Keep it secret: it needs nothing else.
    #[schema(example = "/api/v1/triggers/trg_...")]
    pub path: String,
    /// True if it takes the place of an address, which no longer works.
    pub replaced: bool,
    /// Calls within so many seconds of the first make one tick.
    pub debounce_seconds: i32,
}

/// What a call of an inbound trigger did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Triggered {
    /// When the tick is due; null: the schedule is paused or disabled, and nothing will run.
    pub due_at: Option<DateTime<Utc>>,
}

/// Make the address of a schedule's inbound trigger
///
/// A new secret address, shown this once. An address that it had before no longer works.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/inbound-trigger", tag = "Schedules", operation_id = "createInboundTrigger",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    responses(
        (status = 201, description = "The address", body = NewInbound),
        (status = 404, description = "There is no such schedule", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<Response> {
    params.finish()?;
    let secret = random().map_err(ApiError::Internal)?;
    let mut db = state.database.begin().await?;
    let done = async {
        let found = lock(&mut db, &id).await?;
        let replaced =
            schedule::set_trigger_secret(&mut db, found.id, Some(&hash(&secret))).await?;
        Ok(NewInbound {
            schedule: found.key,
            path: format!("{ADDRESS}/{secret}"),
            replaced,
            debounce_seconds: found.debounce_seconds,
        })
    }
    .await;
    let made = conclude(db, done).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Remove a schedule's inbound trigger
///
/// Its address no longer works. A call that was made before still makes its tick.
#[utoipa::path(
    delete, path = "/api/v1/schedules/{id}/inbound-trigger", tag = "Schedules", operation_id = "deleteInboundTrigger",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    responses(
        (status = 204, description = "It has none"),
        (status = 404, description = "There is no such schedule", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<StatusCode> {
    params.finish()?;
    let mut db = state.database.begin().await?;
    let done = async {
        let found = lock(&mut db, &id).await?;
        schedule::set_trigger_secret(&mut db, found.id, None).await?;
        Ok(())
    }
    .await;
    conclude(db, done).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Call an inbound trigger
///
/// Needs nothing but the address. A body is ignored. The tick is due at the end of the schedule's debounce time; calls until then are
/// the same tick.
#[utoipa::path(
    post, path = "/api/v1/triggers/{secret}", tag = "Schedules", operation_id = "callInboundTrigger", security(),
    params(("secret" = String, Path, description = "The secret of the address")),
    responses(
        (status = 200, description = "The schedule is paused or disabled: nothing will run", body = Triggered),
        (status = 202, description = "A tick will be made", body = Triggered),
        (status = 404, description = "There is no such trigger", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn call(
    State(state): State<AppState>,
    Path(secret): Path<String>,
) -> ApiResult<Response> {
    let mut db = state.database.begin().await?;
    let called = schedule::call_trigger(&mut db, &hash(&secret)).await?;
    let Some((_, due_at)) = called else {
        db.rollback().await?;
        return Err(ApiError::NotFound(
            "there is no trigger at this address; it may have been replaced or removed".to_owned(),
        ));
    };
    db.commit().await?;
    let status = if due_at.is_some() {
        state.schedules_changed.wake();
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(Triggered { due_at })).into_response())
}

fn random() -> anyhow::Result<String> {
    let mut bits = [0_u8; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bits)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits)))
}

/// What is stored of a secret.
fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
