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

/// What an answer of a host came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAnswered {
    /// It had not failed.
    AsEver,
    /// Its failures are forgotten.
    Again,
    /// Nothing is sent to it, and the request had left before that began: it stays so.
    TooEarly,
}

/// Notes that a host answered. `sent_at`: when the request left, as for [`note_failure`]. While nothing is sent to a host, only the answer to
/// a request counts that left to see.
pub async fn note_success(
    db: &mut DbConnection,
    key: &str,
    sent_at: Option<i64>,
) -> DbResult<HostAnswered> {
    let done = sqlx::query!(
        r#"with gone as (
               delete from syncline.circuit
               where key = $1 and (open_until is null or $2::bigint >= syncline.epoch_ms(changed_at)) returning key)
           select exists (select from gone) as "is_gone!", exists (select from syncline.circuit where key = $1) as "had_failed!""#,
        key,
        sent_at
    )
    .fetch_one(db)
    .await?;
    Ok(match (done.had_failed, done.is_gone) {
        (false, _) => HostAnswered::AsEver,
        (true, true) => HostAnswered::Again,
        (true, false) => HostAnswered::TooEarly,
    })
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
