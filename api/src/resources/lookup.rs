//! Finds what an input names in the database, and saves what was checked. Joins the caller's transaction.

use chrono::{DateTime, TimeDelta, Utc};
use syncline_engine::Catalog;
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::db::schedule::Schedule;
use syncline_shared::db::{DbConnection, DbResult, business, schedule};
use syncline_shared::ids::{BusinessId, ConnectionId, ScheduleId};
use syncline_shared::schedule::{AfterOutcome, TargetKind};
use syncline_shared::secret::Cipher;

use super::connection::CheckedConnection;
use super::schedule::{AfterInput, Resolved, ResolvedTarget, ScheduleInput, TargetInput};
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

/// Looks up all that a schedule names, and checks it. `own` is the stored schedule that it takes the place of. `None`, with notes, if
/// something is not there or does not fit.
pub async fn resolve_schedule(
    db: &mut DbConnection,
    input: &ScheduleInput,
    own: Option<&Schedule>,
    catalog: &Catalog,
    pointer: &str,
    notes: &mut Notes,
) -> DbResult<Option<Resolved>> {
    let before = notes.len();
    let target = resolve_target(db, &input.target, pointer, notes).await?;
    let after = match &input.when.after {
        Some(after) => resolve_after(db, after, own, pointer, notes).await?,
        None => None,
    };
    let Some((target, platform)) = target else {
        return Ok(None);
    };
    input.check(platform.as_deref(), catalog, pointer, notes);
    Ok((notes.len() == before).then(|| Resolved {
        target,
        after,
        policy: input.policy.into(),
        retry: input.retry.into(),
    }))
}

/// Looks up the schedule that another is to follow. Until the transaction ends nobody else lets a schedule follow another.
async fn resolve_after(
    db: &mut DbConnection,
    after: &AfterInput,
    own: Option<&Schedule>,
    pointer: &str,
    notes: &mut Notes,
) -> DbResult<Option<(ScheduleId, AfterOutcome)>> {
    let at = format!("{pointer}/after/schedule");
    let name = &after.schedule;
    if name.is_empty() {
        return Ok(None);
    }
    schedule::lock_following(db).await?;
    let Some(found) = schedule::find(db, name).await? else {
        refuse_unknown("schedule", name, at, notes);
        return Ok(None);
    };
    if let Some(own) = own {
        let chain = schedule::list_followed(db, found.id).await?;
        if let Some(end) = chain.iter().position(|(id, _)| *id == own.id) {
            let path = std::iter::once(own.key.as_str())
                .chain(chain.iter().take(end + 1).map(|(_, key)| key.as_str()));
            refuse_circle(path, at, notes);
            return Ok(None);
        }
    }
    Ok(Some((found.id, after.when)))
}

/// Notes that schedules would wait for each other in a circle, with its path: each follows the next.
pub fn refuse_circle<'a>(path: impl Iterator<Item = &'a str>, pointer: String, notes: &mut Notes) {
    let path: Vec<&str> = path.collect();
    let detail = format!(
        "the schedules would wait for each other: {}; let one of them have a trigger of its own",
        path.join(" follows ")
    );
    notes.refuse(pointer, "circle", detail);
}

/// Saves a new schedule, due first at its first moment after now.
pub async fn create_schedule(
    db: &mut DbConnection,
    input: &ScheduleInput,
    resolved: &Resolved,
    now: DateTime<Utc>,
) -> ApiResult<ScheduleId> {
    let anchor = input.when.anchor_at(now);
    let created = schedule::create(db, &input.draft(resolved, anchor)).await;
    let id = created.map_err(|error| match error.constraint() {
        Some("schedule_key_unique") => ApiError::taken("schedule", &input.key),
        _ => error.into(),
    })?;
    set_next_moment(db, &input.key, now).await?;
    Ok(id)
}

/// The moment that an interval is counted from once it is saved: one that was an interval before goes on counting from where it did.
pub fn anchor_of(
    input: &ScheduleInput,
    stored: &Schedule,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let stays = input.when.anchor.is_none() && input.when.every_seconds.is_some();
    stored
        .anchor
        .filter(|_| stays)
        .or_else(|| input.when.anchor_at(now))
}

/// Saves a schedule in the place of a stored one, whose row the caller has locked. A moment that is due but not decided yet stays so
/// unless the trigger is another one.
pub async fn replace_schedule(
    db: &mut DbConnection,
    stored: &Schedule,
    input: &ScheduleInput,
    resolved: &Resolved,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let anchor = anchor_of(input, stored, now);
    schedule::update(db, stored.id, &input.draft(resolved, anchor)).await?;
    let has_same_trigger = stored.trigger == input.when.trigger
        && stored.cron == input.when.cron
        && stored.zone == input.when.zone
        && stored.every_seconds == input.when.every_seconds
        && stored.anchor == anchor
        && stored.run_at == input.when.run_at;
    // It has a moment, so it was active before.
    let overdue = stored
        .next_at
        .filter(|next| has_same_trigger && *next <= now && input.enabled);
    match overdue {
        Some(next) => Ok(schedule::set_next(db, stored.id, Some((next, next))).await?),
        None => set_next_moment(db, &stored.key, now).await,
    }
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
    let from = now + TimeDelta::microseconds(1);
    let moment = if stored.is_active() {
        stored
            .first_moment(from)
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
