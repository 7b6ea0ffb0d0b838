//! Batches: the runs of one tick, of one request or of one backfill, from their order to their summary.

mod candidates;
mod close;
mod counts;
mod fan_out;
mod find;

pub use candidates::{Candidate, Target};
pub use close::{Closed, close_ended, only_closer};
pub use counts::{BatchCounts, sum_counts};
pub use fan_out::{CHUNK, FanOut, FannedOut, Order, continue_fan_out, fan_out};
pub use find::{
    BatchFilter, BatchView, RunCounts, cancel, count_runs, find, list, list_runs_to_cancel,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DbConnection, DbResult};
use crate::ids::{BatchId, BusinessId, ConnectionId, ScheduleId};
use crate::run::{RunKind, RunOrigin};
use crate::words::words;

words! {
    /// What a batch was asked for.
    pub enum BatchTarget {
        /// One connection.
        Connection = "connection",
        /// All connections of a business.
        Business = "business",
        /// All connections of a platform.
        Platform = "platform",
        /// All connections.
        Everything = "everything",
        /// Single runs that are repeated.
        Runs = "runs",
    }
}

/// A connection that got no run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The connection's key.
    pub connection: String,
    /// Why.
    pub reason: String,
}

/// What a batch is created from.
#[derive(Debug, Clone)]
pub struct NewBatch<'a> {
    /// What asked for it.
    pub origin: RunOrigin,
    /// The schedule, if one asked for it, or was triggered by hand.
    pub schedule_id: Option<ScheduleId>,
    /// The due moment, if a tick asked for it.
    pub nominal_at: Option<DateTime<Utc>>,
    /// Who asked for it, if a person did.
    pub requested_by: Option<&'a str>,
    /// What it was asked for.
    pub target: BatchTarget,
    /// The connection, if that is the target.
    pub connection_id: Option<ConnectionId>,
    /// The business, if that is the target.
    pub business_id: Option<BusinessId>,
    /// The platform, if that is the target.
    pub platform: Option<&'a str>,
    /// Only these streams.
    pub streams: Option<&'a [String]>,
    /// Kind of its runs, if they are of one.
    pub kind: Option<RunKind>,
    /// How many runs it has now.
    pub runs: usize,
    /// Connections that got none.
    pub left_out: &'a [LeftOut],
    /// What is still to be enqueued, and how.
    pub rest: Option<Value>,
}

impl<'a> NewBatch<'a> {
    /// A batch of a request for runs of one connection.
    pub fn of_connection(connection: ConnectionId, requested_by: &'a str) -> Self {
        Self {
            target: BatchTarget::Connection,
            connection_id: Some(connection),
            runs: 1,
            ..Self::of_runs(requested_by)
        }
    }

    /// A batch of a request for single runs.
    pub fn of_runs(requested_by: &'a str) -> Self {
        Self {
            origin: RunOrigin::Manual,
            schedule_id: None,
            nominal_at: None,
            requested_by: Some(requested_by),
            target: BatchTarget::Runs,
            connection_id: None,
            business_id: None,
            platform: None,
            streams: None,
            kind: None,
            runs: 0,
            left_out: &[],
            rest: None,
        }
    }
}

/// Creates a batch.
pub async fn create(db: &mut DbConnection, batch: &NewBatch<'_>) -> DbResult<BatchId> {
    let ids = create_all(db, std::slice::from_ref(batch)).await?;
    ids.first()
        .copied()
        .ok_or_else(|| sqlx::Error::RowNotFound.into())
}

/// Creates batches in one round trip. Answers their ids in the order of the input.
pub async fn create_all(db: &mut DbConnection, batches: &[NewBatch<'_>]) -> DbResult<Vec<BatchId>> {
    let column = |of: fn(&NewBatch<'_>) -> Option<uuid::Uuid>| -> Vec<Option<uuid::Uuid>> {
        batches.iter().map(of).collect()
    };
    let origins: Vec<_> = batches
        .iter()
        .map(|b| b.origin.as_str().to_owned())
        .collect();
    let schedules = column(|b| b.schedule_id.map(|id| id.0));
    let nominals: Vec<_> = batches.iter().map(|b| b.nominal_at).collect();
    let requested: Vec<_> = batches
        .iter()
        .map(|b| b.requested_by.map(str::to_owned))
        .collect();
    let targets: Vec<_> = batches
        .iter()
        .map(|b| b.target.as_str().to_owned())
        .collect();
    let connections = column(|b| b.connection_id.map(|id| id.0));
    let businesses = column(|b| b.business_id.map(|id| id.0));
    let platforms: Vec<_> = batches
        .iter()
        .map(|b| b.platform.map(str::to_owned))
        .collect();
    let streams: Vec<_> = batches
        .iter()
        .map(|b| {
            b.streams
                .and_then(|streams| serde_json::to_value(streams).ok())
        })
        .collect();
    let kinds: Vec<_> = batches
        .iter()
        .map(|b| b.kind.map(|kind| kind.as_str().to_owned()))
        .collect();
    let runs: Vec<_> = batches
        .iter()
        .map(|b| i32::try_from(b.runs).unwrap_or(i32::MAX))
        .collect();
    let left_out: Vec<_> = batches
        .iter()
        .map(|b| serde_json::to_value(b.left_out).unwrap_or_default())
        .collect();
    let rest: Vec<_> = batches.iter().map(|b| b.rest.clone()).collect();
    // The ids are made before the insert, whose rows come back in no promised order.
    Ok(sqlx::query_scalar!(
        r#"with input as materialized (
               select syncline.new_run_id() as id, i.*
               from unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::uuid[], $7::uuid[],
                           $8::text[], $9::jsonb[], $10::text[], $11::int[], $12::jsonb[], $13::jsonb[])
                    with ordinality as i (origin, schedule_id, nominal_at, requested_by, target, connection_id,
                        business_id, platform, streams, kind, runs, left_out, rest, ordinal)
           ),
           made as (
               insert into syncline.batch (id, origin, schedule_id, nominal_at, requested_by, target, connection_id,
                   business_id, platform, streams, kind, runs, left_out, rest)
               select id, origin, schedule_id, nominal_at, requested_by, target, connection_id, business_id, platform,
                      case when streams is not null then array(select jsonb_array_elements_text(streams)) end,
                      kind, runs, left_out, rest
               from input
           )
           select id as "id!: BatchId" from input order by ordinal"#,
        &origins,
        &schedules as &[Option<uuid::Uuid>],
        &nominals as &[Option<DateTime<Utc>>],
        &requested as &[Option<String>],
        &targets,
        &connections as &[Option<uuid::Uuid>],
        &businesses as &[Option<uuid::Uuid>],
        &platforms as &[Option<String>],
        &streams as &[Option<Value>],
        &kinds as &[Option<String>],
        &runs,
        &left_out,
        &rest as &[Option<Value>]
    )
    .fetch_all(db)
    .await?)
}
