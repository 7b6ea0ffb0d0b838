//! Schedules as the sync page of an earlier system knows them: a type, a frequency, a status.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use syncline_shared::db;
use syncline_shared::db::schedule::{self, ScheduleFilter};
use syncline_shared::schedule::{Trigger, TriggerKind};
use utoipa::ToSchema;

use super::trigger::answer;
use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::handlers::created;
use crate::handlers::schedules::control::{pause_locked, resume_locked, start};
use crate::handlers::schedules::view::{ScheduleView, view_all};
use crate::handlers::schedules::{change, create_checked};
use crate::idempotency::{KeyedBody, conclude};
use crate::resources::schedule::merge_schedule;
use crate::resources::{Fields, Notes, accept};
use crate::starting::TriggerNow;
use crate::state::AppState;

/// Schedules shown at most.
const MAX_SHOWN: i64 = 200;
/// Longest key of a schedule.
const MAX_KEY: usize = 63;
const TYPES: [&str; 3] = ["campaigns", "performance", "both"];
const FREQUENCIES: [&str; 4] = ["hourly", "daily", "weekly", "manual"];
const STATUSES: [&str; 2] = ["active", "paused"];

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncSchedule {
    /// Its key.
    #[schema(example = "campaigns-hourly")]
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// `campaigns`, `performance` or `both`, by its streams.
    #[serde(rename = "type")]
    #[schema(example = "both")]
    pub kind: &'static str,
    /// `hourly`, `daily`, `weekly` or `manual`: which of these comes nearest.
    #[schema(example = "hourly")]
    pub frequency: &'static str,
    /// Its next moment; null: it has none.
    pub next_run: Option<DateTime<Utc>>,
    /// When its last batch was enqueued.
    pub last_run: Option<DateTime<Utc>>,
    /// `active`, `paused`, `error` or `running`.
    #[schema(example = "active")]
    pub status: &'static str,
    /// False: it is never due.
    pub enabled: bool,
}

/// A schedule to be made or changed. What is left out stays, or is as it is by default.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(example = json!({"name": "Campaigns, hourly", "type": "campaigns", "frequency": "hourly"}))]
pub(crate) struct SyncScheduleInput {
    /// Its key; made of the name, if it is left out.
    pub id: Option<String>,
    /// Shown to people.
    pub name: Option<String>,
    /// `campaigns`, `performance` or `both`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `hourly`: on the hour; `daily`: at 02:00; `weekly`: on Monday at 02:00, UTC; `manual`: on request.
    pub frequency: Option<String>,
    /// `active` resumes, `paused` pauses.
    pub status: Option<String>,
    /// False: it is never due.
    pub enabled: Option<bool>,
}

impl SyncScheduleInput {
    fn read(body: &Value) -> ApiResult<Self> {
        let mut notes = Notes::default();
        let Some(mut fields) = Fields::of(body, "", &mut notes) else {
            return Err(ApiError::Invalid(notes.into_problems()));
        };
        // What an answer holds beside these may be sent back, and changes nothing.
        for shown in ["next_run", "last_run"] {
            fields.value(shown);
        }
        let read = Self {
            id: fields.text("id", &mut notes),
            name: fields.text("name", &mut notes),
            kind: one_of(&mut fields, "type", &TYPES, &mut notes),
            frequency: one_of(&mut fields, "frequency", &FREQUENCIES, &mut notes),
            status: read_status(&mut fields, &mut notes),
            enabled: fields.boolean("enabled", &mut notes),
        };
        fields.finish(&mut notes);
        accept(notes)?;
        Ok(read)
    }

