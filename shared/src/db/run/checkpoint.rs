//! Checkpoints, which are at the same time the proof of the lease.

use serde_json::Value;

use crate::db::{DbConnection, DbError, DbResult};
use crate::ids::RunId;
use crate::run::{Progress, Spent};

/// What an attempt has reached.
#[derive(Debug, Clone)]
pub struct Checkpoint<'a> {
    /// The run.
    pub id: RunId,
    /// The lease token.
    pub token: i64,
    /// The number of this checkpoint: one more than the last.
    pub sequence: i64,
    /// Per stream: where to go on.
    pub position: &'a Value,
    /// What has been done so far, this checkpoint's records included.
    pub progress: &'a Progress,
    /// What the attempt has cost so far.
    pub spent: Spent,
}

/// Writes a checkpoint, as the last statement of the transaction that wrote its records. Fails with
/// [`DbError::Stale`] if the lease is gone, or if this checkpoint was written before; the transaction must then be given up,
/// and [`find_checkpoint`] tells which it was.
///
/// The run's row is locked from here to the COMMIT, and only from here: a rescue waits for the commit, or comes first and
/// makes this write miss.
pub async fn write_checkpoint(db: &mut DbConnection, checkpoint: &Checkpoint<'_>) -> DbResult<()> {
    let written = sqlx::query!(
        "update syncline.run set
             checkpoint_sequence = $3::bigint, checkpoint = $4, progress = $5, failures = 0,
             attempt_calls = $6, attempt_points = $7, attempt_waited_ms = $8
         where id = $1 and lease_token = $2 and checkpoint_sequence = $3::bigint - 1",
        checkpoint.id.0,
        checkpoint.token,
        checkpoint.sequence,
        checkpoint.position,
        sqlx::types::Json(checkpoint.progress) as _,
        checkpoint.spent.calls,
        checkpoint.spent.points,
        checkpoint.spent.waited_ms
    )
    .execute(db)
    .await?;
    if written.rows_affected() == 1 {
        Ok(())
    } else {
        Err(DbError::Stale)
    }
}

/// The last checkpoint written under a lease: its number, and the progress it tells. Asked when the answer to a COMMIT was
/// lost. `None`: the lease is gone.
pub async fn find_checkpoint(
    db: &mut DbConnection,
    id: RunId,
    token: i64,
) -> DbResult<Option<(i64, Progress)>> {
    let row = sqlx::query!(
        r#"select checkpoint_sequence, progress as "progress: sqlx::types::Json<Progress>"
           from syncline.run where id = $1 and lease_token = $2"#,
        id.0,
        token
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.checkpoint_sequence, row.progress.0)))
}
