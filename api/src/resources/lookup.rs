//! Finds what an input names in the database, and saves what was checked. Joins the caller's transaction.

use chrono::{DateTime, TimeDelta, Utc};
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::db::{DbConnection, DbResult, business, schedule};
use syncline_shared::ids::{BusinessId, ConnectionId, ScheduleId};
use syncline_shared::schedule::TargetKind;
use syncline_shared::secret::Cipher;

use super::connection::CheckedConnection;
use super::schedule::{ResolvedTarget, ScheduleInput, TargetInput};
use super::{Notes, secrets};
use crate::error::{ApiError, ApiResult};

/// Notes that a field names something that does not exist.
pub fn refuse_unknown(noun: &str, name: &str, pointer: String, notes: &mut Notes) {
    let detail = format!("there is no {noun} with the id or key {name:?}; create it first");
    notes.refuse(pointer, format!("unknown-{noun}"), detail);
}

/// Looks up a target, and the platform whose streams it has, where that is one platform.
pub async fn resolve_target(
    db: &mut DbConnection,
    target: &TargetInput,
    pointer: &str,
    notes: &mut Notes,
) -> DbResult<Option<(ResolvedTarget, Option<String>)>> {
    let mut resolved = ResolvedTarget {
        kind: TargetKind::Everything,
        connection: None,
        business: None,
        platform: None,
    };
    let mut platform = None;
    match target {
        TargetInput::Connection(name) => {
            let Some(found) = connection::find(db, name).await? else {
                refuse_unknown(
                    "connection",
                    name,
                    format!("{pointer}/target/connection"),
                    notes,
                );
                return Ok(None);
            };
            resolved.kind = TargetKind::Connection;
            resolved.connection = Some(found.id);
            platform = Some(found.platform);
        }
        TargetInput::Business(name) => {
            let Some(found) = business::find(db, name).await? else {
                refuse_unknown(
                    "business",
                    name,
                    format!("{pointer}/target/business"),
                    notes,
                );
                return Ok(None);
            };
            resolved.kind = TargetKind::Business;
            resolved.business = Some(found.id);
        }
        TargetInput::Platform(name) => {
            resolved.kind = TargetKind::Platform;
            resolved.platform = Some(name.clone());
            platform = Some(name.clone());
        }
        TargetInput::Everything => {}
    }
    Ok(Some((resolved, platform)))
}

/// Saves a new connection with its secrets.
pub async fn create_connection(
    db: &mut DbConnection,
    cipher: &Cipher,
    checked: &CheckedConnection,
    business: BusinessId,
) -> ApiResult<ConnectionId> {
    let created = connection::create(db, &checked.draft(business)).await;
    let id = created.map_err(|error| match error.constraint() {
        Some("connection_key_unique") => ApiError::taken("connection", &checked.input.key),
        _ => error.into(),
    })?;
    if let Some(sealed) = secrets::seal(cipher, id.0, &checked.secrets)? {
        connection::set_credentials(db, id, Some(&sealed)).await?;
    }
    Ok(id)
}

/// Saves a new schedule, due first at its first moment after now.
pub async fn create_schedule(
    db: &mut DbConnection,
    input: &ScheduleInput,
    target: &ResolvedTarget,
    now: DateTime<Utc>,
) -> ApiResult<ScheduleId> {
    let anchor = input.when.anchor_at(now);
    let created = schedule::create(db, &input.draft(target, anchor)).await;
    let id = created.map_err(|error| match error.constraint() {
        Some("schedule_key_unique") => ApiError::taken("schedule", &input.key),
        _ => error.into(),
    })?;
    set_next_moment(db, &input.key, now).await?;
    Ok(id)
}

/// Gives a schedule its first moment after now, if it is active and time drives it. The caller has locked its row.
pub async fn set_next_moment(
    db: &mut DbConnection,
    key: &str,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let Some(stored) = schedule::find(db, key).await? else {
        return Ok(());
    };
    // Moments lie on whole microseconds at the finest, as the database keeps them.
    let moment = if stored.is_active() {
        stored
            .first_moment(now + TimeDelta::microseconds(1))
            .map_err(|error| ApiError::Internal(error.into()))?
    } else {
        None
    };
    Ok(schedule::set_next(db, stored.id, moment).await?)
}

/// The stored secrets of a connection.
pub async fn stored_secrets(
    db: &mut DbConnection,
    cipher: &Cipher,
    connection: &Connection,
) -> ApiResult<serde_json::Map<String, serde_json::Value>> {
    let sealed = connection::find_credentials(db, connection.id).await?;
    Ok(secrets::open(cipher, connection.id.0, sealed.as_ref())?)
}
