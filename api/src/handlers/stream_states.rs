//! Where the next run of each stream of a connection begins: shown, set, forgotten; and reading everything again.
//!
//! A state is written in the message form of the manifests' language; what is stored is its `stream_state`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::db::{DbConnection, stream_state};
use syncline_shared::ids::BatchId;
use syncline_shared::run::RunKind;
use utoipa::ToSchema;

use super::batches::{BatchView, started};
use crate::auth::{Caller, Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::idempotency::{KeyedBody, Repeat, conclude};
use crate::page::Page;
use crate::resources::schedule::TargetInput;
use crate::resources::{Fields, Notes, accept, read_streams};
use crate::starting::{Start, made_batch, start};
use crate::state::AppState;

/// The state of a stream, in the message form of the manifests' language, and where it is from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamState)]
pub(crate) struct StateView {
    /// `STREAM`.
    #[serde(rename = "type")]
    #[schema(example = "STREAM")]
    pub kind: &'static str,
    /// The stream and its state.
    pub stream: StreamPart,
    /// The run that wrote it; null: a person did.
    pub run_id: Option<uuid::Uuid>,
    /// Who set it by hand.
    pub set_by: Option<String>,
    /// When it was written.
    pub updated_at: DateTime<Utc>,
}

/// A state in the message form of the manifests' language.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamStateMessage, example = json!({
    "type": "STREAM", "stream": {"stream_descriptor": {"name": "campaigns"}, "stream_state": {"updated_time": "2026-08-01"}}
}))]
pub(crate) struct StateInput {
    /// `STREAM`.
    #[serde(rename = "type")]
    #[schema(required = false)]
    pub kind: &'static str,
    /// The stream and its state.
    pub stream: StreamPart,
}

/// A stream and its state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamPart {
    /// Which stream.
    #[schema(required = false)]
    pub stream_descriptor: Descriptor,
    /// Its state: cursor field and value.
    #[schema(value_type = Object, example = json!({"updated_time": "2026-08-01"}))]
    pub stream_state: Value,
}

/// Names a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Descriptor {
    /// Its name in the manifest.
    #[schema(example = "campaigns")]
    pub name: String,
}

impl From<stream_state::StreamState> for StateView {
    fn from(found: stream_state::StreamState) -> Self {
        Self {
            kind: "STREAM",
            stream: StreamPart {
                stream_descriptor: Descriptor { name: found.stream },
                stream_state: found.state,
            },
            run_id: found.run_id.map(|id| id.0),
            set_by: found.set_by,
            updated_at: found.updated_at,
        }
    }
}

async fn find(db: &mut DbConnection, id: &str) -> ApiResult<Connection> {
    let found = connection::find(db, id).await?;
    found.ok_or_else(|| ApiError::unknown("connection", id))
}

/// Show the state of a connection
///
/// Of each stream that has one, all on one page. A stream without a state starts from the beginning.
#[utoipa::path(
    get, path = "/api/v1/connections/{id}/state", tag = "Connections", operation_id = "getState",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a")),
    responses(
        (status = 200, description = "The states of its streams", body = Page<StateView>),
        (status = 400, description = "An unknown parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<Json<Page<StateView>>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = find(&mut db, &id).await?;
    let states = stream_state::list_states(&mut db, found.id).await?;
    Ok(Json(Page {
        data: states.into_iter().map(StateView::from).collect(),
        next_cursor: None,
        has_more: false,
    }))
}

/// Reads the state of a message that may name its stream.
fn read_state(body: &Value, stream: &str) -> ApiResult<Value> {
    let mut notes = Notes::default();
    let Some(mut message) = Fields::of(body, "", &mut notes) else {
        return Err(ApiError::Invalid(notes.into_problems()));
    };
    if let Some(kind) = message.text("type", &mut notes)
        && kind != "STREAM"
    {
        let detail =
            format!("the type is {kind:?}; only messages of type STREAM are states of streams");
        notes.refuse("/type", "unknown-value", detail);
    }
    let mut state = None;
    match message.value("stream") {
        None => notes.refuse(
            "/stream",
            "required",
            "stream is required: {\"stream_state\": {...}}",
        ),
        Some(value) => {
            if let Some(mut part) = Fields::of(value, "/stream", &mut notes) {
                if let Some(descriptor) = part.value("stream_descriptor")
                    && let Some(mut names) =
                        Fields::of(descriptor, "/stream/stream_descriptor", &mut notes)
                {
                    let name = names.required_text("name", &mut notes);
                    if !name.is_empty() && name != stream {
                        let detail =
                            format!("the message is of stream {name:?}, the address of {stream:?}");
                        notes.refuse("/stream/stream_descriptor/name", "other-stream", detail);
                    }
                    names.finish(&mut notes);
                }
                match part.value("stream_state") {
                    Some(value @ Value::Object(_)) => state = Some(value.clone()),
                    Some(_) => notes.refuse(
                        "/stream/stream_state",
                        "type",
                        "stream_state must be an object: cursor field and value",
                    ),
                    None => notes.refuse(
                        "/stream/stream_state",
                        "required",
                        "stream_state is required; to start from the beginning, DELETE the state",
                    ),
                }
                part.finish(&mut notes);
            }
        }
    }
    // What an answer holds beside the message may be sent back, and changes nothing.
    for shown in ["run_id", "set_by", "updated_at"] {
        message.value(shown);
    }
    message.finish(&mut notes);
    accept(notes)?;
    state.ok_or_else(|| ApiError::Invalid(Vec::new()))
}

/// Set the state of a stream
///
/// Where its next run begins, in the message form of the manifests' language. Refused while a run of the connection is executed, which would
/// write its own state over it.
#[utoipa::path(
    put, path = "/api/v1/connections/{id}/state/{stream}", tag = "Connections", operation_id = "setState",
    params(
        ("id" = String, Path, description = "Id or key", example = "acme-g2a"),
        ("stream" = String, Path, description = "The stream", example = "campaigns"),
    ),
    request_body = StateInput,
    responses(
        (status = 200, description = "The state as it is now", body = StateView),
        (status = 404, description = "There is no such connection, or stream", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A run of the connection is being executed", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path((id, stream)): Path<(String, String)>,
    params: Params,
    Body(body): Body,
) -> ApiResult<Json<StateView>> {
    params.finish()?;
    let wanted = read_state(&body, &stream)?;
    let mut db = state.database.begin().await?;
    let done = async {
        let found = find(&mut db, &id).await?;
        let connector = state.catalog.find(&found.platform);
        if connector.is_none_or(|connector| connector.stream(&stream).is_none()) {
            return Err(ApiError::NotFound(format!(
                "platform {:?} has no stream {stream:?}",
                found.platform
            )));
        }
        refuse_while_running(&mut db, &found).await?;
        stream_state::set_state(&mut db, found.id, &stream, &wanted, &caller.name).await?;
        let states = stream_state::list_states(&mut db, found.id).await?;
        let own = states.into_iter().find(|state| state.stream == stream);
        own.map(StateView::from)
            .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("a state that was set is not there")))
    }
    .await;
    conclude(db, done).await.map(Json)
}

