//! Batches: the runs of one tick, of one request or of one backfill.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use syncline_shared::db::batch::{self, BatchFilter, BatchTarget, RunCounts};
use syncline_shared::db::run::cancel;
use syncline_shared::db::{DbResult, answered, schedule};
use syncline_shared::ids::BatchId;
use syncline_shared::run::{RunKind, RunOrigin, StreamCounts};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::Named;
use super::cancel::NoteInput;
use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, FieldProblem, Problem};
use crate::extract::{OptionalBody, Params};
use crate::page::{Page, PageRequest};
use crate::resources::read_note;
use crate::starting::wait_for;
use crate::state::AppState;

/// Runs that one transaction cancels.
const CANCEL_CHUNK: i64 = 100;
/// A caller hears of the outcome within this time; what is not done by then goes on.
const PATIENCE: Duration = Duration::from_secs(15);

/// A batch as a line of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchSummary {
    /// Identity; ordered by time of creation.
    pub id: uuid::Uuid,
    /// `running` until all of its runs have ended, then `succeeded`: all did; `failed`: none did, not even in part; `cancelled`: none did,
    /// and one was cancelled; else `partial`.
    #[schema(example = "succeeded")]
    pub status: &'static str,
    /// `schedule`: a tick; `manual`: a request; `backfill`.
    #[schema(example = "schedule")]
    pub origin: &'static str,
    /// The schedule whose tick it is, or that was triggered by hand.
    pub schedule: Option<Named>,
    /// The due moment, if a tick asked for it.
    pub nominal_at: Option<DateTime<Utc>>,
    /// Who asked for it, if somebody did.
    pub requested_by: Option<String>,
    /// What it was asked for; null for single runs that are repeated.
    #[schema(schema_with = crate::docs::target_schema)]
    pub target: Value,
    /// Only these streams; null: those that the connections have chosen.
    pub streams: Option<Vec<String>>,
    /// `incremental`, `full`, `page` or `backfill`; null: of several kinds.
    #[schema(example = "incremental")]
    pub kind: Option<&'static str>,
    /// Runs enqueued so far.
    pub runs: i32,
    /// True while more are being enqueued.
    pub has_more: bool,
    /// How its runs ended; null until all have.
    pub counts: Option<Counts>,
    /// Records of all runs, by what became of them; null until all have ended.
    pub records: Option<Records>,
    /// What became of it, in one line; null until it has ended.
    #[schema(
        example = "scheduled sync hourly-posts complete in part: 145/200 posts synced, 5 failures in 120.45s (...)"
    )]
    pub summary: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When all of its runs had ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// From its enqueue to its end.
    pub duration_ms: Option<i64>,
}

/// A batch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub(crate) struct BatchView {
    /// The batch; its counts are those of this moment.
    #[serde(flatten)]
    pub batch: BatchSummary,
    /// Connections that got no run, 1,000 at most.
    pub left_out: Vec<LeftOutView>,
}

/// A connection that got no run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LeftOut)]
pub(crate) struct LeftOutView {
    /// Its key.
    #[schema(example = "acme-g2a")]
    pub connection: String,
    /// Why.
    #[schema(example = "its run of an earlier tick is unfinished")]
    pub reason: String,
}

/// Runs of a batch, by what they are doing or how they ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchCounts)]
pub(crate) struct Counts {
    /// Being executed.
    pub running: i64,
    /// Unfinished, and not being executed.
    pub waiting: i64,
    /// Succeeded.
    pub succeeded: i64,
    /// Succeeded in part.
    pub partial: i64,
    /// Failed.
    pub failed: i64,
    /// Cancelled.
    pub cancelled: i64,
}

/// Records of a batch, by what became of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchRecords)]
pub(crate) struct Records {
    /// Records that the platforms sent.
    pub read: u64,
    /// Records that were new.
    pub inserted: u64,
    /// Records that differed from the stored row.
    pub updated: u64,
    /// Records equal to the stored row.
    pub unchanged: u64,
    /// Rows marked deleted.
    pub deleted: u64,
    /// Records that could not be written.
    pub failed: u64,
}

impl From<RunCounts> for Counts {
    fn from(found: RunCounts) -> Self {
        let RunCounts {
            running,
            waiting,
            succeeded,
            partial,
            failed,
            cancelled,
        } = found;
        Self {
            running,
            waiting,
            succeeded,
            partial,
            failed,
            cancelled,
        }
    }
}

