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
    /// How much of a contended budget its runs get, in relation to other businesses: 1 to 100.
    pub weight: i16,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Creates a business of weight 1. Fails on the constraint `business_key_unique` if the key is taken.
pub async fn create(db: &mut DbConnection, key: &str, name: &str) -> DbResult<Business> {
    Ok(sqlx::query_as!(
        Business,
        r#"insert into syncline.business (key, name) values ($1, $2)
           returning id as "id: BusinessId", key, name, weight, created_at, updated_at"#,
        key,
        name
    )
    .fetch_one(db)
    .await?)
}

/// Replaces the name and the weight of a business, where they are given. Answers how it is now; `None`: there is none.
pub async fn update(
    db: &mut DbConnection,
    id: BusinessId,
    name: Option<&str>,
    weight: Option<i16>,
) -> DbResult<Option<Business>> {
    Ok(sqlx::query_as!(
        Business,
        r#"update syncline.business set
               name = coalesce($2, name), weight = coalesce($3, weight), updated_at = syncline.now()
           where id = $1
           returning id as "id: BusinessId", key, name, weight, created_at, updated_at"#,
        id.0,
        name,
        weight
    )
    .fetch_optional(db)
    .await?)
}

/// A business by id or key.
pub async fn find(db: &mut DbConnection, id_or_key: &str) -> DbResult<Option<Business>> {
    Ok(sqlx::query_as!(
        Business,
        r#"select id as "id: BusinessId", key, name, weight, created_at, updated_at
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
        r#"select id as "id: BusinessId", key, name, weight, created_at, updated_at
           from syncline.business where $1::text is null or key > $1 order by key limit $2"#,
        after_key,
        limit
    )
    .fetch_all(db)
    .await?)
}
