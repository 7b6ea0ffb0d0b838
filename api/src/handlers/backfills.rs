//! Backfills: a data range that is read again, in runs of a given width, one after the other, behind everything else.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use syncline_engine::{Connector, StreamInfo};
use syncline_shared::db::backfill::{self, Backfill, NewBackfill};
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::db::run::DataRange;
use syncline_shared::db::{DbConnection, batch};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Named;
use super::batches::{Counts, cancel_runs};
use super::cancel::NoteInput;
use crate::auth::{Caller, Operator, Viewer};
use crate::error::{ApiError, ApiResult, FieldProblem, Problem};
use crate::extract::{OptionalBody, Params};
use crate::idempotency::{KeyedBody, Repeat, conclude};
use crate::page::{Page, PageRequest};
use crate::resources::{Fields, Notes, accept, check_streams, read_note, read_streams, take_note};
use crate::state::AppState;

/// Behind everything else.
const USUAL_PRIORITY: i16 = 90;
/// A day.
const USUAL_STEP: i64 = 86_400;
const MIN_STEP: i64 = 60;
/// 366 days.
const MAX_STEP: i64 = 366 * 86_400;
/// Runs of a backfill at most.
const MAX_RUNS: i64 = 100_000;

/// A data range to be read again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "connection": "acme-meta", "streams": ["campaign_performance"], "from": "2026-01-01T00:00:00Z",
    "to": "2026-02-01T00:00:00Z", "step_seconds": 86_400
}))]
pub(crate) struct BackfillInput {
    /// The connection: id or key.
    pub connection: String,
    /// The streams, all of which have a cursor; all that have one, if it is left out.
    pub streams: Option<Vec<String>>,
    /// First instant of the range, by the streams' cursors.
    pub from: DateTime<Utc>,
    /// First instant after the range.
    pub to: DateTime<Utc>,
    /// Width of a run.
    #[schema(required = false, minimum = 60, maximum = 31_622_400, default = 86_400)]
    pub step_seconds: i64,
    /// Priority of the runs, 0 to 100; the smaller, the sooner.
    #[schema(required = false, minimum = 0, maximum = 100, default = 90)]
    pub priority: i16,
    /// Why, in words.
    pub note: Option<String>,
}

/// A backfill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backfill)]
pub(crate) struct BackfillView {
    /// Identity; ordered by time of creation.
    pub id: Uuid,
    /// `running` until its last run has ended; then `succeeded`, `partial`, `failed` or `cancelled`.
    #[schema(example = "running")]
    pub status: &'static str,
    /// The connection.
    pub connection: Named,
    /// The batch of its runs.
    pub batch_id: Uuid,
    /// The streams.
    pub streams: Vec<String>,
    /// First instant of the range.
    pub from: DateTime<Utc>,
    /// First instant after it.
    pub to: DateTime<Utc>,
    /// Width of a run.
    pub step_seconds: i64,
    /// Priority of its runs.
    pub priority: i16,
    /// Where the next run begins; null: all were made, or it was cancelled.
    pub next_from: Option<DateTime<Utc>>,
    /// How many runs it has made.
    pub runs_made: i64,
    /// How many it makes in all.
    pub runs_in_all: i64,
    /// Why, in words.
    pub note: Option<String>,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// By whom.
    pub cancelled_by: Option<String>,
    /// When its last run ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// A backfill with its runs, counted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillDetail {
    /// The backfill.
    #[serde(flatten)]
    pub backfill: BackfillView,
    /// Its runs by what they are doing, or how they ended.
    pub counts: Counts,
}