impl From<StreamCounts> for Records {
    fn from(found: StreamCounts) -> Self {
        let StreamCounts {
            read,
            inserted,
            updated,
            unchanged,
            deleted,
            failed,
            duplicates: _,
        } = found;
        Self {
            read,
            inserted,
            updated,
            unchanged,
            deleted,
            failed,
        }
    }
}

/// A batch as a line of a list.
pub(crate) fn summarize(found: batch::BatchView) -> BatchSummary {
    let target = match found.target {
        Some(BatchTarget::Connection) => json!({"connection": found.target_key}),
        Some(BatchTarget::Business) => json!({"business": found.target_key}),
        Some(BatchTarget::Platform) => json!({"platform": found.platform}),
        Some(BatchTarget::Everything) => json!("everything"),
        Some(BatchTarget::Runs) | None => Value::Null,
    };
    BatchSummary {
        status: found.outcome.map_or("running", |outcome| outcome.as_str()),
        origin: found.origin.as_str(),
        counts: found.run_counts().map(Counts::from),
        records: found.records.as_deref().copied().map(Records::from),
        summary: found.summary(),
        schedule: found.schedule_id.map(|id| Named {
            id: id.0,
            key: found.schedule_key,
        }),
        id: found.id.0,
        nominal_at: found.nominal_at,
        requested_by: found.requested_by,
        target,
        streams: found.streams,
        kind: found.kind.map(RunKind::as_str),
        runs: found.runs,
        has_more: found.has_more,
        created_at: found.created_at,
        ended_at: found.ended_at,
        duration_ms: found
            .ended_at
            .map(|ended| (ended - found.created_at).num_milliseconds()),
    }
}

/// A batch as it is now.
pub(crate) async fn view(state: &AppState, id: BatchId) -> ApiResult<BatchView> {
    let mut db = state.database.session().await?;
    let found = batch::find(&mut db, id).await?;
    let mut found = found.ok_or_else(|| unknown(&id.to_string()))?;
    let left_out = std::mem::take(&mut found.left_out.0);
    let counts = match found.run_counts() {
        Some(counts) => counts,
        None => batch::count_runs(&mut db, &found).await?,
    };
    let mut batch = summarize(found);
    batch.counts = Some(counts.into());
    Ok(BatchView {
        batch,
        left_out: left_out
            .into_iter()
            .map(|left| LeftOutView {
                connection: left.connection,
                reason: left.reason,
            })
            .collect(),
    })
}

/// A batch that was asked for: 202 with its address.
pub(crate) async fn started(state: &AppState, id: BatchId) -> ApiResult<Response> {
    waited(state, id, Duration::ZERO).await
}

/// The same after a wait: 200 if it has ended, else 202.
pub(crate) async fn waited(state: &AppState, id: BatchId, wait: Duration) -> ApiResult<Response> {
    let found = wait_for(state, id, wait).await?;
    let status = if found.ended_at.is_some() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let location = format!("/api/v1/batches/{id}");
    let view = view(state, id).await?;
    Ok((status, [(header::LOCATION, location)], Json(view)).into_response())
}

fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no batch with the id {id:?}"))
}

fn read_id(text: &str) -> ApiResult<BatchId> {
    text.parse().map_err(|_| unknown(text))
}

