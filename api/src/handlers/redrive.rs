//! Redriving: retrying all runs of a filter that did not succeed, as one batch.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use syncline_shared::db::DbConnection;
use syncline_shared::db::batch::LeftOut;
use syncline_shared::db::history::RunFilter;
use syncline_shared::db::run::{FinishedRun, lock_unsuccessful};
use syncline_shared::ids::RunId;
use syncline_shared::run::RunStatus;
use utoipa::ToSchema;

use super::runs::{resolve_names, since_1970};
use crate::auth::{Caller, Operator};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Params;
use crate::idempotency::{KeyedBody, Repeat, conclude};
use crate::repeat::{Alike, alike, enqueue_again, refusal};
use crate::resources::{Fields, Notes, accept};
use crate::state::AppState;

const MAX_LIMIT: i64 = 10_000;
const DEFAULT_LIMIT: i64 = 1_000;

/// Which runs are retried. Filters are combined by AND. Only runs that nobody has retried are looked at, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": ["failed"], "platform": "g2a", "created_after": "2026-08-01T00:00:00Z", "dry_run": true}))]
pub(crate) struct RedriveInput {
    /// How they ended: any of `failed`, `partial`, `cancelled`; `failed`, if it is left out.
    #[schema(required = false)]
    pub status: Vec<String>,
    /// Only this platform.
    pub platform: Option<String>,
    /// Only this business: id or key.
    pub business: Option<String>,
    /// Only this connection: id or key.
    pub connection: Option<String>,
    /// Only this schedule: id or key.
    pub schedule: Option<String>,
    /// Only runs created at this instant or later.
    pub created_after: Option<DateTime<Utc>>,
    /// Only runs created before this instant.
    pub created_before: Option<DateTime<Utc>>,
    /// At most so many.
    #[schema(required = false, minimum = 1, maximum = 10_000, default = 1_000)]
    pub limit: i64,
    /// True: answers what would be done, and does nothing.
    #[schema(required = false, default = false)]
    pub dry_run: bool,
}

/// What came of a redrive.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Redrive {
    /// The batch of the new runs; null if there are none.
    pub batch_id: Option<uuid::Uuid>,
    /// Runs that the filter found, at most `limit`.
    pub matched: usize,
    /// New runs; of a dry run, those that would be enqueued. One for all that read the same of the same connection: kind, streams and
    /// page.
    pub runs: usize,
    /// Runs that the new ones stand for: each names the new run as the one that repeats it.
    #[serde(default)]
    pub stands_for: usize,
    /// New runs that stand for more than one.
    #[serde(default)]
    pub merged: Vec<MergedRun>,
    /// Runs that are not retried.
    pub left_out: Vec<LeftOutRun>,
    /// True if nothing was done.
    pub dry_run: bool,
}

/// A new run that stands for several.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MergedRun {
    /// Its id; null of a dry run.
    pub run: Option<uuid::Uuid>,
    /// The newest of the runs that it stands for, which it says it repeats.
    pub retry_of: uuid::Uuid,
    /// How many they are.
    #[schema(example = 3)]
    pub stands_for: usize,
}

/// A run that is not retried.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LeftOutRun {
    /// Its id.
    pub run: uuid::Uuid,
    /// Why.
    #[schema(example = "its connection \"acme-g2a\" is disabled; enable it first")]
    pub reason: String,
}

struct Asked {
    filter: RunFilter,
    names: [Option<String>; 3],
    limit: i64,
    dry_run: bool,
}

fn read(body: &Value) -> ApiResult<Asked> {
    let mut notes = Notes::default();
    let Some(mut fields) = Fields::of(body, "", &mut notes) else {
        return Err(ApiError::Invalid(notes.into_problems()));
    };
    let mut statuses = Vec::new();
    let words = fields.texts("status", &mut notes);
    for (index, word) in words.iter().flatten().enumerate() {
        match word.parse() {
            Ok(status @ (RunStatus::Failed | RunStatus::Partial | RunStatus::Cancelled)) => {
                statuses.push(status);
            }
            _ => notes.refuse(
                format!("/status/{index}"),
                "unknown-value",
                format!("{word:?} cannot be retried; allowed: failed, partial, cancelled"),
            ),
        }
    }
    if statuses.is_empty() {
        statuses.push(RunStatus::Failed);
    }
    let filter = RunFilter {
        statuses: Some(statuses),
        platform: fields.text("platform", &mut notes),
        created_from: fields.instant("created_after", &mut notes).map(since_1970),
        created_before: fields.instant("created_before", &mut notes).map(since_1970),
        ..RunFilter::default()
    };
    let names = ["business", "connection", "schedule"].map(|name| fields.text(name, &mut notes));
    let limit = fields.integer("limit", 1, MAX_LIMIT, &mut notes);
    let dry_run = fields.boolean("dry_run", &mut notes);
    fields.finish(&mut notes);
    accept(notes)?;
    Ok(Asked {
        filter,
        names,
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        dry_run: dry_run.unwrap_or(false),
    })
}

