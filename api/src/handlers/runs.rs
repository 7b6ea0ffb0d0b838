//! Runs: asked for, listed, shown.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use syncline_engine::Connector;
use syncline_shared::db::batch::{self, NewBatch};
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::db::history::{self, RunFilter, RunView};
use syncline_shared::db::run::{NewRun, RunTarget, enqueue};
use syncline_shared::db::{DbConnection, business, schedule};
use syncline_shared::ids::{BatchId, RunId};
use syncline_shared::run::{PRIORITY_MANUAL, RunKind, RunOrigin, SYNC_QUEUE};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::batches;
use super::run_view::{Run, RunDetail};
use super::why::Surroundings;
use crate::auth::{Caller, Operator, Viewer};
use crate::error::{ApiError, ApiResult, FieldProblem, Problem};
use crate::extract::Params;
use crate::idempotency::{KeyedBody, Repeat, conclude};
use crate::page::{Page, PageRequest};
use crate::resources::schedule::{TargetInput, read_optional_target};
use crate::resources::{Fields, Notes, accept, check_streams, read_streams};
use crate::starting::{self, Start, made_batch};
use crate::state::AppState;

/// A caller may wait so long for a run to end.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_mins(1);
const LONGEST_WAIT_SECONDS: i64 = 60;
/// A run may be asked for so far ahead: 31 days.
const LONGEST_DELAY_SECONDS: i64 = 31 * 24 * 3600;
/// How often a wait looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Log lines shown with a run.
const LOG_LINES: i64 = 1000;

/// A run to be enqueued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"connection": "acme-g2a", "wait": 30}))]
pub(crate) struct RunInput {
    /// The connection: id or key. Either this or `target`.
    pub connection: Option<String>,
    /// Whose connections: the answer is a batch of runs.
    #[schema(required = false, schema_with = crate::docs::target_schema)]
    pub target: Option<TargetInput>,
    /// Only these streams; those that the connection has chosen, if it is left out.
    pub streams: Option<Vec<String>>,
    /// Reads this one page of one stream, and nothing else.
    #[schema(minimum = 0)]
    pub page: Option<i64>,
    /// `incremental`: from each stream's state; `full`: from the start. Not with `page`.
    #[schema(required = false, schema_with = crate::docs::run_kind_schema)]
    pub kind: Option<RunKind>,
    /// Due in so many seconds.
    #[schema(required = false, minimum = 0, maximum = 2_678_400)]
    pub delay_seconds: i64,
    /// Answer when the run has ended, but after so many seconds at the latest. Also as a query parameter.
    #[schema(required = false, minimum = 0, maximum = 60)]
    pub wait: i64,
}

/// Which runs a page of the list shows. Filters are combined by AND, the values of one by OR.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; `list` reads it")]
pub(crate) struct RunQuery {
    /// Only these statuses, separated by commas
    #[param(example = "waiting,failed")]
    status: Option<String>,
    /// Only this platform
    platform: Option<String>,
    /// Only this business: id or key
    business: Option<String>,
    /// Only this connection: id or key
    connection: Option<String>,
    /// Only this schedule: id or key
    schedule: Option<String>,
    /// Only this batch: id
    batch: Option<String>,
    /// Only runs created at this instant or later
    created_after: Option<DateTime<Utc>>,
    /// Only runs created before this instant
    created_before: Option<DateTime<Utc>>,
    /// Entries of a page; 50
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
}

