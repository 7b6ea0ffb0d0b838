//! The questions that only pages ask: how things stand, in numbers and lists.
//!
//! None counts the history: what is asked of it is the head of an index, per connection or schedule.

use chrono::{DateTime, Utc};

use super::history::RunFilter;
use super::{DbConnection, DbResult};
use crate::ids::{BatchId, ConnectionId, RunId, ScheduleId};
use crate::run::{FailureKind, RunStatus};
use crate::schedule::TickOutcome;

/// How the enabled connections are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Enabled connections.
    pub connections: i64,
    /// Those whose latest complete sync succeeded.
    pub up_to_date: i64,
    /// Those whose latest complete sync failed, in part or in whole.
    pub failing: i64,
    /// Those that have never been synced.
    pub new: i64,
}

/// What a connection is doing, and how it did last.
#[derive(Debug, Clone)]
pub struct ConnectionState {
    /// The connection.
    pub connection_id: ConnectionId,
    /// Its first unfinished run: the one that runs, else the oldest.
    pub present_id: Option<RunId>,
    /// What that run is doing.
    pub present: Option<RunStatus>,
    /// The run that ended last.
    pub last_id: Option<RunId>,
    /// How it ended.
    pub last: Option<RunStatus>,
    /// When it ended.
    pub last_at: Option<DateTime<Utc>>,
    /// The kind of its error.
    pub last_kind: Option<String>,
    /// Its error.
    pub last_error: Option<String>,
    /// When the latest complete sync that succeeded began: what the platform held then is here.
    pub fresh_at: Option<DateTime<Utc>>,
}

/// A tick of one of several schedules.
#[derive(Debug, Clone)]
pub struct ScheduleTick {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The due moment; of a gap, the first.
    pub nominal_at: DateTime<Utc>,
    /// How many due moments it stands for.
    pub moments: i64,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why it did not fire.
    pub reason: Option<String>,
}

impl ConnectionState {
    /// True if the last error asks for a person.
    pub fn needs_person(&self) -> bool {
        self.last == Some(RunStatus::Failed)
            && self.last_kind.as_deref() == Some(FailureKind::NeedsPerson.as_str())
    }
}

/// Counts the enabled connections by how their latest complete sync ended. Cancelled ones and single pages say nothing.
pub async fn count_health(db: &mut DbConnection) -> DbResult<Health> {
    Ok(sqlx::query_as!(
        Health,
        r#"select count(*) as "connections!",
                  count(*) filter (where h.outcome = 'succeeded') as "up_to_date!",
                  count(*) filter (where h.outcome in ('failed', 'partial')) as "failing!",
                  count(*) filter (where h.outcome is null) as "new!"
           from syncline.connection c
           left join lateral (
               select outcome from syncline.run_history
               where connection_id = c.id and kind <> 'page' and outcome <> 'cancelled'
               order by id desc limit 1
           ) h on true
           where c.enabled"#
    )
    .fetch_one(db)
    .await?)
}

/// The state of each of these connections, in no order.
pub async fn list_connection_states(
    db: &mut DbConnection,
    ids: &[ConnectionId],
) -> DbResult<Vec<ConnectionState>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    Ok(sqlx::query_as!(
        ConnectionState,
        r#"with present as (
               select distinct on (connection_id) connection_id, id,
                      case when state = 'running' then 'running' when state = 'queued' then 'queued'
                           when wait_reason = 'backoff' then 'retrying' else 'waiting' end as status
               from syncline.run
               where connection_id = any ($1)
               order by connection_id, state = 'running' desc, id
           )
           select c.id as "connection_id!: ConnectionId",
                  p.id as "present_id?: RunId", p.status as "present?: RunStatus",
                  l.id as "last_id?: RunId", l.outcome as "last?: RunStatus", l.finished_at as "last_at?",
                  l.last_error ->> 'kind' as last_kind, l.last_error ->> 'message' as last_error,
                  f.started_at as "fresh_at?"
           from unnest($1::uuid[]) as c (id)
           left join present p on p.connection_id = c.id
           left join lateral (
               select id, outcome, finished_at, last_error from syncline.run_history
               where connection_id = c.id order by id desc limit 1
           ) l on true
           left join lateral (
               select started_at from syncline.run_history
               where connection_id = c.id and outcome = 'succeeded' and kind <> 'page'
               order by id desc limit 1
           ) f on true"#,
        &ids
    )
    .fetch_all(db)
    .await?)
}

/// The latest ticks of each of these schedules, newest first.
pub async fn list_latest_ticks(
    db: &mut DbConnection,
    ids: &[ScheduleId],
    of_each: i64,
) -> DbResult<Vec<ScheduleTick>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    Ok(sqlx::query_as!(
        ScheduleTick,
        r#"select t.schedule_id as "schedule_id!: ScheduleId", t.nominal_at as "nominal_at!",
                  t.moments as "moments!", t.outcome as "outcome!: TickOutcome", t.reason
           from unnest($1::uuid[]) as s (id)
           cross join lateral (
               select * from syncline.tick where schedule_id = s.id order by nominal_at desc limit $2
           ) t
           order by t.nominal_at desc"#,
        &ids,
        of_each
    )
    .fetch_all(db)
    .await?)
}

/// The due moment that made a batch, if a schedule did.
pub async fn find_nominal_at(
    db: &mut DbConnection,
    id: BatchId,
) -> DbResult<Option<DateTime<Utc>>> {
    let found = sqlx::query_scalar!("select nominal_at from syncline.batch where id = $1", id.0)
        .fetch_optional(db)
        .await?;
    Ok(found.flatten())
}

/// The ids of the `limit` runs of a filter that come next after `id`, oldest first.
pub async fn list_newer_ids(
    db: &mut DbConnection,
    filter: &RunFilter,
    id: RunId,
    limit: i64,
) -> DbResult<Vec<RunId>> {
    let statuses: Option<Vec<String>> = filter.statuses.as_ref().map(|statuses| {
        let words = statuses.iter().map(|status| status.as_str().to_owned());
        words.collect()
    });
    let mut transaction = db.passing().await?;
    // As in `history::list_runs`, whose order this one turns round: the plan must be made for the filters at hand.
    sqlx::query!("set local plan_cache_mode = force_custom_plan")
        .execute(transaction.statements())
        .await?;
    let ids = sqlx::query_scalar!(
        r#"select id as "id!: RunId" from syncline.runs
           where id > $1
             and ($2::text[] is null or status = any ($2))
             and ($3::text is null or platform = $3)
             and ($4::uuid is null or business_id = $4)
             and ($5::uuid is null or connection_id = $5)
             and ($6::uuid is null or schedule_id = $6)
           order by id limit $7"#,
        id.0,
        statuses.as_deref(),
        filter.platform,
        filter.business.map(|id| id.0),
        filter.connection.map(|id| id.0),
        filter.schedule.map(|id| id.0),
        limit
    )
    .fetch_all(transaction.statements())
    .await?;
    transaction.end().await?;
    Ok(ids)
}
