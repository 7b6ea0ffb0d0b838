//! Connections. Their secrets go in and never come out.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use syncline_shared::db::DbConnection;
use syncline_shared::db::business;
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::ids::ConnectionId;
use syncline_shared::secret::Sealed;
use utoipa::ToSchema;

use super::{Named, created};
use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::page::{Page, PageRequest};
use crate::resources::connection::ConnectionInput;
use crate::resources::limit_view::LimitView;
use crate::resources::lookup::{create_connection, refuse_unknown};
use crate::resources::retry::RetryView;
use crate::resources::{Notes, accept, secrets};
use crate::state::AppState;

/// A connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
pub(crate) struct ConnectionView {
    /// Identity.
    pub id: uuid::Uuid,
    /// The user's own name for it, accepted wherever an id is.
    #[schema(example = "acme-g2a")]
    pub key: String,
    /// Shown to people.
    pub name: String,
    /// The business it belongs to.
    pub business: Named,
    /// The platform.
    #[schema(example = "g2a")]
    pub platform: String,
    /// Its settings. A secret says only whether it is set, and since when.
    #[schema(value_type = Object, example = json!({
        "client_id": "abc", "client_secret": {"set": true, "set_at": "2026-08-01T00:00:00Z"}
    }))]
    pub config: Value,
    /// Stands in for the platform's own address.
    pub base_url: Option<String>,
    /// The chosen streams; null: all.
    pub streams: Option<Vec<String>>,
    /// False: nothing is enqueued for it.
    pub enabled: bool,
    /// In place of the limits that the platform's budgets have, by the name of the budget.
    #[schema(value_type = BTreeMap<String, LimitView>, example = json!({"requests": {"limit": 100, "per_seconds": 1}}))]
    pub limits: Value,
    /// Overrides of the platform's retry policy.
    #[schema(value_type = RetryView)]
    pub retry: Value,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

fn view(state: &AppState, found: Connection, sealed: Option<&Sealed>) -> ConnectionView {
    let connector = state.catalog.find(&found.platform);
    let known = connector
        .map(syncline_engine::Connector::secret_fields)
        .unwrap_or_default();
    let set = match secrets::open(&state.cipher, found.id.0, sealed) {
        Ok(held) => secrets::pointers_of(&held),
        Err(error) => {
            tracing::warn!(connection.key = found.key, %error, "secrets of {}: {error}", found.key);
            // Something is stored; which of them cannot be told without the key.
            known.iter().cloned().collect::<BTreeSet<_>>()
        }
    };
    ConnectionView {
        config: secrets::shown(&found.config, &known, &set, found.credentials_set_at),
        id: found.id.0,
        key: found.key,
        name: found.name,
        business: Named {
            id: found.business_id.0,
            key: Some(found.business_key),
        },
        platform: found.platform,
        base_url: found.base_url,
        streams: found.streams,
        enabled: found.enabled,
        limits: found.limits,
        retry: found.retry,
        created_at: found.created_at,
        updated_at: found.updated_at,
    }
}

async fn load(state: &AppState, db: &mut DbConnection, id: &str) -> ApiResult<ConnectionView> {
    let found = connection::find(db, id).await?;
    let found = found.ok_or_else(|| ApiError::unknown("connection", id))?;
    let sealed = connection::find_credentials(db, found.id).await?;
    Ok(view(state, found, sealed.as_ref()))
}

/// List connections
///
/// In the order of their keys.
#[utoipa::path(
    get, path = "/api/v1/connections", tag = "Connections", operation_id = "listConnections",
    params(
        ("business" = Option<String>, Query, description = "Only this business: id or key"),
        ("platform" = Option<String>, Query, description = "Only this platform"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of connections", body = Page<ConnectionView>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such business", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Page<ConnectionView>>> {
    let business = params.text("business");
    let platform = params.text("platform");
    let page = PageRequest::read(&mut params);
    params.finish()?;
    let mut db = state.database.session().await?;
    let business = match business {
        Some(name) => {
            let found = business::find(&mut db, &name).await?;
            Some(
                found
                    .ok_or_else(|| ApiError::unknown("business", &name))?
                    .id,
            )
        }
        None => None,
    };
    let after = page.after.as_deref();
    let found =
        connection::list(&mut db, business, platform.as_deref(), after, page.fetch()).await?;
    let ids: Vec<ConnectionId> = found.iter().map(|connection| connection.id).collect();
    let sealed = connection::list_credentials(&mut db, &ids).await?;
    let show = |found: Connection| {
        let sealed = sealed
            .iter()
            .find(|(id, _)| *id == found.id)
            .map(|(_, sealed)| sealed);
        view(&state, found, sealed)
    };
    Ok(Json(page.page(
        found,
        |connection| connection.key.clone(),
        show,
    )))
}

/// Show a connection
#[utoipa::path(
    get, path = "/api/v1/connections/{id}", tag = "Connections", operation_id = "getConnection",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a")),
    responses(
        (status = 200, description = "The connection", body = ConnectionView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<ConnectionView>> {
    let mut db = state.database.session().await?;
    Ok(Json(load(&state, &mut db, &id).await?))
}

/// Create a connection
///
/// The settings are checked against what the platform's connector asks for. Secrets are encrypted before they are stored.
#[utoipa::path(
    post, path = "/api/v1/connections", tag = "Connections", operation_id = "createConnection",
    request_body = ConnectionInput,
    responses(
        (status = 201, description = "Created", body = ConnectionView, headers(("Location" = String))),
        (status = 409, description = "The key is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    _: Operator,
    State(state): State<AppState>,
    Body(body): Body,
) -> ApiResult<Response> {
    let mut notes = Notes::default();
    let input = ConnectionInput::read(&body, "", &mut notes);
    let named = input
        .as_ref()
        .map(|input| input.business.clone())
        .filter(|name| !name.is_empty());
    let checked = input.and_then(|input| input.check(&state.catalog, "", &mut notes));
    let mut db = state.database.begin().await?;
    let mut owner = None;
    if let Some(name) = named {
        owner = business::find(&mut db, &name).await?;
        if owner.is_none() {
            refuse_unknown("business", &name, "/business".to_owned(), &mut notes);
        }
    }
    accept(notes)?;
    let (Some(checked), Some(owner)) = (checked, owner) else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    let id = create_connection(&mut db, &state.cipher, &checked, owner.id).await?;
    let view = load(&state, &mut db, &id.to_string()).await?;
    db.commit().await?;
    Ok(created(format!("/api/v1/connections/{id}"), view))
}
