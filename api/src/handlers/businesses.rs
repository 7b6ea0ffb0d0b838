//! Businesses.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::business::{self, Business};
use utoipa::ToSchema;

use super::created;
use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::page::{Page, PageRequest};
use crate::resources::business::{BusinessInput, BusinessPatch};
use crate::resources::{Notes, accept};
use crate::state::AppState;

/// A business.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Business)]
pub(crate) struct BusinessView {
    /// Identity.
    pub id: uuid::Uuid,
    /// The user's own name for it, accepted wherever an id is.
    #[schema(example = "acme")]
    pub key: String,
    /// Shown to people.
    #[schema(example = "Acme Ltd")]
    pub name: String,
    /// How much of a contended budget its runs get, in relation to other businesses: 1 to 100.
    #[schema(example = 1)]
    pub weight: i16,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl From<Business> for BusinessView {
    fn from(found: Business) -> Self {
        Self {
            id: found.id.0,
            key: found.key,
            name: found.name,
            weight: found.weight,
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}

/// List businesses
///
/// In the order of their keys.
#[utoipa::path(
    get, path = "/api/v1/businesses", tag = "Businesses", operation_id = "listBusinesses",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of businesses", body = Page<BusinessView>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Json<Page<BusinessView>>> {
    let page = PageRequest::read(&mut params);
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = business::list(&mut db, page.after.as_deref(), page.fetch()).await?;
    Ok(Json(page.page(
        found,
        |business| business.key.clone(),
        BusinessView::from,
    )))
}

/// Show a business
#[utoipa::path(
    get, path = "/api/v1/businesses/{id}", tag = "Businesses", operation_id = "getBusiness",
    params(("id" = String, Path, description = "Id or key", example = "acme")),
    responses(
        (status = 200, description = "The business", body = BusinessView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<BusinessView>> {
    let mut db = state.database.session().await?;
    let found = business::find(&mut db, &id).await?;
    Ok(Json(
        found
            .ok_or_else(|| ApiError::unknown("business", &id))?
            .into(),
    ))
}

/// Create a business
#[utoipa::path(
    post, path = "/api/v1/businesses", tag = "Businesses", operation_id = "createBusiness",
    request_body = BusinessInput,
    responses(
        (status = 201, description = "Created", body = BusinessView, headers(("Location" = String))),
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
    let input = BusinessInput::read(&body, "", &mut notes);
    accept(notes)?;
    let Some(input) = input else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    let mut db = state.database.begin().await?;
    let made = business::create(&mut db, &input.key, &input.name).await;
    let made = made.map_err(|error| match error.constraint() {
        Some("business_key_unique") => ApiError::taken("business", &input.key),
        _ => error.into(),
    })?;
    let weighed = business::update(&mut db, made.id, None, Some(input.weight)).await?;
    db.commit().await?;
    let view = BusinessView::from(weighed.unwrap_or(made));
    Ok(created(format!("/api/v1/businesses/{}", view.id), view))
}

/// Change a business
///
/// What is left out is kept. The weight holds from the next attempt of each of its runs on.
#[utoipa::path(
    patch, path = "/api/v1/businesses/{id}", tag = "Businesses", operation_id = "updateBusiness",
    params(("id" = String, Path, description = "Id or key", example = "acme")),
    request_body = BusinessPatch,
    responses(
        (status = 200, description = "The business as it is now", body = BusinessView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
    Body(body): Body,
) -> ApiResult<Json<BusinessView>> {
    params.finish()?;
    let mut db = state.database.begin().await?;
    let stored = business::find(&mut db, &id).await?;
    let stored = stored.ok_or_else(|| ApiError::unknown("business", &id))?;
    let mut notes = Notes::default();
    let patch = BusinessPatch::read(&body, &stored, &mut notes);
    accept(notes)?;
    let (name, weight) = patch.map_or((None, None), |patch| (patch.name, patch.weight));
    let changed = business::update(&mut db, stored.id, name.as_deref(), weight).await?;
    db.commit().await?;
    // It may have been deleted in between.
    let changed = changed.ok_or_else(|| ApiError::unknown("business", &id))?;
    Ok(Json(changed.into()))
}
