//! Fanning out: a target becomes runs, a bounded number in one transaction; the rest follows chunk by chunk.
//!
//! A batch remembers how far it came, so that any scheduler goes on after a crash. Which connections get a run is decided when
//! their chunk is: what is disabled by then, or busy, is left out with the reason.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::candidates::{Candidate, Question, Target, list_candidates};
use super::{BatchTarget, LeftOut, NewBatch, create_all};
use crate::db::run::{BatchOfRuns, NewRun, RunTarget, cancel, enqueue_all};
use crate::db::{DbConnection, DbResult};
use crate::ids::{BatchId, RunId, ScheduleId};
use crate::run::{RunKind, RunOrigin, SYNC_QUEUE};
use crate::schedule::{Overlap, TargetKind, delay};

/// Connections that one transaction decides at most.
pub const CHUNK: usize = 1_000;
/// Connections left out of which a batch keeps the reason: the page that shows them must stay readable.
const MOST_LEFT_OUT: usize = 1_000;

/// A batch to be made of a target.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// What asks for it.
    pub origin: RunOrigin,
    /// The schedule that asks for it, or that was triggered by hand.
    pub schedule_id: Option<ScheduleId>,
    /// The due moment, if a tick asks for it.
    pub nominal_at: Option<DateTime<Utc>>,
    /// Who asks for it, if a person does.
    pub requested_by: Option<&'a str>,
    /// What to sync.
    pub target: Target,
    /// Only these streams; `None`: those the connections have chosen.
    pub streams: Option<&'a [String]>,
    /// How much the runs read.
    pub kind: RunKind,
    /// The page, if that is the kind.
    pub page: Option<i64>,
    /// Priority of the runs.
    pub priority: i16,
    /// What is done about unfinished runs of the same schedule.
    pub overlap: Overlap,
    /// The runs are spread over this many seconds.
    pub spread_seconds: u32,
    /// How long until they are due.
    pub delay: Duration,
    /// They end as failed so many seconds after their first start.
    pub time_limit_seconds: Option<i32>,
}

/// What has become of an order.
#[derive(Debug, Clone)]
pub struct FannedOut {
    /// The batch; `None`: no connection got a run, and there is none.
    pub batch_id: Option<BatchId>,
    /// Its runs so far.
    pub runs: usize,
    /// Connections left out so far, a bounded number.
    pub left_out: Vec<LeftOut>,
    /// True if more connections follow.
    pub has_more: bool,
}

/// What a batch needs to go on.
#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    after_key: String,
    page: Option<i64>,
    priority: i16,
    overlap: Overlap,
    spread_seconds: u32,
    time_limit_seconds: Option<i32>,
}

/// The runs of a chunk.
#[derive(Default)]
struct Chosen {
    targets: Vec<RunTarget>,
    left_out: Vec<LeftOut>,
    cancel: Vec<RunId>,
}

/// Batches that were made, and their runs, which are still to be enqueued.
#[derive(Debug, Default)]
#[must_use = "the runs of the batches are still to be enqueued, in the same transaction"]
pub struct FanOut<'a> {
    /// What becomes of each order, in the order of the input.
    pub made: Vec<FannedOut>,
    runs: Vec<BatchOfRuns<'a>>,
}

impl FanOut<'_> {
    /// Enqueues the runs. From here to the COMMIT no other transaction enqueues for the businesses concerned, so this is best the last
    /// statement.
    pub async fn enqueue(self, db: &mut DbConnection) -> DbResult<Vec<FannedOut>> {
        enqueue_all(db, SYNC_QUEUE, &self.runs).await?;
        Ok(self.made)
    }
}