/// Forget the state of a stream
///
/// Its next run starts from the beginning. Refused while a run of the connection is executed.
#[utoipa::path(
    delete, path = "/api/v1/connections/{id}/state/{stream}", tag = "Connections", operation_id = "deleteState",
    params(
        ("id" = String, Path, description = "Id or key", example = "acme-g2a"),
        ("stream" = String, Path, description = "The stream", example = "campaigns"),
    ),
    responses(
        (status = 204, description = "It has none"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A run of the connection is being executed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    _: Operator,
    State(state): State<AppState>,
    Path((id, stream)): Path<(String, String)>,
    params: Params,
) -> ApiResult<StatusCode> {
    params.finish()?;
    let mut db = state.database.begin().await?;
    let done = async {
        let found = find(&mut db, &id).await?;
        refuse_while_running(&mut db, &found).await?;
        stream_state::delete_state(&mut db, found.id, &stream).await?;
        Ok(())
    }
    .await;
    conclude(db, done).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn refuse_while_running(db: &mut DbConnection, connection: &Connection) -> ApiResult<()> {
    match stream_state::find_running(db, connection.id).await? {
        None => Ok(()),
        Some(run) => Err(ApiError::state(
            "running",
            format!(
                "the run {run} of {:?} is being executed and would write its own state over this; pause the connection or cancel the run first",
                connection.key
            ),
        )),
    }
}

/// What is to be read again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Resync, example = json!({"streams": ["products"]}))]
pub(crate) struct ResyncInput {
    /// Only these streams; those that the connection has chosen, if it is left out.
    pub streams: Option<Vec<String>>,
    /// Removes the connection's rows of these streams, and forgets their states, before they are read again. Whoever reads the tables
    /// meanwhile finds what has come so far.
    #[schema(required = false, default = false)]
    pub remove_rows: bool,
}

/// Read everything of a connection again
///
/// One full run, whatever the states say. Rows stay readable meanwhile, unless they are to be removed first; what the platform no longer
/// has is marked as deleted when a stream was read to its end.
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/resync", tag = "Connections", operation_id = "resyncConnection",
    params(
        ("id" = String, Path, description = "Id or key", example = "acme-g2a"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = crate::docs::IDEMPOTENCY_KEY),
    ),
    request_body = Option<ResyncInput>,
    responses(
        (status = 202, description = "The run is enqueued", body = BatchView, headers(("Location" = String))),
        (status = 400, description = "An unreadable Idempotency-Key", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The connection is disabled; or the same request is under way", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them; or another request was carried out under the key", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resync(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    body: KeyedBody,
) -> ApiResult<Response> {
    params.finish()?;
    let mut notes = Notes::default();
    let mut streams = None;
    let mut kind = RunKind::Full;
    if let Some(mut fields) = Fields::of(&body.value, "", &mut notes) {
        streams = read_streams(&mut fields, &mut notes);
        if fields.boolean("remove_rows", &mut notes) == Some(true) {
            kind = RunKind::Rebuild;
        }
        fields.finish(&mut notes);
    }
    accept(notes)?;
    let mut db = state.database.begin().await?;
    let wanted = (kind, streams.as_deref());
    let done = resync_once(&state, &mut db, &caller, &id, wanted, &body.repeat).await;
    let batch = conclude(db, done).await?;
    state.runs_queued.wake();
    started(&state, batch).await
}

async fn resync_once(
    state: &AppState,
    db: &mut DbConnection,
    caller: &Caller,
    id: &str,
    (kind, streams): (RunKind, Option<&[String]>),
    repeat: &Repeat,
) -> ApiResult<BatchId> {
    if let Some(made) = repeat.look_up(db, caller).await? {
        return made_batch(&made);
    }
    let found = find(db, id).await?;
    let wanted = Start {
        target: &TargetInput::Connection(found.key),
        streams,
        kind,
        page: None,
        delay: std::time::Duration::ZERO,
    };
    let batch = start(db, &state.catalog, &wanted, &caller.name).await?;
    repeat
        .remember(db, caller, &json!({ "batch": batch }))
        .await?;
    Ok(batch)
}
