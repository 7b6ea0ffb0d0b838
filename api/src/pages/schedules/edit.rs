//! The form that makes a schedule and changes one. A preview is asked for by a button of its own: it saves nothing.

use std::fmt;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use chrono_tz::TZ_VARIANTS;
use serde_json::{Map, Value};
use syncline_shared::db::schedule::{Schedule, ScheduleFilter};
use syncline_shared::db::{self, DbConnection, business, connection, schedule};
use syncline_shared::schedule::{AfterOutcome, CatchUpMode, Overlap};

use super::control::to_the_schedule;
use super::form::{DAYS, Typed, UNITS, Wrong};
use super::preview::NextTick;
use super::words;
use crate::auth::Operator;
use crate::error::{ApiError, ApiResult, FieldProblem};
use crate::extract::{Body, Params};
use crate::handlers::schedules as api;
use crate::idempotency::conclude;
use crate::pages::form::{Fields, SessionForm};
use crate::pages::visitor::{Frame, Visitor};
use crate::resources::schedule::{merge_schedule, stored_document};
use crate::state::AppState;

/// Names offered in the field of the target, of each kind.
const SUGGESTED: i64 = 200;
/// The fields of a schedule that a preview looks at.
const PREVIEWED: [&str; 15] = [
    "trigger",
    "cron",
    "zone",
    "every_seconds",
    "anchor",
    "run_at",
    "after",
    "preset",
    "catch_up",
    "overlap",
    "jitter_seconds",
    "start_at",
    "end_at",
    "max_runs",
    "pause_after_failures",
];

#[derive(Debug, Template)]
#[template(path = "schedule_form.html")]
struct FormPage {
    frame: Frame,
    /// The schedule that is changed; none if one is made.
    changed: Option<(String, String)>,
    typed: Typed,
    wrong: Wrong,
    preview: Option<PreviewBox>,
    names: Vec<Suggestion>,
    schedules: Vec<String>,
    zones: Vec<String>,
    overlaps: Vec<PolicyChoice>,
    catch_ups: Vec<PolicyChoice>,
}

#[derive(Debug)]
struct PreviewBox {
    words: String,
    ticks: Vec<NextTick>,
}

/// A name that can be a target, and what it is the name of.
#[derive(Debug)]
struct Suggestion {
    name: String,
    kind: &'static str,
}

#[derive(Debug)]
struct PolicyChoice {
    value: &'static str,
    title: &'static str,
    consequence: &'static str,
}

/// What a form is answered with.
#[derive(Debug, Default)]
struct Said {
    wrong: Wrong,
    preview: Option<PreviewBox>,
}