/// Makes a batch of each order, and the runs of its first [`CHUNK`] connections at most, all in a handful of round trips.
pub async fn fan_out<'a>(db: &mut DbConnection, orders: &[Order<'a>]) -> DbResult<FanOut<'a>> {
    if orders.is_empty() {
        return Ok(FanOut::default());
    }
    let questions: Vec<_> = orders
        .iter()
        .map(|order| Question {
            target: &order.target,
            schedule: order.schedule_id,
            after_key: None,
        })
        .collect();
    let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX) + 1;
    let mut candidates: HashMap<i64, Vec<Candidate>> = HashMap::new();
    for candidate in list_candidates(db, &questions, limit).await? {
        candidates
            .entry(candidate.ordinal)
            .or_default()
            .push(candidate);
    }
    let mut made = Vec::with_capacity(orders.len());
    let mut chosen = Vec::with_capacity(orders.len());
    let mut batches = Vec::with_capacity(orders.len());
    for (order, ordinal) in orders.iter().zip(1..) {
        let mut found = candidates.remove(&ordinal).unwrap_or_default();
        let has_more = found.len() > CHUNK;
        found.truncate(CHUNK);
        let rest = found.last().filter(|_| has_more).map(|last| Rest {
            after_key: last.key.clone(),
            page: order.page,
            priority: order.priority,
            overlap: order.overlap,
            spread_seconds: order.spread_seconds,
            time_limit_seconds: order.time_limit_seconds,
        });
        chosen.push(choose(found, order));
        made.push(FannedOut {
            batch_id: None,
            runs: 0,
            left_out: Vec::new(),
            has_more,
        });
        batches.push(rest);
    }
    cancel_overlapping(db, &chosen).await?;

    // Only what has runs, or may get some, becomes a batch.
    let wanted: Vec<usize> = (0..orders.len())
        .filter(|index| !chosen[*index].targets.is_empty() || made[*index].has_more)
        .collect();
    let new: Vec<_> = wanted
        .iter()
        .map(|index| new_batch(&orders[*index], &chosen[*index], batches[*index].as_ref()))
        .collect();
    let ids = create_all(db, &new).await?;
    drop(new);
    let mut runs = Vec::with_capacity(wanted.len());
    for (index, id) in wanted.into_iter().zip(ids) {
        made[index].batch_id = Some(id);
        made[index].runs = chosen[index].targets.len();
        let targets = std::mem::take(&mut chosen[index].targets);
        let new = new_run(&orders[index], id);
        runs.push(BatchOfRuns { new, targets });
    }
    for (made, chosen) in made.iter_mut().zip(chosen) {
        made.left_out = chosen.left_out;
    }
    Ok(FanOut { made, runs })
}

/// Goes on with a batch that is not wholly enqueued, by one chunk. Answers how many runs were enqueued; `None`: there is no such
/// batch, or others are at it.
pub async fn continue_fan_out(db: &mut DbConnection) -> DbResult<Option<usize>> {
    let Some(batch) = sqlx::query!(
        r#"select id as "id: BatchId", origin as "origin: RunOrigin", schedule_id as "schedule_id: ScheduleId", nominal_at,
                  requested_by, target as "target!: BatchTarget", connection_id as "connection_id: crate::ids::ConnectionId",
                  business_id as "business_id: crate::ids::BusinessId", platform, streams, kind as "kind!: RunKind",
                  rest as "rest!", left_out
           from syncline.batch where rest is not null and origin <> 'backfill' order by id limit 1
           for update skip locked"#
    )
    .fetch_optional(&mut *db)
    .await?
    else {
        return Ok(None);
    };
    let mut left_out: Vec<LeftOut> = serde_json::from_value(batch.left_out).unwrap_or_default();
    let rest: Rest = match serde_json::from_value(batch.rest) {
        Ok(rest) => rest,
        Err(error) => {
            left_out.push(LeftOut {
                connection: "*".to_owned(),
                reason: format!(
                    "what was left of the batch cannot be read by this release: {error}"
                ),
            });
            save_rest(db, batch.id, 0, &left_out, None).await?;
            return Ok(Some(0));
        }
    };
    let kind = match batch.target {
        BatchTarget::Connection | BatchTarget::Runs => TargetKind::Connection,
        BatchTarget::Business => TargetKind::Business,
        BatchTarget::Platform => TargetKind::Platform,
        BatchTarget::Everything => TargetKind::Everything,
    };
    let order = Order {
        origin: batch.origin,
        schedule_id: batch.schedule_id,
        nominal_at: batch.nominal_at,
        requested_by: batch.requested_by.as_deref(),
        target: Target {
            kind,
            connection_id: batch.connection_id,
            business_id: batch.business_id,
            platform: batch.platform,
        },
        streams: batch.streams.as_deref(),
        kind: batch.kind,
        page: rest.page,
        priority: rest.priority,
        overlap: rest.overlap,
        spread_seconds: rest.spread_seconds,
        delay: Duration::ZERO,
        time_limit_seconds: rest.time_limit_seconds,
    };
    let question = Question {
        target: &order.target,
        schedule: order.schedule_id,
        after_key: Some(&rest.after_key),
    };
    let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX) + 1;
    let mut found = list_candidates(db, &[question], limit).await?;
    let has_more = found.len() > CHUNK;
    found.truncate(CHUNK);
    let after_key = found
        .last()
        .filter(|_| has_more)
        .map(|last| last.key.clone());
    let chosen = choose(found, &order);
    cancel_overlapping(db, std::slice::from_ref(&chosen)).await?;
    let enqueued = chosen.targets.len();
    let runs = BatchOfRuns {
        new: new_run(&order, batch.id),
        targets: chosen.targets,
    };
    enqueue_all(db, SYNC_QUEUE, &[runs]).await?;
    left_out.extend(chosen.left_out);
    left_out.truncate(MOST_LEFT_OUT);
    let rest = after_key.map(|after_key| Rest { after_key, ..rest });
    save_rest(db, batch.id, enqueued, &left_out, rest.as_ref()).await?;
    Ok(Some(enqueued))
}

