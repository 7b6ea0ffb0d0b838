//! Claiming: takes the next queued runs under a new lease and opens an attempt for each.

use serde_json::Value;
use sqlx::PgConnection;

use crate::db::DbResult;
use crate::ids::{BusinessId, ConnectionId, ProcessId, RunId};
use crate::run::{Progress, RunKind};

/// A run, as the attempt that claimed it sees it.
#[derive(Debug, Clone)]
pub struct ClaimedRun {
    /// The run.
    pub id: RunId,
    /// The lease token: every write names it.
    pub token: i64,
    /// First, second, ... attempt.
    pub attempt: i32,
    /// Failures so far that count against the cap.
    pub failures: i32,
    /// The cap.
    pub max_failures: i32,
    /// The connection it syncs.
    pub connection_id: ConnectionId,
    /// That connection's business.
    pub business_id: BusinessId,
    /// That connection's platform.
    pub platform: String,
    /// How much it reads.
    pub kind: RunKind,
    /// Only these streams; `None`: those the connection has chosen.
    pub streams: Option<Vec<String>>,
    /// The page, if the kind is `page`.
    pub page: Option<i64>,
    /// Checkpoints written so far.
    pub checkpoint_sequence: i64,
    /// Per stream: where to go on.
    pub checkpoint: Value,
    /// What has been done so far.
    pub progress: sqlx::types::Json<Progress>,
}

/// Claims up to `limit` runs for a process, most urgent first. A process that is not registered, or whose runs were given to
/// others, claims nothing.
pub async fn claim(
    db: &mut PgConnection,
    queue: &str,
    limit: i64,
    process: ProcessId,
    process_name: &str,
) -> DbResult<Vec<ClaimedRun>> {
    // The process's row is locked until the claim has committed: whoever is to rescue this process waits for that, and then
    // finds the runs, or has been quicker, and nothing is claimed.
    //
    // Reads the head of run_claim. Rows that another claim holds are passed over, so claims never wait for each other.
    Ok(sqlx::query_as!(
        ClaimedRun,
        r#"with alive as materialized (
               select id from syncline.process where id = $3 and rescued_at is null for share
           ),
           taken as (
               update syncline.run r set
                   state = 'running', attempt = r.attempt + 1, lease_token = r.lease_token + 1,
                   lease_process = $3, attempt_started_at = syncline.now(),
                   started_at = coalesce(r.started_at, syncline.now())
               where r.ctid = any (array(
                   select c.ctid from syncline.run c
                   where c.queue = $1 and c.state = 'queued'
                   order by c.priority, c.fair_turn, c.due_at
                   limit $2
                   for update skip locked))
                 and exists (select from alive)
               returning r.*
           ),
           opened as (
               insert into syncline.attempt (run_id, token, number, process_id, process_name, started_at)
               select id, lease_token, attempt, lease_process, $4, attempt_started_at from taken
           )
           select id as "id: RunId", lease_token as token, attempt, failures, max_failures,
                  connection_id as "connection_id: ConnectionId", business_id as "business_id: BusinessId",
                  platform, kind as "kind: RunKind", streams, page, checkpoint_sequence, checkpoint,
                  progress as "progress: sqlx::types::Json<Progress>"
           from taken order by priority, fair_turn, due_at"#,
        queue,
        limit,
        process.0,
        process_name
    )
    .fetch_all(db)
    .await?)
}

/// All runs that a process holds. Reads the whole table: for a process that has lost the answer to a claim, and for the
/// rescue of one that has fallen silent.
pub async fn list_leased(db: &mut PgConnection, process: ProcessId) -> DbResult<Vec<ClaimedRun>> {
    Ok(sqlx::query_as!(
        ClaimedRun,
        r#"select id as "id: RunId", lease_token as token, attempt, failures, max_failures,
                  connection_id as "connection_id: ConnectionId", business_id as "business_id: BusinessId",
                  platform, kind as "kind: RunKind", streams, page, checkpoint_sequence, checkpoint,
                  progress as "progress: sqlx::types::Json<Progress>"
           from syncline.run where state = 'running' and lease_process = $1"#,
        process.0
    )
    .fetch_all(db)
    .await?)
}
