//! Whom a target covers, and which of its connections get a run.

use uuid::Uuid;

use crate::db::{DbConnection, DbResult};
use crate::ids::{BusinessId, ConnectionId, RunId, ScheduleId};
use crate::schedule::TargetKind;

/// What a target is made of.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its kind.
    pub kind: TargetKind,
    /// The connection, if that is the kind.
    pub connection_id: Option<ConnectionId>,
    /// The business, if that is the kind.
    pub business_id: Option<BusinessId>,
    /// The platform, if that is the kind.
    pub platform: Option<String>,
}

/// A connection that a target covers.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which of the targets asked for, from 1.
    pub ordinal: i64,
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
    /// Unfinished runs of the same schedule on it.
    pub unfinished: Vec<RunId>,
    /// How many of these are not running.
    pub not_running: i64,
}

/// Whom to look for.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) target: &'a Target,
    /// Whose unfinished runs count.
    pub(super) schedule: Option<ScheduleId>,
    /// Only connections whose keys follow this one.
    pub(super) after_key: Option<&'a str>,
}

/// The connections of targets, each target's in the order of their keys, `limit` of each at most.
pub(super) async fn list_candidates(
    db: &mut DbConnection,
    questions: &[Question<'_>],
    limit: i64,
) -> DbResult<Vec<Candidate>> {
    let kinds: Vec<_> = questions
        .iter()
        .map(|q| q.target.kind.as_str().to_owned())
        .collect();
    let connections: Vec<_> = questions
        .iter()
        .map(|q| q.target.connection_id.map(|id| id.0))
        .collect();
    let businesses: Vec<_> = questions
        .iter()
        .map(|q| q.target.business_id.map(|id| id.0))
        .collect();
    let platforms: Vec<_> = questions
        .iter()
        .map(|q| q.target.platform.clone())
        .collect();
    let schedules: Vec<_> = questions
        .iter()
        .map(|q| q.schedule.map(|id| id.0))
        .collect();
    let after: Vec<_> = questions
        .iter()
        .map(|q| q.after_key.unwrap_or_default().to_owned())
        .collect();
    // A branch a kind of target, so that each is a look-up along an index of its own. Single connections, of which a scheduler asks for
    // hundreds at once, do without the other branches.
    Ok(sqlx::query_as!(
        Candidate,
        r#"with questions as materialized (
               select * from unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[]) with ordinality
                   as q (kind, connection_id, business_id, platform, schedule_id, after_key, ordinal)
           )
           select c.ordinal as "ordinal!", c.id as "connection_id!: ConnectionId", c.key as "key!",
                  c.business_id as "business_id!: BusinessId", c.platform as "platform!", c.enabled as "enabled!",
                  u.ids as "unfinished!: Vec<RunId>", u.not_running as "not_running!"
           from (
               select q.ordinal, q.schedule_id, c.id, c.key, c.business_id, c.platform, c.enabled
               from questions q
               cross join lateral (
                   select * from syncline.connection c
                   where c.id = q.connection_id and c.key > q.after_key offset 0) c
               where q.kind = 'connection'
               union all
               select q.ordinal, q.schedule_id, c.id, c.key, c.business_id, c.platform, c.enabled
               from questions q
               cross join lateral (
                   (select c.* from syncline.connection c
                    where q.kind = 'business' and c.business_id = q.business_id and c.key > q.after_key
                    order by c.key limit $7)
                   union all
                   (select c.* from syncline.connection c
                    where q.kind = 'platform' and c.platform = q.platform and c.key > q.after_key
                    order by c.key limit $7)
                   union all
                   (select c.* from syncline.connection c
                    where q.kind = 'everything' and c.key > q.after_key
                    order by c.key limit $7)) c
               where q.kind <> 'connection') c
           cross join lateral (
               select coalesce(array_agg(r.id), '{}') as ids, count(*) filter (where r.state <> 'running') as not_running
               from syncline.run r where r.schedule_id = c.schedule_id and r.connection_id = c.id) u
           order by c.ordinal, c.key"#,
        &kinds,
        &connections as &[Option<Uuid>],
        &businesses as &[Option<Uuid>],
        &platforms as &[Option<String>],
        &schedules as &[Option<Uuid>],
        &after,
        limit
    )
    .fetch_all(db)
    .await?)
}
