//! Handing a run back: to wait, or to be claimed anew.

use std::time::Duration;

use serde_json::Value;

use crate::db::{DbConnection, DbError, DbResult};
use crate::ids::RunId;
use crate::run::{AttemptOutcome, RunError, Spent, WaitReason};

/// A run that is handed back.
#[derive(Debug, Clone)]
pub struct Release {
    /// The run.
    pub id: RunId,
    /// The lease token.
    pub token: i64,
    /// How the attempt ended.
    pub attempt: AttemptOutcome,
    /// Where the run goes.
    pub to: ReleaseTo,
    /// Why, in words.
    pub reason: Option<String>,
    /// Failures that count against the cap, as they stand now.
    pub failures: i32,
    /// The error, if that is why.
    pub error: Option<RunError>,
    /// What the attempt cost; `None`: what its last checkpoint says.
    pub spent: Option<Spent>,
    /// The budget that it waits for, or the host that does not answer.
    pub wait_key: Option<String>,
}

/// Where a run goes that is handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseTo {
    /// Back to its place in the queue: its turn and its due time are what they were.
    Front,
    /// To the end of the queue, in the order of turns: others have waited for its slot.
    Back,
    /// To wait for so long.
    Wait(WaitReason, Duration),
}

/// Hands a run back and ends its lease. Fails with [`DbError::Stale`] if the lease is gone, unless this very release was
/// made before and its answer was lost.
///
/// A run that waits leaves its connection's gate, and the connection's next blocked run takes its place. One that does not
/// wait keeps the gate, unless a more urgent run is blocked behind it.
pub async fn release(db: &mut DbConnection, release: &Release, process_name: &str) -> DbResult<()> {
    let error = release
        .error
        .as_ref()
        .and_then(|error| serde_json::to_value(error).ok());
    let (wait, seconds) = match release.to {
        ReleaseTo::Wait(reason, wait) => (Some(reason.as_str()), wait.as_secs_f64()),
        ReleaseTo::Front | ReleaseTo::Back => (None, 0.0),
    };
    // `held` locks the run's row, by id and token: that is the proof of the lease. `promoted` reads what `released` returns, so
    // the gate is left before it is taken.
    let released = sqlx::query_scalar!(
        r#"with held as materialized (
               select * from syncline.run where id = $1 and lease_token = $2 for update
           ),
           urgent as materialized (
               select u.id from held h cross join lateral (
                   select b.id from syncline.run b
                   where b.connection_id = h.connection_id and b.state = 'blocked' and b.priority < h.priority
                   order by b.fair_turn limit 1) u
               where $3::text is null
           ),
           released as (
               update syncline.run r set
                   state = case when $3::text is not null then 'waiting'
                                when exists (select from urgent) then 'blocked' else 'queued' end,
                   lease_token = r.lease_token + 1, lease_process = null, attempt_started_at = null,
                   wait_reason = $3, wait_detail = case when $3::text is not null then $5 end, wait_key = $14,
                   due_at = case when $3::text is null and not $10 then r.due_at
                                 else syncline.now() + make_interval(secs => $4) end,
                   fair_turn = case when $10 then greatest(
                       r.fair_turn, (select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0)) + r.priority + 1)
                       else r.fair_turn end,
                   failures = $6, last_error = coalesce($7, r.last_error)
               where r.id = any (array(select id from held))
               returning r.connection_id, r.state
           ),
           closed as (
               insert into syncline.attempt
                   (run_id, token, number, process_id, process_name, started_at, ended_at, outcome, reason, error, calls,
                    points, waited_ms)
               select id, lease_token, attempt, lease_process, $11, attempt_started_at, syncline.now(),
                      $8, $5, $7, coalesce($9, attempt_calls), coalesce($12, attempt_points),
                      coalesce($13, attempt_waited_ms)
               from held
           ),
           promoted as (
               update syncline.run r set
                   state = 'queued',
                   fair_turn = greatest(
                       r.fair_turn, (select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0)) + r.priority + 1)
               where r.state is not distinct from 'blocked' and r.id = any (array(
                   select coalesce(
                       (select id from urgent),
                       (select b.id from syncline.run b
                        where b.connection_id = w.connection_id and b.state = 'blocked'
                        order by b.fair_turn limit 1))
                   from released w where w.state <> 'queued'))
           )
           select count(*) as "count!" from released"#,
        release.id.0,
        release.token,
        wait,
        seconds,
        release.reason,
        release.failures,
        error as Option<Value>,
        release.attempt.as_str(),
        release.spent.map(|spent| spent.calls),
        release.to == ReleaseTo::Back,
        process_name,
        release.spent.map(|spent| spent.points),
        release.spent.map(|spent| spent.waited_ms),
        release.wait_key
    )
    .fetch_one(&mut *db)
    .await?;
    if released == 1 || was_released(db, release).await? {
        Ok(())
    } else {
        Err(DbError::Stale)
    }
}

/// True if the attempt under this token was closed with this outcome.
async fn was_released(db: &mut DbConnection, release: &Release) -> DbResult<bool> {
    let outcome = sqlx::query_scalar!(
        "select outcome from syncline.attempt where run_id = $1 and token = $2",
        release.id.0,
        release.token
    )
    .fetch_optional(db)
    .await?;
    Ok(outcome.as_deref() == Some(release.attempt.as_str()))
}
