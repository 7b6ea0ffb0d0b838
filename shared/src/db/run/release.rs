//! Handing a run back: to wait, or to be claimed anew.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;

use crate::db::{DbError, DbResult};
use crate::ids::RunId;
use crate::run::{AttemptOutcome, RunError, WaitReason};

/// A run that is handed back.
#[derive(Debug, Clone)]
pub struct Release {
    /// The run.
    pub id: RunId,
    /// The lease token.
    pub token: i64,
    /// How the attempt ended.
    pub attempt: AttemptOutcome,
    /// What it waits for and how long; `None`: it can be claimed at once.
    pub wait: Option<(WaitReason, Duration)>,
    /// What it waits for, in words.
    pub detail: Option<String>,
    /// Failures that count against the cap, as they stand now.
    pub failures: i32,
    /// The error, if that is why.
    pub error: Option<RunError>,
    /// Requests that the attempt sent.
    pub calls: i64,
}

/// Hands a run back and ends its lease. Fails with [`DbError::Stale`] if the lease is gone, unless this very release was
/// made before and its answer was lost.
///
/// A run that waits leaves its connection's gate, and the connection's next blocked run takes its place. One that does not
/// wait keeps the gate.
pub async fn release(db: &mut PgConnection, release: &Release) -> DbResult<()> {
    let error = release
        .error
        .as_ref()
        .and_then(|error| serde_json::to_value(error).ok());
    let (reason, seconds) = match release.wait {
        Some((reason, wait)) => (Some(reason.as_str()), wait.as_secs_f64()),
        None => (None, 0.0),
    };
    let released = sqlx::query_scalar!(
        r#"with released as (
               update syncline.run set
                   state = case when $3::text is null then 'queued' else 'waiting' end,
                   lease_token = lease_token + 1, lease_process = null, attempt_started_at = null,
                   wait_reason = $3, wait_detail = $5, due_at = syncline.now() + make_interval(secs => $4),
                   failures = $6, last_error = coalesce($7, last_error)
               where id = $1 and lease_token = $2
               returning id, connection_id, state
           ),
           closed as (
               update syncline.attempt a set
                   ended_at = syncline.now(), outcome = $8, error = $7, calls = $9
               from released r where a.run_id = r.id and a.token = $2
           ),
           promoted as (
               update syncline.run r set state = 'queued'
               where r.state = 'blocked' and r.id = any (array(
                   select (select b.id from syncline.run b
                           where b.connection_id = w.connection_id and b.state = 'blocked'
                           order by b.priority, b.fair_turn limit 1)
                   from released w where w.state = 'waiting'))
           )
           select count(*) as "count!" from released"#,
        release.id.0,
        release.token,
        reason,
        seconds,
        release.detail,
        release.failures,
        error as Option<Value>,
        release.attempt.as_str(),
        release.calls
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
async fn was_released(db: &mut PgConnection, release: &Release) -> DbResult<bool> {
    let outcome: Option<Option<String>> = sqlx::query_scalar!(
        "select outcome from syncline.attempt where run_id = $1 and token = $2",
        release.id.0,
        release.token
    )
    .fetch_optional(db)
    .await?;
    Ok(outcome.flatten().as_deref() == Some(release.attempt.as_str()))
}