/// List batches
///
/// The newest first, ended or not.
#[utoipa::path(
    get, path = "/api/v1/batches", tag = "Batches", operation_id = "listBatches",
    params(
        ("schedule" = Option<String>, Query, description = "Only those of this schedule: id or key"),
        ("ended" = Option<bool>, Query, description = "`true`: only those that have ended; `false`: only those that have not"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of batches", body = Page<BatchSummary>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such schedule", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Page<BatchSummary>>> {
    let schedule = params.text("schedule");
    let ended = params.text("ended");
    let mut filter = BatchFilter::default();
    match ended.as_deref() {
        None => {}
        Some("true") => filter.ended = Some(true),
        Some("false") => filter.ended = Some(false),
        Some(other) => {
            let detail = format!("ended {other:?} is not true or false");
            params.refuse(FieldProblem::new("ended", "type", detail));
        }
    }
    let page = PageRequest::read(&mut params);
    if let Some(after) = &page.after {
        match after.parse() {
            Ok(id) => filter.before = Some(id),
            Err(_) => params.refuse(FieldProblem::new(
                "cursor",
                "cursor",
                "the cursor is not one that this list gave out",
            )),
        }
    }
    params.finish()?;
    let mut db = state.database.session().await?;
    if let Some(name) = schedule {
        let found = schedule::find(&mut db, &name).await?.map(|found| found.id);
        // Batches outlive their schedule.
        let id = found.or_else(|| name.parse().ok());
        filter.schedule = Some(id.ok_or_else(|| ApiError::unknown("schedule", &name))?);
    }
    let found = batch::list(&mut db, &filter, page.fetch()).await?;
    Ok(Json(page.page(
        found,
        |batch| batch.id.to_string(),
        summarize,
    )))
}

/// Show a batch
///
/// With its counts as they are at this moment, and the connections that got no run.
#[utoipa::path(
    get, path = "/api/v1/batches/{id}", tag = "Batches", operation_id = "getBatch",
    params(("id" = String, Path, description = "The batch's id")),
    responses(
        (status = 200, description = "The batch", body = BatchView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<BatchView>> {
    view(&state, read_id(&id)?).await.map(Json)
}

/// Cancel a batch
///
/// No more of it is enqueued, and its unfinished runs are cancelled: at once where nobody executes them, else by their workers within
/// about a second. What they have written stays.
#[utoipa::path(
    post, path = "/api/v1/batches/{id}/cancel", tag = "Batches", operation_id = "cancelBatch",
    params(("id" = String, Path, description = "The batch's id")),
    request_body = Option<NoteInput>,
    responses(
        (status = 202, description = "Its runs are cancelled, or were asked to end", body = BatchView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already, or is a backfill's", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel_one(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Response> {
    params.finish()?;
    let note = read_note(&body)?;
    let id = read_id(&id)?;
    let mut db = state.database.begin().await?;
    let found = batch::find(&mut db, id).await?;
    let found = found.ok_or_else(|| unknown(&id.to_string()))?;
    if let Some(outcome) = found.outcome {
        let detail = format!("the batch has ended already: {outcome}");
        return Err(ApiError::state("ended", detail));
    }
    if found.origin == RunOrigin::Backfill {
        let detail = "the batch is a backfill's, which would go on; cancel the backfill: see /api/v1/backfills".to_owned();
        return Err(ApiError::state("backfill", detail));
    }
    batch::cancel(&mut db, id).await?;
    db.commit().await?;
    cancel_runs(&state, id, caller.name, note).await?;
    let view = view(&state, id).await?;
    Ok((StatusCode::ACCEPTED, Json(view)).into_response())
}

/// Cancels the unfinished runs of a batch that nothing is added to any more. Belongs to the process, not to the request: a caller who
/// hangs up does not leave half of it undone. It is harmless when repeated.
pub(crate) async fn cancel_runs(
    state: &AppState,
    id: BatchId,
    by: String,
    note: Option<String>,
) -> ApiResult<()> {
    let (tell, told) = oneshot::channel();
    let task = state.clone();
    state.life.spawn("cancel-batch", async move {
        let mut done = Ok(());
        while !task.life.draining().is_cancelled() {
            match answered(cancel_chunk(&task, id, &by, note.as_deref())).await {
                Ok(0) => break,
                Ok(_) => {
                    // Something may have stood behind them.
                    task.runs_queued.wake();
                    task.orders_changed.wake();
                }
                Err(error) => {
                    tracing::warn!(batch.id = %id, %error, "not all runs of batch {id} were cancelled: {error}");
                    done = Err(error);
                    break;
                }
            }
        }
        tell.send(done).ok();
        Ok(())
    });
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Ok(done)) => Ok(done?),
        Ok(Err(_)) => Err(ApiError::Unavailable("the process is stopping")),
        Err(_) => Ok(()),
    }
}

async fn cancel_chunk(
    state: &AppState,
    id: BatchId,
    by: &str,
    note: Option<&str>,
) -> DbResult<usize> {
    let mut db = state.database.begin().await?;
    let runs = batch::list_runs_to_cancel(&mut db, id, CANCEL_CHUNK).await?;
    for run in &runs {
        cancel(&mut db, *run, by, note).await?;
    }
    db.commit().await?;
    // Each of them has ended, or was asked to, and is not found again.
    Ok(runs.len())
}