impl RunInput {
    /// Reads the request for a run.
    pub(crate) fn read(value: &Value, notes: &mut Notes) -> Option<Self> {
        let mut fields = Fields::of(value, "", notes)?;
        let connection = fields.text("connection", notes);
        let target = read_optional_target(&mut fields, notes);
        let has_target = fields.value("target").is_some();
        match (connection.as_deref(), has_target) {
            (None | Some(""), false) => notes.refuse(
                "/connection",
                "required",
                "connection is required, or a target whose connections are meant",
            ),
            (Some(_), true) => notes.refuse(
                "/target",
                "both",
                "target stands beside connection; leave one of them out",
            ),
            _ => {}
        }
        let streams = read_streams(&mut fields, notes);
        let page = fields.integer("page", 0, i64::from(i32::MAX), notes);
        let kind = fields.word("kind", notes);
        if matches!(
            kind,
            Some(RunKind::Page | RunKind::Backfill | RunKind::Rebuild)
        ) || (page.is_some() && kind.is_some())
        {
            let detail = "kind is incremental or full, and is left out where page is given";
            notes.refuse("/kind", "kind", detail);
        }
        let delay_seconds = fields.integer("delay_seconds", 0, LONGEST_DELAY_SECONDS, notes);
        let wait = fields.integer("wait", 0, LONGEST_WAIT_SECONDS, notes);
        fields.finish(notes);
        let (delay_seconds, wait) = (delay_seconds.unwrap_or(0), wait.unwrap_or(0));
        Some(Self {
            connection,
            target,
            streams,
            page,
            kind,
            delay_seconds,
            wait,
        })
    }

    /// How much is read.
    fn kind(&self) -> RunKind {
        match (self.page, self.kind) {
            (Some(_), _) => RunKind::Page,
            (None, kind) => kind.unwrap_or(RunKind::Incremental),
        }
    }

    /// Checks it against its connection and connector, and fills in the stream of a page where there is no choice.
    fn check(&mut self, connection: &Connection, connector: Option<&Connector>, notes: &mut Notes) {
        let Some(connector) = connector else {
            let detail = format!(
                "there is no connector for the connection's platform {:?} any more",
                connection.platform
            );
            notes.refuse("/connection", "unknown-platform", detail);
            return;
        };
        if !connection.enabled {
            let detail = format!(
                "the connection {:?} is disabled; enable it first",
                connection.key
            );
            notes.refuse("/connection", "disabled", detail);
        }
        check_streams(self.streams.as_deref(), connector, "/streams", notes);
        if self.page.is_some() && notes.is_empty() {
            self.check_page(connector, notes);
        }
    }

    fn check_page(&mut self, connector: &Connector, notes: &mut Notes) {
        let pageable: Vec<&str> = connector
            .streams()
            .iter()
            .filter(|stream| stream.supports_page)
            .map(|stream| stream.name.as_str())
            .collect();
        let allowed = if pageable.is_empty() {
            "none of them".to_owned()
        } else {
            pageable.join(", ")
        };
        match (self.streams.as_deref(), pageable.as_slice()) {
            (Some([stream]), _) if pageable.contains(&stream.as_str()) => {}
            (None, [only]) => self.streams = Some(vec![(*only).to_owned()]),
            (Some([stream]), _) => notes.refuse(
                "/streams/0",
                "no-page",
                format!("no single page of {stream:?} can be asked for; it can be of: {allowed}"),
            ),
            _ => notes.refuse(
                "/streams",
                "one-stream",
                format!("a page belongs to exactly one stream; name one of: {allowed}"),
            ),
        }
    }
}