/// Retry many runs
///
/// Retries the runs of a filter that did not succeed, as one batch. Runs that read the same of one connection are retried by one new
/// run. Runs that cannot be repeated are left out, with the reason.
#[utoipa::path(
    post, path = "/api/v1/runs/redrive", tag = "Runs", operation_id = "redriveRuns",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = crate::docs::IDEMPOTENCY_KEY)),
    request_body = Option<RedriveInput>,
    responses(
        (status = 200, description = "Nothing was to be done, or it was a dry run", body = Redrive),
        (status = 202, description = "The new runs are enqueued", body = Redrive),
        (status = 400, description = "An unreadable Idempotency-Key", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such business, connection or schedule", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The same request is under way", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, or another request was carried out under the key", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Operator(caller): Operator,
    State(state): State<AppState>,
    params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    params.finish()?;
    let asked = read(&body.value)?;
    let mut db = state.database.begin().await?;
    let done = redrive_once(&state, &mut db, &caller, asked, &body.repeat).await;
    let answer = conclude(db, done).await?;
    state.runs_queued.wake();
    let status = if answer.batch_id.is_some() {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(answer)).into_response())
}

async fn redrive_once(
    state: &AppState,
    db: &mut DbConnection,
    caller: &Caller,
    mut asked: Asked,
    repeat: &Repeat,
) -> ApiResult<Redrive> {
    if let Some(made) = repeat.look_up(db, caller).await? {
        let answer = serde_json::from_value(made["answer"].clone());
        return answer.map_err(|error| ApiError::Internal(error.into()));
    }
    resolve_names(db, &mut asked.filter, asked.names).await?;
    let found = lock_unsuccessful(db, &asked.filter, asked.limit).await?;
    let matched = found.len();
    let mut again = Vec::with_capacity(matched);
    let mut left_out = Vec::new();
    let mut left_out_connections = BTreeMap::new();
    for run in found {
        match refusal(&run, &state.catalog) {
            None => again.push(run),
            Some(refusal) => {
                left_out_connections.insert(name(&run), refusal.detail.clone());
                left_out.push(LeftOutRun {
                    run: run.id.0,
                    reason: refusal.detail,
                });
            }
        }
    }
    let groups = alike(again);
    let mut answer = Redrive {
        batch_id: None,
        matched,
        runs: groups.len(),
        stands_for: matched - left_out.len(),
        merged: groups.iter().filter_map(merged).collect(),
        left_out,
        dry_run: asked.dry_run,
    };
    if asked.dry_run {
        return Ok(answer);
    }
    if !groups.is_empty() {
        let connections: Vec<LeftOut> = left_out_connections
            .into_iter()
            .map(|(connection, reason)| LeftOut { connection, reason })
            .collect();
        let repeated = enqueue_again(db, &groups, &connections, &caller.name).await?;
        answer.batch_id = Some(repeated.batch_id.0);
        for merged in &mut answer.merged {
            let new = repeated.runs.get(&RunId(merged.retry_of));
            merged.run = new.map(|new| new.0);
        }
    }
    let made = json!({ "batch": answer.batch_id, "answer": answer });
    repeat.remember(db, caller, &made).await?;
    Ok(answer)
}

/// A group of more than one, as it is told of before its run is enqueued.
fn merged(group: &Alike) -> Option<MergedRun> {
    (!group.older.is_empty()).then(|| MergedRun {
        run: None,
        retry_of: group.newest.id.0,
        stands_for: group.older.len() + 1,
    })
}

/// The connection as a batch names it.
fn name(run: &FinishedRun) -> String {
    let key = run.connection_key.clone();
    key.unwrap_or_else(|| run.connection_id.to_string())
}