impl From<Backfill> for BackfillView {
    fn from(found: Backfill) -> Self {
        let step = found.step_seconds;
        let runs_in_all = runs_between(found.range_from, found.range_to, step);
        let until = found
            .next_from
            .or(found.cancelled_at.map(|_| found.range_from))
            .unwrap_or(found.range_to);
        Self {
            status: match (found.cancelled_at, found.ended_at, found.outcome) {
                (Some(_), _, _) => "cancelled",
                (None, Some(_), Some(outcome)) => outcome.as_str(),
                _ => "running",
            },
            runs_made: runs_between(found.range_from, until, step),
            runs_in_all,
            id: found.id,
            connection: Named {
                id: found.connection_id.0,
                key: Some(found.connection_key),
            },
            batch_id: found.batch_id.0,
            streams: found.streams,
            from: found.range_from,
            to: found.range_to,
            step_seconds: step,
            priority: found.priority,
            next_from: found.next_from,
            note: found.note,
            requested_by: found.requested_by,
            created_at: found.created_at,
            cancelled_at: found.cancelled_at,
            cancelled_by: found.cancelled_by,
            ended_at: found.ended_at,
        }
    }
}

/// How many runs of a width a range takes.
fn runs_between(from: DateTime<Utc>, to: DateTime<Utc>, step_seconds: i64) -> i64 {
    let length = to - from;
    let seconds = length.num_seconds() + i64::from(length.subsec_nanos() > 0);
    // As `div_ceil`, of numbers that are not below zero.
    (seconds + step_seconds - 1) / step_seconds.max(1)
}

/// True if a stream can be read by data range.
fn has_cursor(stream: &StreamInfo) -> bool {
    stream.cursor.as_ref().is_some_and(|cursor| cursor.is_time)
}

/// What was asked for, read but not yet held against its connection.
struct Asked {
    connection: String,
    streams: Option<Vec<String>>,
    range: DataRange,
    step_seconds: i64,
    priority: i16,
    note: Option<String>,
}

fn read(body: &Value) -> ApiResult<Asked> {
    let mut notes = Notes::default();
    let Some(mut fields) = Fields::of(body, "", &mut notes) else {
        return Err(ApiError::Invalid(notes.into_problems()));
    };
    let connection = fields.required_text("connection", &mut notes);
    let streams = read_streams(&mut fields, &mut notes);
    let mut instant = |name: &'static str, notes: &mut Notes| {
        let before = notes.len();
        let instant = fields.instant(name, notes);
        if instant.is_none() && notes.len() == before {
            notes.refuse(fields.at(name), "required", format!("{name} is required"));
        }
        instant.map(|instant| instant.trunc_subsecs(6))
    };
    let from = instant("from", &mut notes);
    let to = instant("to", &mut notes);
    let step = fields.integer("step_seconds", MIN_STEP, MAX_STEP, &mut notes);
    let step_seconds = step.unwrap_or(USUAL_STEP);
    let priority = fields
        .integer("priority", 0, 100, &mut notes)
        .and_then(|priority| i16::try_from(priority).ok())
        .unwrap_or(USUAL_PRIORITY);
    let note = take_note(&mut fields, &mut notes);
    fields.finish(&mut notes);
    if let (Some(from), Some(to)) = (from, to) {
        if from >= to {
            notes.refuse("/to", "range", "the range ends before it begins");
        } else if runs_between(from, to, step_seconds) > MAX_RUNS {
            let detail = format!(
                "this would make more than {MAX_RUNS} runs; take a wider step, or a shorter range"
            );
            notes.refuse("/step_seconds", "range", detail);
        }
    }
    accept(notes)?;
    let (Some(from), Some(to)) = (from, to) else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    Ok(Asked {
        connection,
        streams,
        range: DataRange { from, to },
        step_seconds,
        priority,
        note,
    })
}

