//! Refreshes of a connection's tokens: one at a time in the whole fleet, and what they give is stored only over what they used.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::{DbConnection, DbResult};
use crate::ids::ConnectionId;
use crate::secret::Sealed;

/// A connection's settings as they are stored.
#[derive(Debug, Clone)]
pub struct StoredConfig {
    /// Settings without the secret ones: a JSON object.
    pub config: Value,
    /// The secret ones, if there are any.
    pub sealed: Option<Sealed>,
}

/// Takes the lease on a connection's refresh for `length`. `false`: somebody else holds it, or the connection is gone.
pub async fn take(
    db: &mut DbConnection,
    connection: ConnectionId,
    holder: Uuid,
    length: Duration,
) -> DbResult<bool> {
    let taken = sqlx::query_scalar!(
        r#"insert into syncline.token_refresh as held (connection_id, holder, until)
           select id, $2, syncline.now() + $3::float8 * interval '1 second' from syncline.connection where id = $1
           on conflict (connection_id) do update set holder = excluded.holder, until = excluded.until
               where held.holder = excluded.holder or held.until <= syncline.now()
           returning holder"#,
        connection.0,
        holder,
        length.as_secs_f64()
    )
    .fetch_optional(db)
    .await?;
    Ok(taken.is_some())
}

/// Gives the lease back, if it is still held.
pub async fn give_back(
    db: &mut DbConnection,
    connection: ConnectionId,
    holder: Uuid,
) -> DbResult<()> {
    sqlx::query!(
        "delete from syncline.token_refresh where connection_id = $1 and holder = $2",
        connection.0,
        holder
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A connection's settings, locked until the transaction ends: nobody changes them meanwhile. Runs may be enqueued.
pub async fn lock_config(
    db: &mut DbConnection,
    connection: ConnectionId,
) -> DbResult<Option<StoredConfig>> {
    let row = sqlx::query!(
        "select config, credentials, credentials_key_id from syncline.connection where id = $1 for no key update",
        connection.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| StoredConfig {
        config: row.config,
        sealed: row
            .credentials
            .zip(row.credentials_key_id)
            .map(|(bytes, key_id)| Sealed { bytes, key_id }),
    }))
}

/// Stores credentials that a refresh has changed. Unlike those that a person sets they end no pause.
pub async fn store_credentials(
    db: &mut DbConnection,
    connection: ConnectionId,
    sealed: &Sealed,
) -> DbResult<()> {
    sqlx::query!(
        "update syncline.connection set
             credentials = $2, credentials_key_id = $3,
             credentials_set_at = coalesce(credentials_set_at, syncline.now()),
             updated_at = syncline.now()
         where id = $1",
        connection.0,
        sealed.bytes,
        sealed.key_id
    )
    .execute(db)
    .await?;
    Ok(())
}
