//! Finishing: moves runs to the history and promotes what stood behind them.

use serde_json::Value;

use super::ClaimedRun;
use crate::db::{DbConnection, DbResult};
use crate::ids::RunId;
use crate::run::{AttemptOutcome, Outcome, RunError, Spent};

/// The end of a run.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The run.
    pub id: RunId,
    /// The lease token.
    pub token: i64,
    /// How the run ended.
    pub outcome: Outcome,
    /// How its last attempt ended.
    pub attempt: AttemptOutcome,
    /// Failures, as they stand at the end.
    pub failures: i32,
    /// Why, in words, unless it just came to its end.
    pub reason: Option<String>,
    /// The error, unless it went well.
    pub error: Option<RunError>,
    /// What the attempt cost; `None`: what its last checkpoint says.
    pub spent: Option<Spent>,
}

impl Finish {
    /// The end of a run that went well, without a request.
    pub fn succeeded(run: &ClaimedRun) -> Self {
        Self {
            id: run.id,
            token: run.token,
            outcome: Outcome::Succeeded,
            attempt: AttemptOutcome::Succeeded,
            failures: run.failures,
            reason: None,
            error: None,
            spent: Some(Spent::default()),
        }
    }
}

/// Finishes runs, each by id and token, in one statement. Answers those that are in the history under their token, whether by
/// this call or by an earlier one whose answer was lost. The others were given away: a stale write, which changes nothing.
pub async fn finish(
    db: &mut DbConnection,
    runs: &[Finish],
    process_name: &str,
) -> DbResult<Vec<RunId>> {
    let ids: Vec<_> = runs.iter().map(|run| run.id.0).collect();
    let tokens: Vec<_> = runs.iter().map(|run| run.token).collect();
    let outcomes: Vec<_> = runs
        .iter()
        .map(|run| run.outcome.as_str().to_owned())
        .collect();
    let attempts: Vec<_> = runs
        .iter()
        .map(|run| run.attempt.as_str().to_owned())
        .collect();
    let failures: Vec<_> = runs.iter().map(|run| run.failures).collect();
    let spent = |of: fn(&Spent) -> i64| -> Vec<Option<i64>> {
        runs.iter().map(|run| run.spent.as_ref().map(of)).collect()
    };
    let reasons: Vec<Option<String>> = runs.iter().map(|run| run.reason.clone()).collect();
    let errors: Vec<Option<Value>> = runs
        .iter()
        .map(|run| serde_json::to_value(run.error.as_ref()?).ok())
        .collect();
    // The token alone proves the lease, so there is no predicate on the state, whose statistics mislead the planner. Rows
    // are locked one by one through the primary key, and deleted by id: when a lock was waited for, for somebody who asked to cancel
    // the run, the row has moved, and what lies at its new ctid is younger than this statement's snapshot. `promoted` reads what
    // `gone` returns, so a gate is left before it is taken. `offset 0` has the history asked for one run after the other, too,
    // and only for those that were not there: in a plan made while a partition was empty, any of its indexes may have been taken.
    Ok(sqlx::query_scalar!(
        r#"with ended as materialized (
               select o.*
               from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::jsonb[], $7::bigint[],
                           $8::text[], $10::bigint[], $11::bigint[])
                    as o (id, token, outcome, attempt_outcome, failed, error, calls, reason, points, waited_ms)
               cross join lateral (
                   select from syncline.run
                   where run.id = o.id and run.lease_token = o.token
                   for update) r
           ),
           gone as (
               delete from syncline.run r where r.id = any (array(select id from ended)) returning r.*
           ),
           closed as (
               insert into syncline.attempt
                   (run_id, token, number, process_id, process_name, started_at, ended_at, outcome, reason, error, calls,
                    points, waited_ms)
               select g.id, g.lease_token, g.attempt, g.lease_process, $9, g.attempt_started_at, syncline.now(),
                      e.attempt_outcome, e.reason, e.error, coalesce(e.calls, g.attempt_calls),
                      coalesce(e.points, g.attempt_points), coalesce(e.waited_ms, g.attempt_waited_ms)
               from gone g join ended e using (id)
           ),
           promoted as (
               update syncline.run r set
                   state = 'queued',
                   fair_turn = greatest(
                       r.fair_turn, (select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0)) + r.priority + 1)
               where r.state is not distinct from 'blocked' and r.id = any (array(
                   select (select b.id from syncline.run b
                           where b.connection_id = g.connection_id and b.state = 'blocked'
                           order by b.fair_turn limit 1)
                   from gone g))
           ),
           kept as (
               insert into syncline.run_history
                   (id, outcome, batch_id, schedule_id, connection_id, business_id, platform, origin,
                    requested_by, kind, streams, page, priority, attempt, failures, lease_token, started_at,
                    finished_at, checkpoint_sequence, checkpoint, progress, last_error, created_at,
                    retry_of, cancelled_by, cancel_note, range_from, range_to)
               select g.id, e.outcome, g.batch_id, g.schedule_id, g.connection_id, g.business_id, g.platform,
                      g.origin, g.requested_by, g.kind, g.streams, g.page, g.priority, g.attempt, e.failed,
                      g.lease_token, g.started_at, syncline.now(), g.checkpoint_sequence, g.checkpoint,
                      g.progress, coalesce(e.error, g.last_error), g.created_at,
                      g.retry_of, g.cancel_requested_by, g.cancel_note, g.range_from, g.range_to
               from gone g join ended e using (id)
               returning id
           )
           select id as "id!: RunId" from kept
           union all
           select h.id from unnest($1::uuid[], $2::bigint[]) as o (id, token)
           cross join lateral (
               select k.id from syncline.run_history k where k.id = o.id and k.lease_token = o.token offset 0) h
           where o.id not in (select id from kept)"#,
        &ids,
        &tokens,
        &outcomes,
        &attempts,
        &failures,
        &errors as &[Option<Value>],
        &spent(|spent| spent.calls) as &[Option<i64>],
        &reasons as &[Option<String>],
        process_name,
        &spent(|spent| spent.points) as &[Option<i64>],
        &spent(|spent| spent.waited_ms) as &[Option<i64>]
    )
    .fetch_all(db)
    .await?)
}
