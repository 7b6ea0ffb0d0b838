//! What the finished runs of a schedule were like, for advice.

use crate::db::{DbConnection, DbResult};
use crate::ids::ScheduleId;
use crate::run::RunKind;
use crate::schedule::advice::Observed;

/// Finished runs that are looked at, the latest ones.
const MOST_RUNS: i64 = 500;

/// Looks at the latest runs that a schedule's ticks have made in the last 30 days, of one kind, and since it was timed as it is.
/// `gap_seconds`: what lies between two ticks. Costs the same however long the history is. Budgets are not looked at.
pub async fn observe(
    db: &mut DbConnection,
    schedule: ScheduleId,
    kind: RunKind,
    gap_seconds: i64,
) -> DbResult<Observed> {
    // Along run_history_by_schedule from its end, and the attempts of each run along their primary key.
    let found = sqlx::query!(
        r#"select count(*) as "runs!",
                  count(*) filter (where h.changed) as "changed!",
                  coalesce(sum(a.calls), 0)::bigint as "calls!",
                  coalesce(sum(a.calls) filter (where not h.changed), 0)::bigint as "idle_calls!",
                  coalesce(percentile_cont(0.5) within group (order by h.seconds), 0) as "median_seconds!",
                  coalesce(percentile_cont(0.95) within group (order by h.seconds), 0) as "p95_seconds!",
                  count(*) filter (where h.overlapping) as "overlapping!",
                  count(*) filter (where a.limited) as "limited!",
                  coalesce(count(*)::float8 / nullif(count(distinct h.batch_id), 0), 0) as "runs_per_tick!"
           from (select id, batch_id,
                        jsonb_path_exists(progress, '$.* ? (@.inserted > 0 || @.updated > 0 || @.deleted > 0)') as changed,
                        extract(epoch from finished_at - coalesce(started_at, finished_at))::float8 as seconds,
                        finished_at - created_at > make_interval(secs => $3) as overlapping
                 from syncline.run_history
                 where schedule_id = $1 and kind = $2 and origin = 'schedule' and outcome in ('succeeded', 'partial')
                   and id >= syncline.run_id_floor(greatest(
                       syncline.now() - interval '30 days', (select timed_at from syncline.schedule where id = $1)))
                 order by id desc limit $4) h
           cross join lateral (
               select coalesce(sum(calls), 0) as calls, coalesce(bool_or(outcome = 'limited'), false) as limited
               from syncline.attempt where run_id = h.id) a"#,
        schedule.0,
        kind.as_str(),
        f64::from(i32::try_from(gap_seconds).unwrap_or(i32::MAX)),
        MOST_RUNS
    )
    .fetch_one(db)
    .await?;
    Ok(Observed {
        runs: found.runs,
        changed: found.changed,
        calls: found.calls,
        idle_calls: found.idle_calls,
        median_seconds: found.median_seconds,
        p95_seconds: found.p95_seconds,
        overlapping: found.overlapping,
        limited: found.limited,
        runs_per_tick: found.runs_per_tick,
        calls_a_day: None,
    })
}