/// The empty form.
pub(in crate::pages) async fn show_new(
    visitor: Visitor,
    _: Operator,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Response> {
    params.finish()?;
    form(visitor, &state, None, Typed::new(), Said::default()).await
}

/// Makes a schedule and shows it, or says what is wrong, or previews it.
pub(in crate::pages) async fn create(
    visitor: Visitor,
    _: Operator,
    State(state): State<AppState>,
    SessionForm(fields): SessionForm,
) -> ApiResult<Response> {
    let typed = Typed::read(&fields);
    let mut document = typed.document();
    if is_preview(&fields) {
        let said = preview(&visitor, &state, &typed, document).await?;
        return form(visitor, &state, None, typed, said).await;
    }
    if let Value::Object(members) = &mut document {
        members.insert("key".to_owned(), typed.key.clone().into());
    }
    let mut db = state.database.begin().await?;
    let done = api::create_checked(&state, &mut db, &document).await;
    match conclude(db, done).await {
        Ok(made) => {
            state.schedules_changed.wake();
            Ok(to_the_schedule(&made.key))
        }
        Err(error) => {
            let said = refused(&typed, error)?;
            form(visitor, &state, None, typed, said).await
        }
    }
}

/// The form of a schedule as it is.
pub(in crate::pages) async fn show(
    visitor: Visitor,
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<Response> {
    params.finish()?;
    let stored = find(&state, &id).await?;
    let typed = Typed::of(&stored);
    form(visitor, &state, Some(&stored), typed, Said::default()).await
}

/// Changes a schedule and shows it, or says what is wrong, or previews it. What the form does not have stays as it is.
pub(in crate::pages) async fn save(
    visitor: Visitor,
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    SessionForm(fields): SessionForm,
) -> ApiResult<Response> {
    let typed = Typed::read(&fields);
    let stored = find(&state, &id).await?;
    if is_preview(&fields) {
        let wanted = merged(stored_document(&stored), &typed.document());
        let said = preview(&visitor, &state, &typed, wanted).await?;
        return form(visitor, &state, Some(&stored), typed, said).await;
    }
    let change = typed.document();
    let id = stored.id.to_string();
    match api::change(&state, &id, |document| merged(document, &change)).await {
        Ok(saved) => Ok(to_the_schedule(&saved.key)),
        Err(error) => {
            let said = refused(&typed, error)?;
            form(visitor, &state, Some(&stored), typed, said).await
        }
    }
}

fn is_preview(fields: &Fields) -> bool {
    fields.get("do") == "preview"
}

async fn find(state: &AppState, id: &str) -> ApiResult<Schedule> {
    let mut db = state.database.session().await?;
    api::find(&mut db, id).await
}

/// A schedule's document with the change that the form makes.
fn merged(mut document: Value, change: &Value) -> Value {
    merge_schedule(&mut document, change);
    document
}

/// Problems of fields are the form's; others are pages of their own.
fn refused(typed: &Typed, error: ApiError) -> ApiResult<Said> {
    let problems: Vec<FieldProblem> = match error {
        ApiError::Invalid(problems) => problems,
        ApiError::Conflict { field, .. } => vec![field],
        other => return Err(other),
    };
    Ok(Said {
        wrong: typed.explain(&problems),
        preview: None,
    })
}

async fn preview(
    visitor: &Visitor,
    state: &AppState,
    typed: &Typed,
    mut document: Value,
) -> ApiResult<Said> {
    if let Value::Object(members) = &mut document {
        let kept = members
            .iter()
            .filter(|(name, _)| PREVIEWED.contains(&name.as_str()));
        let kept: Map<String, Value> = kept
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        *members = kept;
    }
    let now = {
        let mut db = state.database.session().await?;
        db::now(&mut db).await?
    };
    match api::preview::create(visitor.viewer(), State(state.clone()), Body(document)).await {
        Ok(found) => Ok(Said {
            wrong: Wrong::new(),
            preview: Some(PreviewBox {
                words: found.0.words,
                ticks: NextTick::all(found.0.ticks, now),
            }),
        }),
        Err(error) => refused(typed, error),
    }
}

async fn form(
    visitor: Visitor,
    state: &AppState,
    stored: Option<&Schedule>,
    typed: Typed,
    said: Said,
) -> ApiResult<Response> {
    let mut db = state.database.session().await?;
    let now: DateTime<Utc> = db::now(&mut db).await?;
    let others = schedule::list(&mut db, &ScheduleFilter::default(), SUGGESTED).await?;
    let title = match stored {
        Some(stored) => format!("Change {}", stored.name),
        None => "New schedule".to_owned(),
    };
    let is_wrong = !said.wrong.is_empty();
    let error = if is_wrong { "Error: " } else { "" };
    let page = FormPage {
        names: suggestions(&mut db, state).await?,
        frame: visitor.frame(format!("{error}{title}"), "schedules", now),
        schedules: others
            .into_iter()
            .map(|other| other.key)
            .filter(|key| stored.is_none_or(|stored| stored.key != *key))
            .collect(),
        zones: zones(&typed.zone),
        overlaps: choices(Overlap::ALL, Overlap::as_str, words::overlap),
        catch_ups: choices(CatchUpMode::ALL, CatchUpMode::as_str, words::catch_up),
        changed: stored.map(|stored| (stored.key.clone(), stored.name.clone())),
        wrong: said.wrong,
        preview: said.preview,
        typed,
    };
    let mut response = crate::pages::html(&page)?;
    if is_wrong {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

async fn suggestions(db: &mut DbConnection, state: &AppState) -> ApiResult<Vec<Suggestion>> {
    let connections = connection::list(db, None, None, None, SUGGESTED).await?;
    let businesses = business::list(db, None, SUGGESTED).await?;
    let platforms = state.catalog.all().map(|one| one.platform().to_owned());
    let of = |kind| move |name| Suggestion { name, kind };
    let mut all: Vec<Suggestion> = connections
        .into_iter()
        .map(|connection| connection.key)
        .map(of("connection"))
        .collect();
    all.extend(
        businesses
            .into_iter()
            .map(|one| one.key)
            .map(of("business")),
    );
    all.extend(platforms.map(of("platform")));
    Ok(all)
}

/// All zones, and the one that was typed.
fn zones(typed: &str) -> Vec<String> {
    let mut zones: Vec<String> = TZ_VARIANTS
        .iter()
        .map(|zone| zone.name().to_owned())
        .collect();
    if !typed.is_empty() && !zones.iter().any(|zone| zone == typed) {
        zones.insert(0, typed.to_owned());
    }
    zones
}

fn choices<T: Copy + fmt::Debug>(
    all: &[T],
    value: impl Fn(T) -> &'static str,
    words: impl Fn(T) -> words::Choice,
) -> Vec<PolicyChoice> {
    let choice = |one: &T| {
        let (title, consequence) = words(*one);
        PolicyChoice {
            value: value(*one),
            title,
            consequence,
        }
    };
    all.iter().map(choice).collect()
}

impl FormPage {
    /// What is wrong with a field.
    fn wrong_at(&self, field: &str) -> Option<&String> {
        let found = self.wrong.iter().find(|(told, _)| *told == field);
        found.map(|(_, text)| text)
    }

    fn units(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let chosen = self.typed.unit.clone();
        UNITS
            .iter()
            .rev()
            .map(move |(unit, _)| (*unit, *unit == chosen))
    }

    fn days(&self) -> Vec<(&'static str, &'static str, bool)> {
        let ticked = |value: &str| self.typed.days.iter().any(|day| day == value);
        DAYS.iter()
            .map(|(value, word)| (*value, *word, ticked(value)))
            .collect()
    }

    fn target_kinds() -> [(&'static str, &'static str); 4] {
        [
            ("connection", "One connection"),
            ("business", "All connections of a business"),
            ("platform", "All connections on a platform"),
            ("everything", "All connections"),
        ]
    }

    fn after_outcomes() -> [(&'static str, &'static str); 2] {
        [
            (AfterOutcome::Succeeded.as_str(), "that has succeeded"),
            (AfterOutcome::Ended.as_str(), "that has ended, however"),
        ]
    }
}
