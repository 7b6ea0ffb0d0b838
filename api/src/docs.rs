//! The OpenAPI document and the page that shows it.
//!
//! The page is Swagger UI, vendored: its files are in the binary. `utoipa-scalar` was rejected, because its page loads its
//! script from a public CDN, which a closed network does not have and a strict content policy forbids.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::auth::SESSION_COOKIE;
use crate::state::AppState;

/// What the header `Idempotency-Key` does, for every endpoint that has it.
pub(crate) const IDEMPOTENCY_KEY: &str = "Your own name for this request, visible ASCII characters. Repeated within 24 hours by \
    the same caller with the same body, it is carried out once, and the repetition gets the answer of the first";

const DOCUMENT: &str = "/api/v1/openapi.json";

/// What holds for all endpoints.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Syncline",
        description = "Keeps a Postgres database in step with third-party platforms.\n\n\
            Lists page by an opaque cursor. Times are RFC 3339 in UTC. Businesses, connections and schedules have a key, \
            which is accepted wherever an id is. Errors are problem+json (RFC 9457) and name all fields at once. \
            New fields and new words may be added within this version; tolerate them.",
    ),
    tags(
        (name = "Runs", description = "Executions of a connection's sync"),
        (name = "Businesses", description = "Tenants: the customers whose accounts are synced"),
        (name = "Connections", description = "Accounts of businesses on platforms"),
        (name = "Platforms", description = "Third-party APIs, and how their failed runs are tried again"),
        (name = "Budgets", description = "What platforms allow: how much of it is used, and what waits for it"),
        (name = "Pauses", description = "What rests until somebody resumes it"),
        (name = "Schedules", description = "What is synced when, and what became of each due moment"),
        (name = "Batches", description = "The runs of one tick or of one request"),
        (name = "Backfills", description = "Data ranges that are read again"),
        (name = "Scheduler", description = "What keeps the syncs going"),
        (name = "Compatibility", description = "The endpoints of earlier schedulers, answered by this one"),
        (name = "Access", description = "Signing in, and API tokens"),
        (name = "Health", description = "For machines"),
    ),
    security(("token" = []), ("session" = [])),
    modifiers(&Schemes)
)]
pub(crate) struct ApiDoc;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API token, or the token of a session"))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
            SESSION_COOKIE,
            "Set by signing in; for the web page",
        ));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// One of a list of words.
fn words(words: &[&str]) -> Schema {
    let values = words.iter().map(|word| (*word).to_owned());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(values))
        .into()
}

pub(crate) fn kind_schema() -> Schema {
    words(&["incremental", "full", "page"])
}

pub(crate) fn run_kind_schema() -> Schema {
    words(&["incremental", "full"])
}

pub(crate) fn trigger_schema() -> Schema {
    words(&["cron", "interval", "once", "after", "manual"])
}

pub(crate) fn after_schema() -> Schema {
    words(&["succeeded", "ended"])
}

pub(crate) fn overlap_schema() -> Schema {
    words(&["skip", "queue_one", "queue_all", "cancel_running"])
}

pub(crate) fn catch_up_schema() -> Schema {
    words(&["latest", "all", "none"])
}

pub(crate) fn calendar_unit_schema() -> Schema {
    words(&["day", "month"])
}

pub(crate) fn role_schema() -> Schema {
    words(&["admin", "operator", "viewer"])
}

/// A target names one thing, or says `everything`.
pub(crate) fn target_schema() -> Schema {
    let mut choices = OneOfBuilder::new();
    for kind in ["connection", "business", "platform"] {
        let name = ObjectBuilder::new().schema_type(Type::String);
        choices = choices.item(ObjectBuilder::new().property(kind, name).required(kind));
    }
    choices
        .item(words(&["everything"]))
        .examples([serde_json::json!({"connection": "acme-g2a"})])
        .into()
}

/// Adds what every endpoint may answer: 401 where a caller is asked for, and problems in general.
pub(crate) fn complete(document: &mut utoipa::openapi::OpenApi) {
    let problem = |description: &str| -> RefOr<utoipa::openapi::Response> {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content)
            .build()
            .into()
    };
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            let is_open = operation.security.as_ref().is_some_and(Vec::is_empty);
            let responses = &mut operation.responses.responses;
            if !is_open {
                let unknown = "No token, an unknown one, or an expired one";
                responses
                    .entry("401".to_owned())
                    .or_insert_with(|| problem(unknown));
            }
            responses
                .entry("default".to_owned())
                .or_insert_with(|| problem("Any other problem"));
        }
    }
}

/// This document
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "Health", operation_id = "openapi", security(),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn document() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The document as it is served, and as it is kept in the repository.
pub(crate) fn text() -> String {
    // Made of texts and numbers only, so this cannot fail.
    let mut text = crate::routes::openapi()
        .to_pretty_json()
        .unwrap_or_default();
    text.push('\n');
    text
}

/// The page that shows it.
pub(crate) fn page() -> Router<AppState> {
    let config = Config::new([DOCUMENT])
        .validator_url("none")
        .persist_authorization(false)
        .try_it_out_enabled(true);
    SwaggerUi::new("/docs").config(config).into()
}
