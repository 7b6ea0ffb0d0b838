//! The OpenAPI document and the page that shows it.
//!
//! The page is Swagger UI, vendored: its files are in the binary. `utoipa-scalar` was rejected, because its page loads its
//! script from a public CDN, which a closed network does not have and a strict content policy forbids.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::auth::SESSION_COOKIE;
use crate::state::AppState;

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
        (name = "Schedules", description = "What is synced when"),
        (name = "Scheduler", description = "What keeps the syncs going"),
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
