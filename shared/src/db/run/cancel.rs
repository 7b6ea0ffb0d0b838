//! Ending runs that nobody executes: cancelled ones, and those that have grown too old.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use crate::db::{DbConnection, DbResult};
use crate::ids::RunId;
use crate::run::{FailureKind, Outcome, RunError, RunState};

/// What came of a request to cancel a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelling {
    /// It is cancelled.
    Done,
    /// Its worker was asked to end it, and does so within about a second.
    Asked,
    /// There is no unfinished run with this id.
    NotUnfinished,
}

/// Cancels a run: at once if nobody executes it, else by way of its worker. Who asked first stays on record.
pub async fn cancel(
    db: &mut DbConnection,
    id: RunId,
    by: &str,
    note: Option<&str>,
) -> DbResult<Cancelling> {
    // Locks the row until the transaction ends: a claim passes over it, a hand-back waits.
    let state = sqlx::query_scalar!(
        r#"update syncline.run set
               cancel_requested_by = coalesce(cancel_requested_by, $2),
               cancel_note = case when cancel_requested_at is null then $3 else cancel_note end,
               cancel_requested_at = coalesce(cancel_requested_at, syncline.now())
           where id = $1
           returning state as "state: RunState""#,
        id.0,
        by,
        note
    )
    .fetch_optional(&mut *db)
    .await?;
    Ok(match state {
        None => Cancelling::NotUnfinished,
        Some(RunState::Running) => Cancelling::Asked,
        Some(_) => {
            end_idle(db, &[id.0], Outcome::Cancelled, None).await?;
            Cancelling::Done
        }
    })
}

/// Ends runs whose cancelling met them between two attempts. Answers how many.
pub async fn sweep_cancelled(db: &mut DbConnection) -> DbResult<usize> {
    let ids = sqlx::query_scalar!(
        "select id from syncline.run
         where cancel_requested_at is not null and state <> 'running'
         order by id limit 1000
         for update skip locked"
    )
    .fetch_all(&mut *db)
    .await?;
    end_idle(db, &ids, Outcome::Cancelled, None).await
}

/// Ends runs that were enqueued longer ago than the longest age and are not being executed. Answers how many.
pub async fn expire(db: &mut DbConnection, longest_age: Duration) -> DbResult<usize> {
    // Ids order by time of creation.
    let ids = sqlx::query_scalar!(
        "select id from syncline.run
         where id < syncline.run_id_floor(syncline.now() - make_interval(secs => $1)) and state <> 'running'
         order by id limit 1000
         for update skip locked",
        longest_age.as_secs_f64()
    )
    .fetch_all(&mut *db)
    .await?;
    let days = longest_age.as_secs_f64() / 86_400.0;
    let error = RunError::new(
        FailureKind::Permanent,
        format!(
            "it did not come to its end within {days:.1} days, the longest age of a run; see its attempts for what it waited for"
        ),
    );
    end_idle(db, &ids, Outcome::Failed, Some(&error)).await
}

/// Ends runs that have reached their time limit and are not being executed. Answers how many.
pub async fn end_overdue(db: &mut DbConnection) -> DbResult<usize> {
    let ids = sqlx::query_scalar!(
        "select id from syncline.run
         where time_limit_seconds is not null and state <> 'running'
           and started_at + make_interval(secs => time_limit_seconds) < syncline.now()
         order by id limit 1000
         for update skip locked"
    )
    .fetch_all(&mut *db)
    .await?;
    let error = RunError::new(
        FailureKind::Permanent,
        "its schedule's time limit was over while it waited; see its attempts for what it waited for",
    );
    end_idle(db, &ids, Outcome::Failed, Some(&error)).await
}

/// Moves runs that are not running to the history, and promotes what stood behind them. The caller has locked their rows.
async fn end_idle(
    db: &mut DbConnection,
    ids: &[Uuid],
    outcome: Outcome,
    error: Option<&RunError>,
) -> DbResult<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    let error = error.and_then(|error| serde_json::to_value(error).ok());
    let ended = sqlx::query_scalar!(
        r#"with gone as (
               delete from syncline.run where id = any ($1) and state <> 'running' returning *
           ),
           promoted as (
               update syncline.run r set
                   state = 'queued',
                   fair_turn = greatest(
                       r.fair_turn, (select coalesce(pg_sequence_last_value('syncline.virtual_turn'), 0)) + r.priority + 1)
               where r.state is not distinct from 'blocked' and r.id = any (array(
                   select (select b.id from syncline.run b
                           where b.connection_id = g.connection_id and b.state = 'blocked' and b.id <> all ($1)
                           order by b.fair_turn limit 1)
                   from gone g where g.state = 'queued'))
           ),
           kept as (
               insert into syncline.run_history
                   (id, outcome, batch_id, schedule_id, connection_id, business_id, platform, origin,
                    requested_by, kind, streams, page, priority, attempt, failures, lease_token, started_at,
                    finished_at, checkpoint_sequence, checkpoint, progress, last_error, created_at,
                    retry_of, cancelled_by, cancel_note, range_from, range_to)
               select id, $2, batch_id, schedule_id, connection_id, business_id, platform, origin,
                      requested_by, kind, streams, page, priority, attempt, failures, lease_token, started_at,
                      syncline.now(), checkpoint_sequence, checkpoint, progress, coalesce($3, last_error), created_at,
                      retry_of, cancel_requested_by, cancel_note, range_from, range_to
               from gone
               returning id
           )
           select count(*) as "count!" from kept"#,
        ids,
        outcome.as_str(),
        error as Option<Value>
    )
    .fetch_one(db)
    .await?;
    Ok(usize::try_from(ended).unwrap_or(0))
}