/// The streams to be read: those asked for, or all that can be. Fails if there is none, or one of them cannot be.
fn choose_streams(
    asked: Option<Vec<String>>,
    connection: &Connection,
    connector: Option<&Connector>,
) -> ApiResult<Vec<String>> {
    let mut notes = Notes::default();
    let Some(connector) = connector else {
        let detail = format!(
            "there is no connector for the connection's platform {:?} any more",
            connection.platform
        );
        notes.refuse("/connection", "unknown-platform", detail);
        return accept(notes).map(|()| Vec::new());
    };
    if !connection.enabled {
        let detail = format!(
            "the connection {:?} is disabled; enable it first",
            connection.key
        );
        notes.refuse("/connection", "disabled", detail);
    }
    check_streams(asked.as_deref(), connector, "/streams", &mut notes);
    let able: Vec<String> = connector
        .streams()
        .iter()
        .filter(|stream| has_cursor(stream))
        .map(|stream| stream.name.clone())
        .collect();
    let allowed = if able.is_empty() {
        "none of them has one".to_owned()
    } else {
        format!("these have one: {}", able.join(", "))
    };
    for (index, stream) in asked.iter().flatten().enumerate() {
        if connector.stream(stream).is_some() && !able.contains(stream) {
            let detail = format!(
                "the stream {stream:?} has no cursor, so no range of its data can be asked for; {allowed}"
            );
            notes.refuse(format!("/streams/{index}"), "no-cursor", detail);
        }
    }
    let chosen = asked.unwrap_or_else(|| {
        let own = connection.streams.as_deref();
        let is_own = |stream: &String| own.is_none_or(|own| own.contains(stream));
        able.iter()
            .filter(|stream| is_own(stream))
            .cloned()
            .collect()
    });
    if chosen.is_empty() {
        let detail = format!(
            "no stream of the connection has a cursor, so no range of its data can be asked for; {allowed}"
        );
        notes.refuse("/streams", "no-cursor", detail);
    }
    accept(notes)?;
    Ok(chosen)
}

/// Start a backfill
///
/// Reads a range of the data again, in runs of a given width: one at a time, behind everything else, with all limits. It upserts what
/// it reads and never moves where the next sync begins. It goes on where it was after any restart.
#[utoipa::path(
    post, path = "/api/v1/backfills", tag = "Backfills", operation_id = "createBackfill",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = crate::docs::IDEMPOTENCY_KEY)),
    request_body = BackfillInput,
    responses(
        (status = 202, description = "It begins within a second", body = BackfillView, headers(("Location" = String))),
        (status = 400, description = "An unreadable Idempotency-Key", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The same request is under way", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them: streams without a cursor among them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Operator(caller): Operator,
    State(state): State<AppState>,
    params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    params.finish()?;
    let asked = read(&body.value)?;
    let mut db = state.database.begin().await?;
    let done = create_once(&state, &mut db, &caller, asked, &body.repeat).await;
    let made = conclude(db, done).await?;
    state.schedules_changed.wake();
    let location = format!("/api/v1/backfills/{}", made.id);
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(made),
    )
        .into_response())
}

async fn create_once(
    state: &AppState,
    db: &mut DbConnection,
    caller: &Caller,
    asked: Asked,
    repeat: &Repeat,
) -> ApiResult<BackfillView> {
    if let Some(made) = repeat.look_up(db, caller).await? {
        let id = made["backfill"].as_str().unwrap_or_default();
        return Ok(find(db, id).await?.into());
    }
    let found = connection::find(db, &asked.connection).await?;
    let found = found.ok_or_else(|| ApiError::unknown("connection", &asked.connection))?;
    let connector = state.catalog.find(&found.platform);
    let streams = choose_streams(asked.streams, &found, connector)?;
    let new = NewBackfill {
        connection_id: found.id,
        streams: &streams,
        range: asked.range,
        step_seconds: asked.step_seconds,
        priority: asked.priority,
        note: asked.note.as_deref(),
        requested_by: &caller.name,
    };
    let id = backfill::create(db, &new).await?;
    repeat
        .remember(db, caller, &json!({ "backfill": id }))
        .await?;
    Ok(find(db, &id.to_string()).await?.into())
}

async fn find(db: &mut DbConnection, id: &str) -> ApiResult<Backfill> {
    let unknown = || ApiError::NotFound(format!("there is no backfill with the id {id:?}"));
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    backfill::find(db, id).await?.ok_or_else(unknown)
}