/// Start runs
///
/// Enqueues one run of a connection, or with `target` one of each of its connections as a batch. With `wait`, the answer comes when
/// all has ended: 200 with the counts; or 202 when the time was up first.
#[utoipa::path(
    post, path = "/api/v1/runs", tag = "Runs", operation_id = "createRun",
    params(
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 60, description = "As in the body"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = crate::docs::IDEMPOTENCY_KEY),
    ),
    request_body = RunInput,
    responses(
        (status = 200, description = "It has ended; with `target` the answer is a Batch", body = Run, headers(("Location" = String))),
        (status = 202, description = "It is enqueued; with `target` the answer is a Batch", body = Run, headers(("Location" = String))),
        (status = 400, description = "An unknown or unreadable parameter or Idempotency-Key", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No connection of the target got a run, and why; or the same request is under way", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them; or another request was carried out under the key", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Operator(caller): Operator,
    State(state): State<AppState>,
    mut params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    let wait = params.integer("wait", 0, 60);
    params.finish()?;
    let mut notes = Notes::default();
    let input = RunInput::read(&body.value, &mut notes);
    accept(notes)?;
    let Some(mut input) = input else {
        return Err(ApiError::Invalid(Vec::new()));
    };

    let wait = wait.and_then(|wait| u64::try_from(wait).ok());
    let wait = Duration::from_secs(wait.unwrap_or_else(|| input.wait.unsigned_abs()));

    let mut db = state.database.begin().await?;
    let done = create_once(&state, &mut db, &caller, &mut input, &body.repeat).await;
    let made = conclude(db, done).await?;
    state.runs_queued.wake();
    match made {
        Made::Run(id) => Ok(started(wait_for(&state, id, wait).await?)),
        Made::Batch(id) => batches::waited(&state, id, wait).await,
    }
}

/// What a request made.
enum Made {
    Run(RunId),
    Batch(BatchId),
}

async fn create_once(
    state: &AppState,
    db: &mut DbConnection,
    caller: &Caller,
    input: &mut RunInput,
    repeat: &Repeat,
) -> ApiResult<Made> {
    if let Some(made) = repeat.look_up(db, caller).await? {
        return if made.get("batch").is_some() {
            made_batch(&made).map(Made::Batch)
        } else {
            made_run(&made).map(Made::Run)
        };
    }
    if let Some(target) = &input.target {
        let (kind, page) = (input.kind(), input.page);
        let start = Start {
            target,
            streams: input.streams.as_deref(),
            kind,
            page,
            delay: Duration::from_secs(input.delay_seconds.unsigned_abs()),
        };
        let id = starting::start(db, &state.catalog, &start, &caller.name).await?;
        repeat.remember(db, caller, &json!({ "batch": id })).await?;
        return Ok(Made::Batch(id));
    }
    let name = input.connection.clone().unwrap_or_default();
    let found = connection::find(db, &name).await?;
    let found = found.ok_or_else(|| ApiError::unknown("connection", &name))?;
    let mut notes = Notes::default();
    input.check(&found, state.catalog.find(&found.platform), &mut notes);
    accept(notes)?;
    let id = enqueue_run(db, input, &found, &caller.name).await?;
    repeat.remember(db, caller, &json!({ "run": id })).await?;
    Ok(Made::Run(id))
}

/// A run that was asked for: 200 if it has ended, else 202; with its address.
pub(super) fn started(run: RunView) -> Response {
    let status = if run.status.is_terminal() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let location = format!("/api/v1/runs/{}", run.id);
    (status, [(header::LOCATION, location)], Json(Run::from(run))).into_response()
}

/// The run of an answer that was remembered under an idempotency key.
pub(super) fn made_run(made: &Value) -> ApiResult<RunId> {
    let id = made["run"].as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("no run is remembered under the key")))
}

async fn enqueue_run(
    db: &mut DbConnection,
    input: &RunInput,
    connection: &Connection,
    requested_by: &str,
) -> ApiResult<RunId> {
    let kind = input.kind();
    let batch = NewBatch {
        streams: input.streams.as_deref(),
        kind: Some(kind),
        ..NewBatch::of_connection(connection.id, requested_by)
    };
    let batch_id = batch::create(db, &batch).await?;
    let new = NewRun {
        queue: SYNC_QUEUE,
        batch_id,
        schedule_id: None,
        origin: RunOrigin::Manual,
        requested_by: Some(requested_by),
        kind,
        streams: input.streams.as_deref(),
        page: input.page,
        priority: PRIORITY_MANUAL,
        delay: Duration::from_secs(input.delay_seconds.unsigned_abs()),
        range: None,
        time_limit_seconds: None,
    };
    let target = RunTarget {
        connection_id: connection.id,
        business_id: connection.business_id,
        platform: connection.platform.clone(),
        retry_of: None,
        delay: Duration::ZERO,
    };
    let enqueued = enqueue(db, &new, &[target]).await?;
    let first = enqueued.first().map(|run| run.id);
    first.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("the enqueue answered no run")))
}

/// The run when it has ended, or as it is when the time is up or the process drains.
async fn wait_for(state: &AppState, id: RunId, wait: Duration) -> ApiResult<RunView> {
    let deadline = Instant::now() + wait;
    loop {
        let run = find(state, id).await?;
        let up = Instant::now() >= deadline || state.life.draining().is_cancelled();
        if run.status.is_terminal() || up {
            return Ok(run);
        }
        tokio::select! {
            () = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_EVERY)) => {}
            () = state.life.draining().cancelled() => {}
        }
    }
}

