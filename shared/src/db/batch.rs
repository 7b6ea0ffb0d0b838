//! Batches, and whom a batch concerns.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{DbConnection, DbResult};
use crate::ids::{BatchId, BusinessId, ConnectionId, ScheduleId};
use crate::run::RunOrigin;
use crate::schedule::TargetKind;

/// A connection that a target covers.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The connection.
    pub connection_id: ConnectionId,
    /// Its key.
    pub key: String,
    /// Its business.
    pub business_id: BusinessId,
    /// Its platform.
    pub platform: String,
    /// False: nothing is to be enqueued for it.
    pub enabled: bool,
    /// True: an earlier run of the same schedule on it is unfinished.
    pub busy: bool,
}

/// What a target is made of.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its kind.
    pub kind: TargetKind,
    /// The connection, if that is the kind.
    pub connection_id: Option<ConnectionId>,
    /// The business, if that is the kind.
    pub business_id: Option<BusinessId>,
    /// The platform, if that is the kind.
    pub platform: Option<&'a str>,
}

/// A connection that got no run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// The schedule, if one asked for it.
    pub schedule_id: Option<ScheduleId>,
    /// The due moment, if a schedule asked for it.
    pub nominal_at: Option<DateTime<Utc>>,
    /// Who asked for it, if a person did.
    pub requested_by: Option<&'a str>,
    /// How many runs it has.
    pub runs: usize,
    /// Connections that got none.
    pub left_out: &'a [LeftOut],
}

/// The connections of a target, in the order of their keys.
pub async fn list_candidates(
    db: &mut DbConnection,
    schedule: Option<ScheduleId>,
    target: Target<'_>,
) -> DbResult<Vec<Candidate>> {
    Ok(sqlx::query_as!(
        Candidate,
        r#"select c.id as "connection_id: ConnectionId", c.key, c.business_id as "business_id: BusinessId",
                  c.platform, c.enabled,
                  exists (select from syncline.run r
                          where r.schedule_id = $1 and r.connection_id = c.id) as "busy!"
           from syncline.connection c
           where case $2
                     when 'connection' then c.id = $3
                     when 'business' then c.business_id = $4
                     when 'platform' then c.platform = $5
                     else true
                 end
           order by c.key"#,
        schedule.map(|id| id.0),
        target.kind.as_str(),
        target.connection_id.map(|id| id.0),
        target.business_id.map(|id| id.0),
        target.platform
    )
    .fetch_all(db)
    .await?)
}

/// Creates a batch.
pub async fn create(db: &mut DbConnection, batch: &NewBatch<'_>) -> DbResult<BatchId> {
    let left_out = serde_json::to_value(batch.left_out).unwrap_or_default();
    Ok(sqlx::query_scalar!(
        r#"insert into syncline.batch (origin, schedule_id, nominal_at, requested_by, runs, left_out)
           values ($1, $2, $3, $4, $5, $6)
           returning id as "id: BatchId""#,
        batch.origin.as_str(),
        batch.schedule_id.map(|id| id.0),
        batch.nominal_at,
        batch.requested_by,
        i32::try_from(batch.runs).unwrap_or(i32::MAX),
        left_out
    )
    .fetch_one(db)
    .await?)
}
