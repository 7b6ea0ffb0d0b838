//! Connections, their settings and sealed credentials.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{DbConnection, DbResult};
use crate::db::budget::end_waits;
use crate::ids::{BusinessId, ConnectionId};
use crate::secret::Sealed;

/// One account of one business on one platform. Its credentials are asked for separately.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Identity.
    pub id: ConnectionId,
    /// The user's own name for it.
    pub key: String,
    /// Shown to people.
    pub name: String,
    /// The business it belongs to.
    pub business_id: BusinessId,
    /// That business' key.
    pub business_key: String,
    /// The connector that reads it.
    pub platform: String,
    /// Settings without the secret ones: a JSON object.
    pub config: Value,
    /// Stands in for the manifest's `url_base`.
    pub base_url: Option<String>,
    /// When the secrets were last set; `None`: there are none.
    pub credentials_set_at: Option<DateTime<Utc>>,
    /// The chosen streams; `None`: all.
    pub streams: Option<Vec<String>>,
    /// False: nothing is enqueued for it.
    pub enabled: bool,
    /// Overrides of the platform's budgets, by name.
    pub limits: Value,
    /// Overrides of the platform's retry policy.
    pub retry: Value,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a connection is saved from.
#[derive(Debug, Clone)]
pub struct ConnectionDraft<'a> {
    /// The user's own name for it.
    pub key: &'a str,
    /// Shown to people.
    pub name: &'a str,
    /// The business it belongs to.
    pub business_id: BusinessId,
    /// The connector that reads it.
    pub platform: &'a str,
    /// Settings without the secret ones: a JSON object.
    pub config: &'a Value,
    /// Stands in for the manifest's `url_base`.
    pub base_url: Option<&'a str>,
    /// The chosen streams; `None`: all.
    pub streams: Option<&'a [String]>,
    /// False: nothing is enqueued for it.
    pub enabled: bool,
    /// Overrides of the platform's budgets, by name.
    pub limits: &'a Value,
    /// Overrides of the platform's retry policy.
    pub retry: &'a Value,
}

/// Creates a connection without credentials. Fails on `connection_key_unique` if the key is taken.
pub async fn create(db: &mut DbConnection, draft: &ConnectionDraft<'_>) -> DbResult<ConnectionId> {
    Ok(sqlx::query_scalar!(
        r#"insert into syncline.connection
               (key, name, business_id, platform, config, base_url, streams, enabled, limits, retry)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
           returning id as "id: ConnectionId""#,
        draft.key,
        draft.name,
        draft.business_id.0,
        draft.platform,
        draft.config,
        draft.base_url,
        draft.streams,
        draft.enabled,
        draft.limits,
        draft.retry
    )
    .fetch_one(db)
    .await?)
}

/// Ends the pause that a run set because a person was needed: the person has been here.
async fn end_pause_for_person(db: &mut DbConnection, id: ConnectionId) -> DbResult<()> {
    sqlx::query!(
        "delete from syncline.pause
         where scope = 'connection' and target = $1 and cause = 'needs_person'",
        id.to_string()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Replaces what a connection was saved from, but for its key and credentials. Ends a pause that waited for a person; if its limits change,
/// runs that wait for one look again.
pub async fn update(
    db: &mut DbConnection,
    id: ConnectionId,
    draft: &ConnectionDraft<'_>,
) -> DbResult<()> {
    let has_other_limits = sqlx::query_scalar!(
        r#"select limits is distinct from $2 as "is!" from syncline.connection where id = $1"#,
        id.0,
        draft.limits
    )
    .fetch_optional(&mut *db)
    .await?;
    if has_other_limits == Some(true) {
        end_waits(db, draft.platform, Some(id)).await?;
    }
    sqlx::query!(
        "update syncline.connection set
             name = $2, business_id = $3, platform = $4, config = $5, base_url = $6, streams = $7,
             enabled = $8, limits = $9, retry = $10, updated_at = syncline.now()
         where id = $1",
        id.0,
        draft.name,
        draft.business_id.0,
        draft.platform,
        draft.config,
        draft.base_url,
        draft.streams,
        draft.enabled,
        draft.limits,
        draft.retry
    )
    .execute(&mut *db)
    .await?;
    end_pause_for_person(db, id).await
}

/// Replaces the credentials of a connection; `None` removes them. Ends a pause that waited for a person.
pub async fn set_credentials(
    db: &mut DbConnection,
    id: ConnectionId,
    sealed: Option<&Sealed>,
) -> DbResult<()> {
    sqlx::query!(
        "update syncline.connection set
             credentials = $2, credentials_key_id = $3,
             credentials_set_at = case when $2::bytea is not null then syncline.now() end,
             updated_at = syncline.now()
         where id = $1",
        id.0,
        sealed.map(|sealed| sealed.bytes.as_slice()),
        sealed.map(|sealed| sealed.key_id.as_str())
    )
    .execute(&mut *db)
    .await?;
    end_pause_for_person(db, id).await
}

/// The sealed credentials of a connection, if it has any.
pub async fn find_credentials(db: &mut DbConnection, id: ConnectionId) -> DbResult<Option<Sealed>> {
    let row = sqlx::query!(
        "select credentials, credentials_key_id from syncline.connection where id = $1",
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(|row| {
        Some(Sealed {
            bytes: row.credentials?,
            key_id: row.credentials_key_id?,
        })
    }))
}

/// The sealed credentials of several connections; those without any are left out.
pub async fn list_credentials(
    db: &mut DbConnection,
    ids: &[ConnectionId],
) -> DbResult<Vec<(ConnectionId, Sealed)>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select id as "id: ConnectionId", credentials as "bytes!", credentials_key_id as "key_id!"
           from syncline.connection where id = any ($1) and credentials is not null"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                row.id,
                Sealed {
                    bytes: row.bytes,
                    key_id: row.key_id,
                },
            )
        })
        .collect())
}

/// A connection by id or key.
pub async fn find(db: &mut DbConnection, id_or_key: &str) -> DbResult<Option<Connection>> {
    Ok(sqlx::query_as!(
        Connection,
        r#"select c.id as "id: ConnectionId", c.key, c.name, c.business_id as "business_id: BusinessId",
                  b.key as business_key, c.platform, c.config, c.base_url, c.credentials_set_at,
                  c.streams, c.enabled, c.limits, c.retry, c.created_at, c.updated_at
           from syncline.connection c join syncline.business b on b.id = c.business_id
           where c.key = $1 or c.id = $2"#,
        id_or_key,
        Uuid::parse_str(id_or_key).ok()
    )
    .fetch_optional(db)
    .await?)
}

/// Connections in the order of their keys, after the given one.
pub async fn list(
    db: &mut DbConnection,
    business: Option<BusinessId>,
    platform: Option<&str>,
    after_key: Option<&str>,
    limit: i64,
) -> DbResult<Vec<Connection>> {
    Ok(sqlx::query_as!(
        Connection,
        r#"select c.id as "id: ConnectionId", c.key, c.name, c.business_id as "business_id: BusinessId",
                  b.key as business_key, c.platform, c.config, c.base_url, c.credentials_set_at,
                  c.streams, c.enabled, c.limits, c.retry, c.created_at, c.updated_at
           from syncline.connection c join syncline.business b on b.id = c.business_id
           where ($1::uuid is null or c.business_id = $1)
             and ($2::text is null or c.platform = $2)
             and ($3::text is null or c.key > $3)
           order by c.key limit $4"#,
        business.map(|id| id.0),
        platform,
        after_key,
        limit
    )
    .fetch_all(db)
    .await?)
}