/// The run as it is now.
pub(super) async fn find(state: &AppState, id: RunId) -> ApiResult<RunView> {
    let mut db = state.database.session().await?;
    let found = history::find_run(&mut db, id).await?;
    found.ok_or_else(|| unknown(&id.to_string()))
}

/// A run's id, as it stands in an address.
pub(crate) fn read_id(text: &str) -> ApiResult<RunId> {
    text.parse().map_err(|_| unknown(text))
}

/// There is no such run.
pub(crate) fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no run with the id {id:?}"))
}

/// List runs
///
/// The newest first, finished or not.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "Runs", operation_id = "listRuns",
    params(RunQuery),
    responses(
        (status = 200, description = "A page of runs", body = Page<Run>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such business, connection, schedule or batch", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Page<Run>>> {
    let mut filter = RunFilter {
        statuses: params.words("status"),
        platform: params.text("platform"),
        created_from: params.instant("created_after").map(since_1970),
        created_before: params.instant("created_before").map(since_1970),
        ..RunFilter::default()
    };
    let names = ["business", "connection", "schedule"].map(|name| params.text(name));
    let batch = params.text("batch");
    let page = PageRequest::read(&mut params);
    if let Some(after) = &page.after {
        match after.parse() {
            Ok(id) => filter.before = Some(id),
            Err(_) => params.refuse(FieldProblem::new(
                "cursor",
                "cursor",
                "the cursor is not one that this list gave out",
            )),
        }
    }
    params.finish()?;
    let mut db = state.database.session().await?;
    resolve_names(&mut db, &mut filter, names).await?;
    if let Some(name) = batch {
        let unknown = || ApiError::NotFound(format!("there is no batch with the id {name:?}"));
        let id = name.parse().map_err(|_| unknown())?;
        let found = batch::find(&mut db, id).await?.ok_or_else(unknown)?;
        filter.batch = Some(id);
        filter.schedule = filter.schedule.or(found.schedule_id);
    }
    let found = history::list_runs(&mut db, &filter, page.fetch()).await?;
    Ok(Json(page.page(found, |run| run.id.to_string(), Run::from)))
}

/// Looks up the business, connection and schedule of a filter, each by id or key.
pub(super) async fn resolve_names(
    db: &mut DbConnection,
    filter: &mut RunFilter,
    [of_business, of_connection, of_schedule]: [Option<String>; 3],
) -> ApiResult<()> {
    if let Some(name) = of_business {
        let found = business::find(db, &name).await?.map(|found| found.id);
        filter.business = Some(known_or_id(found, "business", &name)?);
    }
    if let Some(name) = of_connection {
        let found = connection::find(db, &name).await?.map(|found| found.id);
        filter.connection = Some(known_or_id(found, "connection", &name)?);
    }
    if let Some(name) = of_schedule {
        let found = schedule::find(db, &name).await?.map(|found| found.id);
        filter.schedule = Some(known_or_id(found, "schedule", &name)?);
    }
    Ok(())
}

/// What was found, or the id as it was given: runs outlive what they were made for.
fn known_or_id<T: FromStr>(found: Option<T>, noun: &str, name: &str) -> ApiResult<T> {
    found
        .or_else(|| name.parse().ok())
        .ok_or_else(|| ApiError::unknown(noun, name))
}

/// Run ids count milliseconds since 1970; no run is older.
pub(super) fn since_1970(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant.max(DateTime::UNIX_EPOCH)
}

/// Show a run
///
/// With its attempts, progress by stream, checkpoint and the last 1,000 log lines.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "Runs", operation_id = "getRun",
    params(("id" = String, Path, description = "The run's id")),
    responses(
        (status = 200, description = "The run", body = RunDetail),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<RunDetail>> {
    let id = read_id(&id)?;
    let mut db = state.database.session().await?;
    let found = history::find_run(&mut db, id).await?;
    let found = found.ok_or_else(|| unknown(&id.to_string()))?;
    let around = Surroundings::look(&mut db, &found, state.lease).await?;
    let attempts = history::list_attempts(&mut db, id).await?;
    let log = history::list_log(&mut db, id, LOG_LINES).await?;
    Ok(Json(RunDetail::new(found, &around, attempts, log)))
}
