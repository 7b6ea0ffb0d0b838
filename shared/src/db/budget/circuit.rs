//! Hosts that do not answer.

use chrono::{DateTime, Utc};

use crate::db::{DbConnection, DbResult};

/// A host that fails.
#[derive(Debug, Clone)]
pub struct CircuitState {
    /// `platform/host:port`.
    pub key: String,
    /// The platform.
    pub platform: String,
    /// Failures in a row, of all processes.
    pub failures: i32,
    /// Nothing is sent to it before; `None`: everything is.
    pub open_until: Option<DateTime<Utc>>,
    /// True: a request is out to see whether it answers again.
    pub is_probing: bool,
    /// The last failure, in words.
    pub because: String,
    /// When it last failed.
    pub failed_at: DateTime<Utc>,
}

/// Notes that a host did not answer, or that its server failed. `sent_at`: when the request left, by the database's clock, in milliseconds
/// since 1970, if that is known. Answers whether other processes must know.
pub async fn note_failure(
    db: &mut DbConnection,
    key: &str,
    platform: &str,
    reason: &str,
    sent_at: Option<i64>,
) -> DbResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select syncline.note_failure($1, $2, $3, $4) as "must_know!""#,
        key,
        platform,
        reason,
        sent_at
    )
    .fetch_one(db)
    .await?)
}

/// Notes that a host answered: its failures are forgotten. Answers whether there were any.
pub async fn note_success(db: &mut DbConnection, key: &str) -> DbResult<bool> {
    let done = sqlx::query!("delete from syncline.circuit where key = $1", key)
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The hosts that fail, in the order of their keys.
pub async fn list_circuits(db: &mut DbConnection) -> DbResult<Vec<CircuitState>> {
    Ok(sqlx::query_as!(
        CircuitState,
        r#"select key, platform, failures, open_until,
                  coalesce(probing_until > syncline.now(), false) as "is_probing!", because, updated_at as failed_at
           from syncline.circuit order by key"#
    )
    .fetch_all(db)
    .await?)
}