    /// The same as a change of a schedule.
    fn as_change(&self) -> Value {
        let mut change = Map::new();
        if let Some(name) = &self.name {
            change.insert("name".to_owned(), json!(name));
        }
        if let Some(enabled) = self.enabled {
            change.insert("enabled".to_owned(), json!(enabled));
        }
        let streams = match self.kind.as_deref() {
            Some("campaigns") => Some(json!(["campaigns"])),
            Some("performance") => Some(json!(["campaign_performance"])),
            Some(_) => Some(Value::Null),
            None => None,
        };
        if let Some(streams) = streams {
            change.insert("streams".to_owned(), streams);
        }
        let trigger = match self.frequency.as_deref() {
            Some("hourly") => Some(("preset", json!({"hourly": {"minute": 0}}))),
            Some("daily") => Some(("preset", json!({"daily": "02:00"}))),
            Some("weekly") => Some((
                "preset",
                json!({"weekly": {"days": ["mon"], "at": "02:00"}}),
            )),
            Some(_) => Some(("trigger", json!("manual"))),
            None => None,
        };
        if let Some((field, trigger)) = trigger {
            change.insert(field.to_owned(), trigger);
        }
        Value::Object(change)
    }
}

fn one_of(
    fields: &mut Fields<'_>,
    name: &'static str,
    allowed: &[&str],
    notes: &mut Notes,
) -> Option<String> {
    let word = fields.text(name, notes)?;
    if !allowed.contains(&word.as_str()) {
        let detail = format!(
            "{name} {word:?} is not known; allowed: {}",
            allowed.join(", ")
        );
        notes.refuse(fields.at(name), "unknown-value", detail);
    }
    Some(word)
}

/// A status that is asked for. The two that nobody can ask for may be sent back, and change nothing.
fn read_status(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<String> {
    let status = fields.text("status", notes)?;
    if ["running", "error"].contains(&status.as_str()) {
        return None;
    }
    one_of(fields, "status", &STATUSES, notes)
}

fn show(view: &ScheduleView, now: DateTime<Utc>) -> SyncSchedule {
    SyncSchedule {
        id: view.key.clone(),
        name: view.name.clone(),
        kind: type_of(view.streams.as_deref()),
        frequency: frequency_of(view, now),
        next_run: view.next_at,
        last_run: view.last_batch.as_ref().map(|batch| batch.created_at),
        status: view.state.as_str(),
        enabled: view.enabled,
    }
}

fn type_of(streams: Option<&[String]>) -> &'static str {
    let streams = streams.unwrap_or_default();
    let of_performance = streams
        .iter()
        .filter(|stream| stream.contains("performance"))
        .count();
    match (streams.len(), of_performance) {
        (0, _) => "both",
        (all, some) if all == some => "performance",
        (_, 0) => "campaigns",
        _ => "both",
    }
}

fn frequency_of(view: &ScheduleView, now: DateTime<Utc>) -> &'static str {
    let between = match (view.trigger, view.every_seconds, &view.cron) {
        (TriggerKind::Interval, Some(seconds), _) => Some(TimeDelta::seconds(seconds)),
        (TriggerKind::Cron, _, Some(cron)) => {
            Trigger::cron(cron, &view.zone).ok().and_then(|trigger| {
                let next = trigger.next_after(now)?;
                Some(trigger.next_after(next)? - next)
            })
        }
        _ => None,
    };
    match between {
        None => "manual",
        Some(between) if between < TimeDelta::hours(12) => "hourly",
        Some(between) if between < TimeDelta::days(4) => "daily",
        Some(_) => "weekly",
    }
}

/// List schedules
///
/// All on one page, at most 200. The same as `GET /api/v1/schedules`.
#[utoipa::path(
    get, path = "/api/v1/sync/schedules", tag = "Compatibility", operation_id = "compatSyncSchedules",
    responses(
        (status = 200, description = "The schedules", body = [SyncSchedule]),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<Vec<SyncSchedule>>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let found = schedule::list(&mut db, &ScheduleFilter::default(), MAX_SHOWN).await?;
    let views = view_all(&mut db, found).await?;
    Ok(Json(views.iter().map(|view| show(view, now)).collect()))
}

