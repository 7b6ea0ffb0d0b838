//! How schedules are doing: unfinished runs, the last batch, how often the recent ones succeeded.

use chrono::{DateTime, Utc};

use crate::db::{DbConnection, DbResult};
use crate::ids::{BatchId, ScheduleId};
use crate::run::Outcome;

/// How a schedule is doing.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// Its unfinished runs, 1,000 at most.
    pub unfinished_runs: i64,
    /// Its last batch.
    pub batch_id: Option<BatchId>,
    /// When that was enqueued.
    pub batch_created_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub batch_ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub batch_outcome: Option<Outcome>,
    /// How many of its last batches succeeded: of the last 100 that ended within 30 days and were not cancelled.
    pub succeeded: i64,
    /// How many these are.
    pub ended: i64,
}

/// How each of these schedules is doing, in no order. Costs the same however long their history is.
pub async fn list_standings(db: &mut DbConnection, ids: &[ScheduleId]) -> DbResult<Vec<Standing>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    Ok(sqlx::query_as!(
        Standing,
        r#"select s.id as "schedule_id!: ScheduleId", u.runs as "unfinished_runs!",
                  l.id as "batch_id?: BatchId", l.created_at as "batch_created_at?", l.ended_at as "batch_ended_at?",
                  l.outcome as "batch_outcome?: Outcome", e.succeeded as "succeeded!", e.ended as "ended!"
           from unnest($1::uuid[]) as s (id)
           cross join lateral (
               select count(*) as runs
               from (select from syncline.run r where r.schedule_id = s.id limit 1000) r) u
           left join lateral (
               select id, created_at, ended_at, outcome from syncline.batch
               where schedule_id = s.id order by id desc limit 1) l on true
           cross join lateral (
               select count(*) filter (where k.outcome = 'succeeded') as succeeded, count(*) as ended
               from (select outcome from syncline.batch
                     where schedule_id = s.id and outcome <> 'cancelled'
                       and id >= syncline.run_id_floor(syncline.now() - interval '30 days')
                     order by id desc limit 100) k) e"#,
        &ids
    )
    .fetch_all(db)
    .await?)
}
