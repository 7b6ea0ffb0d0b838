//! Starting runs on request: of any target, by itself or for a schedule. Joins the caller's transaction.

use std::time::Duration;

use serde_json::Value;
use syncline_engine::Catalog;
use syncline_shared::db::DbConnection;
use syncline_shared::db::batch::{self, BatchView, FannedOut, Order};
use syncline_shared::db::schedule::Schedule;
use syncline_shared::ids::BatchId;
use syncline_shared::run::{PRIORITY_MANUAL, RunKind, RunOrigin};
use syncline_shared::schedule::Overlap;
use tokio::time::Instant;

use crate::error::{ApiError, ApiResult};
use crate::resources::lookup::resolve_target;
use crate::resources::schedule::{ResolvedTarget, TargetInput, check_streams_of};
use crate::resources::{Notes, accept};
use crate::state::AppState;

/// How often a wait looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Connections named in a sentence.
const MOST_NAMED: usize = 5;

/// Runs to be started.
#[derive(Debug, Clone)]
pub(crate) struct Start<'a> {
    /// What to sync.
    pub target: &'a TargetInput,
    /// Only these streams; `None`: those the connections have chosen.
    pub streams: Option<&'a [String]>,
    /// How much the runs read.
    pub kind: RunKind,
    /// The page, if that is the kind.
    pub page: Option<i64>,
    /// How long until they are due.
    pub delay: Duration,
}

/// Checks what is asked for, and enqueues it as one batch. Fails if no connection gets a run.
pub(crate) async fn start(
    db: &mut DbConnection,
    catalog: &Catalog,
    start: &Start<'_>,
    requested_by: &str,
) -> ApiResult<BatchId> {
    let mut notes = Notes::default();
    let resolved = resolve_target(db, start.target, "", &mut notes).await?;
    if let Some((_, platform)) = &resolved {
        if let TargetInput::Platform(named) = start.target
            && catalog.find(named).is_none()
        {
            let detail = format!(
                "there is no platform {named:?}; known: {}",
                catalog.platforms()
            );
            notes.refuse("/target/platform", "unknown-platform", detail);
        }
        let platform = platform.as_deref();
        check_streams_of(start.streams, start.kind, platform, catalog, "", &mut notes);
    }
    accept(notes)?;
    let Some((target, _)) = resolved else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    enqueue(db, target, start, requested_by).await
}

async fn enqueue(
    db: &mut DbConnection,
    target: ResolvedTarget,
    start: &Start<'_>,
    requested_by: &str,
) -> ApiResult<BatchId> {
    let order = Order {
        origin: RunOrigin::Manual,
        schedule_id: None,
        nominal_at: None,
        requested_by: Some(requested_by),
        target: target.for_batch(),
        streams: start.streams,
        kind: start.kind,
        page: start.page,
        priority: PRIORITY_MANUAL,
        // Runs of requests wait behind one another.
        overlap: Overlap::QueueAll,
        spread_seconds: 0,
        delay: start.delay,
        time_limit_seconds: None,
    };
    make(db, order).await
}

/// What a request for a schedule's runs may say otherwise than the schedule.
#[derive(Debug, Clone, Default)]
pub(crate) struct TriggerNow {
    /// Only these streams.
    pub streams: Option<Vec<String>>,
    /// How much the runs read, and the page.
    pub kind: Option<(RunKind, Option<i64>)>,
    /// What is done about unfinished runs of the schedule.
    pub overlap: Option<Overlap>,
}

/// Enqueues a schedule's runs as one batch, now. It makes no tick, and may rest. Fails if no connection gets a run.
pub(crate) async fn trigger(
    db: &mut DbConnection,
    schedule: &Schedule,
    asked: &TriggerNow,
    requested_by: &str,
) -> ApiResult<BatchId> {
    let policy = schedule
        .policy()
        .map_err(|problem| ApiError::state("unreadable", problem.to_string()))?;
    let (kind, page) = asked.kind.unwrap_or((schedule.kind, schedule.page));
    let target = ResolvedTarget {
        kind: schedule.target,
        connection: schedule.connection_id,
        business: schedule.business_id,
        platform: schedule.platform.clone(),
    };
    let order = Order {
        origin: RunOrigin::Manual,
        schedule_id: Some(schedule.id),
        nominal_at: None,
        requested_by: Some(requested_by),
        target: target.for_batch(),
        streams: asked.streams.as_deref().or(schedule.streams.as_deref()),
        kind,
        page,
        // Somebody waits for it.
        priority: schedule.priority.min(PRIORITY_MANUAL),
        overlap: asked.overlap.unwrap_or(policy.overlap),
        spread_seconds: 0,
        delay: Duration::ZERO,
        time_limit_seconds: schedule.time_limit_seconds,
    };
    make(db, order).await
}

async fn make(db: &mut DbConnection, order: Order<'_>) -> ApiResult<BatchId> {
    let fan_out = batch::fan_out(db, &[order]).await?;
    let made = fan_out.enqueue(db).await?.pop();
    let made =
        made.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("nothing was made of an order")))?;
    made.batch_id.ok_or_else(|| nothing_started(&made))
}

fn nothing_started(made: &FannedOut) -> ApiError {
    let mut reasons: Vec<String> = made
        .left_out
        .iter()
        .take(MOST_NAMED)
        .map(|left| format!("{}: {}", left.connection, left.reason))
        .collect();
    let others = made.left_out.len().saturating_sub(MOST_NAMED);
    if others > 0 {
        reasons.push(format!("and {others} more"));
    }
    let detail = if reasons.is_empty() {
        "nothing was started: there is no connection to sync".to_owned()
    } else {
        format!("nothing was started; {}", reasons.join("; "))
    };
    ApiError::state("nothing-started", detail)
}

/// The batch when it has ended, or as it is when the time is up or the process drains.
pub(crate) async fn wait_for(
    state: &AppState,
    id: BatchId,
    wait: Duration,
) -> ApiResult<BatchView> {
    let deadline = Instant::now() + wait;
    loop {
        let mut db = state.database.session().await?;
        let found = batch::find(&mut db, id).await?;
        drop(db);
        let found = found.ok_or_else(|| {
            ApiError::NotFound(format!(
                "there is no batch with the id {:?}",
                id.to_string()
            ))
        })?;
        let up = Instant::now() >= deadline || state.life.draining().is_cancelled();
        if found.ended_at.is_some() || up {
            return Ok(found);
        }
        tokio::select! {
            () = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_EVERY)) => {}
            () = state.life.draining().cancelled() => {}
        }
    }
}

/// The batch of an answer that was remembered under an idempotency key.
pub(crate) fn made_batch(made: &Value) -> ApiResult<BatchId> {
    let id = made["batch"].as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("no batch is remembered under the key")))
}
