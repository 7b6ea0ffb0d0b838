//! Idempotency keys: a request that is repeated under its key is carried out once.
//!
//! The key is written in the transaction that carries the request out, so it is there exactly if the work is. A second request
//! that comes while the first is under way is told so at once and not made to wait.

use std::time::Duration;

use serde_json::Value;

use super::{DbConnection, DbResult};

/// How long a key is remembered.
pub const REMEMBERED_FOR: Duration = Duration::from_hours(24);

/// What a key stands for so far.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyState {
    /// Nothing: carry the request out and call [`remember`] in the same transaction.
    New,
    /// The same request was carried out, with this answer.
    Answered(Value),
    /// Another request was carried out under it.
    OtherBody,
    /// A request is being carried out under it.
    InFlight,
}

/// Looks a key up and keeps others from using it until the transaction ends.
pub async fn look_up(
    db: &mut DbConnection,
    scope: &str,
    key: &str,
    body_hash: &[u8],
) -> DbResult<KeyState> {
    // An advisory lock of the transaction, by the key's hash: two different keys that share a hash at the same moment meet as if
    // one were in flight, which a caller answers by asking again.
    let mine = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended($1 || chr(10) || $2, 7291004)) as "mine!""#,
        scope,
        key
    )
    .fetch_one(&mut *db)
    .await?;
    if !mine {
        return Ok(KeyState::InFlight);
    }
    let found = sqlx::query!(
        "select body_hash, answer from syncline.idempotency_key
         where scope = $1 and key = $2 and expires_at > syncline.now()",
        scope,
        key
    )
    .fetch_optional(db)
    .await?;
    Ok(match found {
        None => KeyState::New,
        Some(found) if found.body_hash == body_hash => KeyState::Answered(found.answer),
        Some(_) => KeyState::OtherBody,
    })
}

/// Remembers what a request made.
pub async fn remember(
    db: &mut DbConnection,
    scope: &str,
    key: &str,
    body_hash: &[u8],
    answer: &Value,
) -> DbResult<()> {
    // The conflict is with a key that has expired and was not pruned yet.
    sqlx::query!(
        "insert into syncline.idempotency_key (scope, key, body_hash, answer, expires_at)
         values ($1, $2, $3, $4, syncline.now() + make_interval(secs => $5))
         on conflict (scope, key) do update set
             body_hash = excluded.body_hash, answer = excluded.answer, created_at = syncline.now(),
             expires_at = excluded.expires_at",
        scope,
        key,
        body_hash,
        answer,
        REMEMBERED_FOR.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes keys that have expired. Answers how many.
pub async fn prune(db: &mut DbConnection) -> DbResult<u64> {
    let pruned =
        sqlx::query!("delete from syncline.idempotency_key where expires_at <= syncline.now()")
            .execute(db)
            .await?;
    Ok(pruned.rows_affected())
}
