//! API tokens and users.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{DbConnection, DbResult};
use crate::words::words;

words! {
    /// What somebody may do.
    pub enum Role {
        /// Everything.
        Admin = "admin",
        /// Look, start runs, change businesses, connections and schedules.
        Operator = "operator",
        /// Look.
        Viewer = "viewer",
    }
}

/// An API token, without the token.
#[derive(Debug, Clone, Serialize)]
pub struct ApiToken {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it works; `None`: until it is deleted.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A user, with what is needed to check the password.
#[derive(Debug, Clone)]
pub struct UserAccount {
    /// What they sign in with.
    pub name: String,
    /// Argon2id, PHC string.
    pub password_hash: String,
    /// What they may do.
    pub role: Role,
}

/// Saves a token under a name; a token of that name is replaced.
pub async fn save_token(
    db: &mut DbConnection,
    name: &str,
    role: Role,
    hash: &[u8],
    expires_at: Option<DateTime<Utc>>,
) -> DbResult<()> {
    sqlx::query!(
        "insert into syncline.api_token (name, role, token_hash, expires_at) values ($1, $2, $3, $4)
         on conflict (name) do update set
             role = excluded.role, token_hash = excluded.token_hash,
             expires_at = excluded.expires_at, created_at = syncline.now()",
        name,
        role.as_str(),
        hash,
        expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes a token. Fails on `api_token_name_unique` if the name is taken.
pub async fn create_token(
    db: &mut DbConnection,
    name: &str,
    role: Role,
    hash: &[u8],
    expires_at: Option<DateTime<Utc>>,
) -> DbResult<ApiToken> {
    Ok(sqlx::query_as!(
        ApiToken,
        r#"insert into syncline.api_token (name, role, token_hash, expires_at) values ($1, $2, $3, $4)
           returning name, role as "role: Role", created_at, expires_at"#,
        name,
        role.as_str(),
        hash,
        expires_at
    )
    .fetch_one(db)
    .await?)
}

/// The token with this hash, unless it has expired.
pub async fn find_token(db: &mut DbConnection, hash: &[u8]) -> DbResult<Option<ApiToken>> {
    Ok(sqlx::query_as!(
        ApiToken,
        r#"select name, role as "role: Role", created_at, expires_at from syncline.api_token
           where token_hash = $1 and (expires_at is null or expires_at > syncline.now())"#,
        hash
    )
    .fetch_optional(db)
    .await?)
}

/// All tokens, by name.
pub async fn list_tokens(db: &mut DbConnection) -> DbResult<Vec<ApiToken>> {
    Ok(sqlx::query_as!(
        ApiToken,
        r#"select name, role as "role: Role", created_at, expires_at
           from syncline.api_token order by name"#
    )
    .fetch_all(db)
    .await?)
}

/// Deletes a token; false if there was none of that name.
pub async fn delete_token(db: &mut DbConnection, name: &str) -> DbResult<bool> {
    let deleted = sqlx::query!("delete from syncline.api_token where name = $1", name)
        .execute(db)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Saves a user; the password and role of an existing one are replaced.
pub async fn save_user(
    db: &mut DbConnection,
    name: &str,
    password_hash: &str,
    role: Role,
) -> DbResult<()> {
    sqlx::query!(
        "insert into syncline.user_account (name, password_hash, role) values ($1, $2, $3)
         on conflict (name) do update set password_hash = excluded.password_hash, role = excluded.role",
        name,
        password_hash,
        role.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A user by name.
pub async fn find_user(db: &mut DbConnection, name: &str) -> DbResult<Option<UserAccount>> {
    Ok(sqlx::query_as!(
        UserAccount,
        r#"select name, password_hash, role as "role: Role" from syncline.user_account where name = $1"#,
        name
    )
    .fetch_optional(db)
    .await?)
}