async fn save_rest(
    db: &mut DbConnection,
    id: BatchId,
    enqueued: usize,
    left_out: &[LeftOut],
    rest: Option<&Rest>,
) -> DbResult<()> {
    sqlx::query!(
        "update syncline.batch set runs = runs + $2, left_out = $3, rest = $4 where id = $1",
        id.0,
        i32::try_from(enqueued).unwrap_or(i32::MAX),
        serde_json::to_value(left_out).unwrap_or_default(),
        rest.and_then(|rest| serde_json::to_value(rest).ok()) as Option<Value>
    )
    .execute(db)
    .await?;
    Ok(())
}

fn choose(found: Vec<Candidate>, order: &Order<'_>) -> Chosen {
    let mut chosen = Chosen::default();
    for candidate in found {
        if let Some(reason) = reason_to_leave_out(&candidate, order) {
            chosen.left_out.push(LeftOut {
                connection: candidate.key,
                reason: reason.to_owned(),
            });
            continue;
        }
        if order.overlap == Overlap::CancelRunning {
            chosen.cancel.extend(candidate.unfinished);
        }
        let spread = match (order.schedule_id, order.nominal_at) {
            (Some(schedule), Some(nominal)) if order.spread_seconds > 0 => delay::spread_delay(
                schedule,
                nominal,
                candidate.connection_id,
                TimeDelta::seconds(order.spread_seconds.into()),
            ),
            _ => TimeDelta::zero(),
        };
        chosen.targets.push(RunTarget {
            connection_id: candidate.connection_id,
            business_id: candidate.business_id,
            platform: candidate.platform,
            retry_of: None,
            delay: spread.to_std().unwrap_or_default(),
        });
    }
    chosen.left_out.truncate(MOST_LEFT_OUT);
    chosen
}

fn reason_to_leave_out(candidate: &Candidate, order: &Order<'_>) -> Option<&'static str> {
    if !candidate.enabled {
        return Some("the connection is disabled");
    }
    match order.overlap {
        Overlap::Skip if !candidate.unfinished.is_empty() => {
            Some("its run of an earlier tick is unfinished")
        }
        Overlap::QueueOne if candidate.not_running > 0 => {
            Some("a run of an earlier tick is waiting already")
        }
        _ => None,
    }
}

/// Asks to cancel what the new runs replace.
async fn cancel_overlapping(db: &mut DbConnection, chosen: &[Chosen]) -> DbResult<()> {
    let mut ids: Vec<RunId> = chosen.iter().flat_map(|one| one.cancel.clone()).collect();
    // In one order, so that two schedulers cannot wait for each other.
    ids.sort_unstable();
    for id in ids {
        cancel(
            db,
            id,
            "its schedule",
            Some("a new tick came, and the schedule cancels what overlaps"),
        )
        .await?;
    }
    Ok(())
}

fn new_batch<'a>(order: &'a Order<'_>, chosen: &'a Chosen, rest: Option<&Rest>) -> NewBatch<'a> {
    NewBatch {
        origin: order.origin,
        schedule_id: order.schedule_id,
        nominal_at: order.nominal_at,
        requested_by: order.requested_by,
        target: match order.target.kind {
            TargetKind::Connection => BatchTarget::Connection,
            TargetKind::Business => BatchTarget::Business,
            TargetKind::Platform => BatchTarget::Platform,
            TargetKind::Everything => BatchTarget::Everything,
        },
        connection_id: order.target.connection_id,
        business_id: order.target.business_id,
        platform: order.target.platform.as_deref(),
        streams: order.streams,
        kind: Some(order.kind),
        runs: chosen.targets.len(),
        left_out: &chosen.left_out,
        rest: rest.and_then(|rest| serde_json::to_value(rest).ok()),
    }
}

fn new_run<'a>(order: &Order<'a>, batch_id: BatchId) -> NewRun<'a> {
    NewRun {
        queue: SYNC_QUEUE,
        batch_id,
        schedule_id: order.schedule_id,
        origin: order.origin,
        requested_by: order.requested_by,
        kind: order.kind,
        streams: order.streams,
        page: order.page,
        range: None,
        priority: order.priority,
        delay: order.delay,
        time_limit_seconds: order.time_limit_seconds,
    }
}