/// Create a schedule
///
/// For everything. The same as `POST /api/v1/schedules`.
#[utoipa::path(
    post, path = "/api/v1/sync/schedules", tag = "Compatibility", operation_id = "compatCreateSyncSchedule",
    request_body = SyncScheduleInput,
    responses(
        (status = 201, description = "Created", body = SyncSchedule, headers(("Location" = String))),
        (status = 409, description = "The key is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Operator(caller): Operator,
    State(state): State<AppState>,
    params: Params,
    Body(body): Body,
) -> ApiResult<Response> {
    params.finish()?;
    let input = SyncScheduleInput::read(&body)?;
    let key = input
        .id
        .clone()
        .unwrap_or_else(|| key_of(input.name.as_deref().unwrap_or_default()));
    let mut document = json!({"key": key, "target": "everything", "trigger": "manual"});
    merge_schedule(&mut document, &input.as_change());
    let mut db = state.database.begin().await?;
    let done = async {
        let mut view = create_checked(&state, &mut db, &document).await?;
        if input.status.as_deref() == Some("paused") {
            view = pause_locked(&mut db, &view.key, &caller.name, None).await?;
        }
        let now = db::now(&mut db).await?;
        Ok(show(&view, now))
    }
    .await;
    let made = conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(created(format!("/api/v1/schedules/{}", made.id), made))
}

/// A key made of a name.
fn key_of(name: &str) -> String {
    let mut key = String::new();
    for letter in name.chars() {
        match letter.to_ascii_lowercase() {
            plain @ ('a'..='z' | '0'..='9') => key.push(plain),
            _ if key.is_empty() || key.ends_with('-') => {}
            _ => key.push('-'),
        }
    }
    key.truncate(MAX_KEY);
    key.trim_end_matches('-').to_owned()
}

/// Change a schedule
///
/// What is left out stays. The same as `PATCH`, `pause` and `resume` of `/api/v1/schedules/{id}`.
#[utoipa::path(
    put, path = "/api/v1/sync/schedules/{id}", tag = "Compatibility", operation_id = "compatUpdateSyncSchedule",
    params(("id" = String, Path, description = "Key or id", example = "campaigns-hourly")),
    request_body = SyncScheduleInput,
    responses(
        (status = 200, description = "The schedule as it is now", body = SyncSchedule),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    Body(body): Body,
) -> ApiResult<Json<SyncSchedule>> {
    params.finish()?;
    let input = SyncScheduleInput::read(&body)?;
    let mut wanted = input.as_change();
    if let Some(key) = &input.id {
        wanted["key"] = json!(key);
    }
    let mut view = change(&state, &id, |mut document| {
        merge_schedule(&mut document, &wanted);
        document
    })
    .await?;
    let mut db = state.database.begin().await?;
    let done = async {
        match input.status.as_deref() {
            Some("paused") => {
                view = pause_locked(&mut db, &view.key, &caller.name, None).await?;
            }
            Some("active") => view = resume_locked(&mut db, &view.key).await?,
            _ => {}
        }
        let now = db::now(&mut db).await?;
        Ok(show(&view, now))
    }
    .await;
    let shown = conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(Json(shown))
}

/// Trigger a schedule now
///
/// The same as `POST /api/v1/schedules/{id}/trigger`.
#[utoipa::path(
    post, path = "/api/v1/sync/schedules/{id}/trigger", tag = "Compatibility", operation_id = "compatTriggerSyncSchedule",
    params(("id" = String, Path, description = "Key or id", example = "campaigns-hourly")),
    responses(
        (status = 202, description = "The runs are enqueued", body = super::answer::SyncAnswer),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No connection got a run, and why", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn trigger(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    params.finish()?;
    let asked = TriggerNow::default();
    let batch = start(&state, &id, &asked, &caller, &body.repeat).await?;
    answer(&state, batch, "Sync", std::time::Duration::ZERO).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_a_name() {
        assert_eq!(key_of("Campaigns, every Hour!"), "campaigns-every-hour");
        assert_eq!(key_of("--"), "");
        assert_eq!(key_of(&"a b".repeat(40)).len(), 63);
    }

    #[test]
    fn the_type_follows_from_the_streams() {
        let of = |streams: &[&str]| {
            let streams: Vec<String> = streams.iter().map(|&stream| stream.to_owned()).collect();
            type_of(Some(&streams))
        };
        assert_eq!(type_of(None), "both");
        assert_eq!(of(&["campaigns", "ads"]), "campaigns");
        assert_eq!(of(&["campaign_performance"]), "performance");
        assert_eq!(of(&["campaigns", "campaign_performance"]), "both");
    }
}
