//! Businesses.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{DbConnection, DbResult};
use crate::ids::BusinessId;

/// A tenant.
#[derive(Debug, Clone, Serialize)]
pub struct Business {
    /// Identity.
    pub id: BusinessId,
    /// The user's own name for it.
    pub key: String,
    /// Shown to people.
    pub name: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Creates a business. Fails on the constraint `business_key_unique` if the key is taken.
pub async fn create(db: &mut DbConnection, key: &str, name: &str) -> DbResult<Business> {
    Ok(sqlx::query_as!(
        Business,
        r#"insert into syncline.business (key, name) values ($1, $2)
           returning id as "id: BusinessId", key, name, created_at, updated_at"#,
        key,
        name
    )
    .fetch_one(db)
    .await?)
}

/// Renames a business.
pub async fn rename(db: &mut DbConnection, id: BusinessId, name: &str) -> DbResult<()> {
    sqlx::query!(
        "update syncline.business set name = $2, updated_at = syncline.now() where id = $1",
        id.0,
        name
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A business by id or key.
pub async fn find(db: &mut DbConnection, id_or_key: &str) -> DbResult<Option<Business>> {
    Ok(sqlx::query_as!(
        Business,
        r#"select id as "id: BusinessId", key, name, created_at, updated_at
           from syncline.business where key = $1 or id = $2"#,
        id_or_key,
        Uuid::parse_str(id_or_key).ok()
    )
    .fetch_optional(db)
    .await?)
}

/// Businesses in the order of their keys, after the given one.
pub async fn list(
    db: &mut DbConnection,
    after_key: Option<&str>,
    limit: i64,
) -> DbResult<Vec<Business>> {
    Ok(sqlx::query_as!(
        Business,
        r#"select id as "id: BusinessId", key, name, created_at, updated_at
           from syncline.business where $1::text is null or key > $1 order by key limit $2"#,
        after_key,
        limit
    )
    .fetch_all(db)
    .await?)
}
