//! Where the next run of a stream starts.

use chrono::{DateTime, Utc};
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
             state = excluded.state, run_id = excluded.run_id, set_by = null, updated_at = excluded.updated_at",
        connection.0,
        stream,
        state,
        run.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The state of a stream, and where it is from.
#[derive(Debug, Clone)]
pub struct StreamState {
    /// The stream.
    pub stream: String,
    /// Its state.
    pub state: Value,
    /// The run that wrote it; `None`: a person did.
    pub run_id: Option<RunId>,
    /// Who set it by hand.
    pub set_by: Option<String>,
    /// When it was written.
    pub updated_at: DateTime<Utc>,
}

/// The states of a connection's streams, in the order of their names.
pub async fn list_states(
    db: &mut DbConnection,
    connection: ConnectionId,
) -> DbResult<Vec<StreamState>> {
    Ok(sqlx::query_as!(
        StreamState,
        r#"select stream, state, run_id as "run_id: RunId", set_by, updated_at
           from syncline.stream_state where connection_id = $1 order by stream"#,
        connection.0
    )
    .fetch_all(db)
    .await?)
}

/// Replaces the state of a stream by hand.
pub async fn set_state(
    db: &mut DbConnection,
    connection: ConnectionId,
    stream: &str,
    state: &Value,
    by: &str,
) -> DbResult<()> {
    sqlx::query!(
        "insert into syncline.stream_state (connection_id, stream, state, set_by, updated_at)
         values ($1, $2, $3, $4, syncline.now())
         on conflict (connection_id, stream) do update set
             state = excluded.state, run_id = null, set_by = excluded.set_by, updated_at = excluded.updated_at",
        connection.0,
        stream,
        state,
        by
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the state of a stream: its next run starts from the beginning. False: it had none.
pub async fn delete_state(
    db: &mut DbConnection,
    connection: ConnectionId,
    stream: &str,
) -> DbResult<bool> {
    let deleted = sqlx::query!(
        "delete from syncline.stream_state where connection_id = $1 and stream = $2",
        connection.0,
        stream
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// The run of a connection that is being executed and may write its streams' states. It is kept from being given to another worker, or
/// from ending, until the transaction ends; where there is none, one that is claimed meanwhile reads what the transaction wrote, or not.
pub async fn find_running(
    db: &mut DbConnection,
    connection: ConnectionId,
) -> DbResult<Option<RunId>> {
    Ok(sqlx::query_scalar!(
        r#"select id as "id: RunId" from syncline.run
           where connection_id = $1 and state = 'running' and state in ('queued', 'running') for update"#,
        connection.0
    )
    .fetch_optional(db)
    .await?)
}
