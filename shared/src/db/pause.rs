//! Pauses: what rests until somebody resumes it.
//!
//! A pause is one row. Setting it commits first; then what is queued in its scope is set to waiting, a chunk at a time
//! ([`super::run::hold_paused`]), and workers are told, who hand back what they execute. Whatever is queued in between meets the row.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{DbConnection, DbResult};
use crate::ids::{BusinessId, ConnectionId};
use crate::words::words;

words! {
    /// What a pause is about.
    pub enum PauseScope {
        /// All runs.
        Everything = "everything",
        /// The runs of a platform.
        Platform = "platform",
        /// The runs of a business.
        Business = "business",
        /// The runs of a connection.
        Connection = "connection",
    }
}

words! {
    /// Why something was paused.
    pub enum PauseCause {
        /// Somebody asked for it.
        Person = "person",
        /// A run ended with an error that only a person can cure.
        NeedsPerson = "needs_person",
    }
}

/// What is to be paused or resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseTarget {
    /// All runs.
    Everything,
    /// The runs of a platform.
    Platform(String),
    /// The runs of a business.
    Business(BusinessId),
    /// The runs of a connection.
    Connection(ConnectionId),
}

impl PauseTarget {
    fn columns(&self) -> (PauseScope, String) {
        match self {
            Self::Everything => (PauseScope::Everything, String::new()),
            Self::Platform(name) => (PauseScope::Platform, name.clone()),
            Self::Business(id) => (PauseScope::Business, id.to_string()),
            Self::Connection(id) => (PauseScope::Connection, id.to_string()),
        }
    }
}

/// Something that rests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// What it is about.
    pub scope: PauseScope,
    /// The platform's name, or the key of the business or connection (its id, if it was deleted); empty for everything.
    pub target: String,
    /// Why it was set.
    pub cause: PauseCause,
    /// Why, in words.
    pub note: Option<String>,
    /// Who set it.
    pub paused_by: String,
    /// Since when.
    pub paused_at: DateTime<Utc>,
}

/// Pauses. Who paused it first stays on record, with a new note. Answers false if it was paused already.
pub async fn pause(
    db: &mut DbConnection,
    target: &PauseTarget,
    cause: PauseCause,
    note: Option<&str>,
    by: &str,
) -> DbResult<bool> {
    let (scope, target) = target.columns();
    // xmax is zero of a row that this statement inserted.
    let is_new = sqlx::query_scalar!(
        r#"insert into syncline.pause as p (scope, target, cause, note, paused_by)
           values ($1, $2, $3, $4, $5)
           on conflict (scope, target) do update set note = coalesce(excluded.note, p.note)
           returning (xmax = 0) as "is_new!""#,
        scope.as_str(),
        target,
        cause.as_str(),
        note,
        by
    )
    .fetch_one(db)
    .await?;
    Ok(is_new)
}

/// Resumes. Answers false if it was not paused.
pub async fn resume(db: &mut DbConnection, target: &PauseTarget) -> DbResult<bool> {
    let (scope, target) = target.columns();
    let resumed = sqlx::query!(
        "delete from syncline.pause where scope = $1 and target = $2",
        scope.as_str(),
        target
    )
    .execute(db)
    .await?;
    Ok(resumed.rows_affected() == 1)
}

/// Everything that rests, the widest first.
pub async fn list_pauses(db: &mut DbConnection) -> DbResult<Vec<Pause>> {
    Ok(sqlx::query_as!(
        Pause,
        r#"select p.scope as "scope: PauseScope", coalesce(b.key, c.key, p.target) as "target!",
                  p.cause as "cause: PauseCause", p.note, p.paused_by, p.paused_at
           from syncline.pause p
           left join syncline.business b on p.scope = 'business' and b.id::text = p.target
           left join syncline.connection c on p.scope = 'connection' and c.id::text = p.target
           order by p.scope = 'everything' desc, p.scope = 'platform' desc, p.scope = 'business' desc, p.target"#
    )
    .fetch_all(db)
    .await?)
}

/// True if something was paused within the last minute: a run that was queued at that moment may have been overlooked.
pub async fn is_fresh(db: &mut DbConnection) -> DbResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from syncline.pause where paused_at > syncline.now() - interval '1 minute') as "fresh!""#
    )
    .fetch_one(db)
    .await?)
}
