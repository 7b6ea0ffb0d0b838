//! Where the next run of a stream starts.

use serde_json::Value;

use super::{DbConnection, DbResult};
use crate::ids::{ConnectionId, RunId};

/// The state of a stream of a connection; `None`: it has none, start from the beginning.
pub async fn find_state(
    db: &mut DbConnection,
    connection: ConnectionId,
    stream: &str,
) -> DbResult<Option<Value>> {
    Ok(sqlx::query_scalar!(
        "select state from syncline.stream_state where connection_id = $1 and stream = $2",
        connection.0,
        stream
    )
    .fetch_optional(db)
    .await?)
}

/// Replaces the state of a stream. Joins the transaction that wrote the records it covers.
pub async fn save_state(
    db: &mut DbConnection,
    connection: ConnectionId,
    stream: &str,
    state: &Value,
    run: RunId,
) -> DbResult<()> {
    sqlx::query!(
        "insert into syncline.stream_state (connection_id, stream, state, run_id, updated_at)
         values ($1, $2, $3, $4, syncline.now())
         on conflict (connection_id, stream) do update set
             state = excluded.state, run_id = excluded.run_id, updated_at = excluded.updated_at",
        connection.0,
        stream,
        state,
        run.0
    )
    .execute(db)
    .await?;
    Ok(())
}