/// List backfills
///
/// The newest first.
#[utoipa::path(
    get, path = "/api/v1/backfills", tag = "Backfills", operation_id = "listBackfills",
    params(
        ("connection" = Option<String>, Query, description = "Only those of this connection: id or key"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of backfills", body = Page<BackfillView>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Page<BackfillView>>> {
    let name = params.text("connection");
    let page = PageRequest::read(&mut params);
    let before = page.after.as_ref().and_then(|after| after.parse().ok());
    if page.after.is_some() && before.is_none() {
        params.refuse(FieldProblem::new(
            "cursor",
            "cursor",
            "the cursor is not one that this list gave out",
        ));
    }
    params.finish()?;
    let mut db = state.database.session().await?;
    let connection = match name {
        None => None,
        Some(name) => {
            let found = connection::find(&mut db, &name).await?;
            Some(
                found
                    .ok_or_else(|| ApiError::unknown("connection", &name))?
                    .id,
            )
        }
    };
    let found = backfill::list(&mut db, connection, before, page.fetch()).await?;
    Ok(Json(page.page(
        found,
        |backfill| backfill.id.to_string(),
        BackfillView::from,
    )))
}

/// Show a backfill
#[utoipa::path(
    get, path = "/api/v1/backfills/{id}", tag = "Backfills", operation_id = "getBackfill",
    params(("id" = String, Path, description = "The backfill's id")),
    responses(
        (status = 200, description = "The backfill", body = BackfillDetail),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<BackfillDetail>> {
    let mut db = state.database.session().await?;
    detail(&mut db, &id).await.map(Json)
}

async fn detail(db: &mut DbConnection, id: &str) -> ApiResult<BackfillDetail> {
    let found = find(db, id).await?;
    let counts = match batch::find(db, found.batch_id).await? {
        None => batch::RunCounts::default(),
        Some(batch) => match batch.run_counts() {
            Some(counts) => counts,
            None => batch::count_runs(db, &batch).await?,
        },
    };
    Ok(BackfillDetail {
        backfill: found.into(),
        counts: counts.into(),
    })
}

/// Cancel a backfill
///
/// It makes no more runs, and the one that is unfinished is cancelled. What was read stays.
#[utoipa::path(
    post, path = "/api/v1/backfills/{id}/cancel", tag = "Backfills", operation_id = "cancelBackfill",
    params(("id" = String, Path, description = "The backfill's id")),
    request_body = Option<NoteInput>,
    responses(
        (status = 202, description = "It is cancelled", body = BackfillDetail),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    OptionalBody(body): OptionalBody,
) -> ApiResult<Response> {
    params.finish()?;
    let note = read_note(&body)?;
    let mut db = state.database.begin().await?;
    let done = async {
        let found = find(&mut db, &id).await?;
        if found.ended_at.is_some() {
            let detail = "the backfill has ended already".to_owned();
            return Err(ApiError::state("ended", detail));
        }
        backfill::cancel(&mut db, found.id, &caller.name).await?;
        Ok(found.batch_id)
    }
    .await;
    let batch = conclude(db, done).await?;
    cancel_runs(&state, batch, caller.name, note).await?;
    let mut db = state.database.session().await?;
    let view = detail(&mut db, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(view)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_takes_as_many_runs_as_its_width_says() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let from = at("2026-01-01T00:00:00Z");
        for (to, step, runs) in [
            ("2026-01-01T00:00:00Z", 60, 0),
            ("2026-01-02T00:00:00Z", 86_400, 1),
            ("2026-01-02T00:00:00.5Z", 86_400, 2),
            ("2026-01-08T12:00:00Z", 86_400, 8),
        ] {
            assert_eq!(runs_between(from, at(to), step), runs, "{to}");
        }
    }

    #[test]
    fn a_range_that_is_none_and_one_of_too_many_runs_are_refused() {
        let codes = |body: Value| match read(&body) {
            Err(ApiError::Invalid(problems)) => problems
                .into_iter()
                .map(|problem| problem.pointer)
                .collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        assert_eq!(codes(json!({})), ["/connection", "/from", "/to"]);
        let body = json!({"connection": "a", "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"});
        assert_eq!(codes(body), ["/to"]);
        let body = json!({
            "connection": "a", "from": "2000-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "step_seconds": 60
        });
        assert_eq!(codes(body), ["/step_seconds"]);
    }
}
