//! API tokens, for administrators.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use syncline_shared::db::access::{self, ApiToken, Role};
use utoipa::ToSchema;

use super::created;
use crate::auth::{Admin, NewToken};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::resources::{Fields, Notes, accept};
use crate::state::AppState;

/// Longest name of a token, in characters.
const MAX_NAME: usize = 100;

/// An API token, without the token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenView {
    /// Its name.
    #[schema(example = "ci")]
    pub name: String,
    /// `admin`, `operator` or `viewer`.
    #[schema(value_type = String, example = "operator")]
    pub role: Role,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it works; null: until it is deleted.
    pub expires_at: Option<DateTime<Utc>>,
}

/// All API tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenList {
    /// By name.
    pub data: Vec<TokenView>,
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeToken {
    /// The token. It is shown this once.
    #[schema(example = "syn_3q2-7w...")]
    pub token: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub view: TokenView,
}

/// A token to be made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "ci", "role": "operator"}))]
pub(crate) struct TokenInput {
    /// Names it, also in what it did.
    pub name: String,
    /// `admin`, `operator` or `viewer`.
    #[schema(required = true, schema_with = crate::docs::role_schema)]
    pub role: Role,
    /// Until when it works; until it is deleted, if it is left out.
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<ApiToken> for TokenView {
    fn from(found: ApiToken) -> Self {
        let ApiToken {
            name,
            role,
            created_at,
            expires_at,
        } = found;
        Self {
            name,
            role,
            created_at,
            expires_at,
        }
    }
}

fn read(body: &serde_json::Value, now: DateTime<Utc>, notes: &mut Notes) -> Option<TokenInput> {
    let mut fields = Fields::of(body, "", notes)?;
    let name = fields.required_text("name", notes);
    if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        notes.refuse(
            "/name",
            "form",
            format!("allowed are 1 to {MAX_NAME} printable characters"),
        );
    }
    let before = notes.len();
    let role = fields.word("role", notes);
    if role.is_none() && notes.len() == before {
        notes.refuse(
            "/role",
            "required",
            "role is required; allowed: admin, operator, viewer",
        );
    }
    let expires_at = fields.instant("expires_at", notes);
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        notes.refuse("/expires_at", "past", "expires_at must lie in the future");
    }
    fields.finish(notes);
    Some(TokenInput {
        name,
        role: role?,
        expires_at,
    })
}

/// List API tokens
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "Access", operation_id = "listTokens",
    responses(
        (status = 200, description = "All tokens, by name", body = TokenList),
        (status = 403, description = "Only for administrators", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Admin,
    State(state): State<AppState>,
    params: Params,
) -> ApiResult<Json<TokenList>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = access::list_tokens(&mut db).await?;
    Ok(Json(TokenList {
        data: found.into_iter().map(TokenView::from).collect(),
    }))
}

/// Make an API token
///
/// The token is in the answer and nowhere else.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "Access", operation_id = "createToken",
    request_body = TokenInput,
    responses(
        (status = 201, description = "Made", body = MadeToken, headers(("Location" = String))),
        (status = 403, description = "Only for administrators", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    _: Admin,
    State(state): State<AppState>,
    Body(body): Body,
) -> ApiResult<Response> {
    let mut db = state.database.begin().await?;
    let now = syncline_shared::db::now(&mut db).await?;
    let mut notes = Notes::default();
    let input = read(&body, now, &mut notes);
    accept(notes)?;
    let Some(input) = input else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    let token = NewToken::random().map_err(ApiError::Internal)?;
    let made = access::create_token(
        &mut db,
        &input.name,
        input.role,
        &token.hash,
        input.expires_at,
    )
    .await;
    let made = made.map_err(|error| match error.constraint() {
        Some("api_token_name_unique") => {
            let detail = format!(
                "there is a token named {:?}; delete it, or choose another name",
                input.name
            );
            let field = crate::error::FieldProblem::new("/name", "taken", detail.clone());
            ApiError::Conflict { detail, field }
        }
        _ => error.into(),
    })?;
    db.commit().await?;
    let location = format!("/api/v1/tokens/{}", url_segment(&made.name));
    Ok(created(
        location,
        MadeToken {
            token: token.text,
            view: made.into(),
        },
    ))
}

/// Delete an API token
///
/// It stops working at once.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{name}", tag = "Access", operation_id = "deleteToken",
    params(("name" = String, Path, description = "The token's name", example = "ci")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "Only for administrators", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    _: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> ApiResult<StatusCode> {
    let mut db = state.database.begin().await?;
    if access::delete_token(&mut db, &name).await? {
        db.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::NotFound(format!(
            "there is no token named {name:?}"
        )))
    }
}

fn url_segment(name: &str) -> String {
    // `+` for a space is for queries only.
    url::form_urlencoded::byte_serialize(name.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}
