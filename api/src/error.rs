//! The one error of handlers, and its form on the wire: problem+json (RFC 9457).
//!
//! A handler answers `Err(ApiError)`. The response then carries the problem as an extension and no body;
//! [`crate::observe`] adds request id and address, which only it knows, and writes the body. Whatever the database says is
//! logged there and never shown.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use syncline_shared::db::DbError;
use syncline_shared::secret::SecretError;
use utoipa::ToSchema;

/// What a handler may end with instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400: the request cannot be read, or asks for something that does not exist.
    #[error("{0}")]
    BadRequest(String),
    /// 400: these query parameters are unknown or unreadable.
    #[error("the query has {} problems", .0.len())]
    BadQuery(Vec<FieldProblem>),
    /// 401: nobody known is asking.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// 403: the caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// 404: there is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// 405: the address exists, but not with this method.
    #[error("this address does not know the method; see /docs")]
    MethodNotAllowed,
    /// 409: it contradicts what is stored.
    #[error("{detail}")]
    Conflict {
        /// What it collides with.
        detail: String,
        /// The field that collides.
        field: FieldProblem,
    },
    /// 409: the same request is being carried out at this moment.
    #[error(
        "a request with this Idempotency-Key is being carried out; ask again in a moment for its answer"
    )]
    InFlight,
    /// 413: the body is larger than a request may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// 415: the body is not JSON.
    #[error("the body must be JSON, sent with Content-Type: application/json")]
    NotJson,
    /// 422: the fields that mean nothing, all of them.
    #[error("{} of the request cannot be accepted", count(.0.len()))]
    Invalid(Vec<FieldProblem>),
    /// 503: the same request may succeed in a moment.
    #[error("{0}")]
    Unavailable(&'static str),
    /// 504: it took too long and was given up.
    #[error("the request was given up after {0} seconds")]
    TimedOut(u64),
    /// 500: a fault of ours. The cause is logged, not shown.
    #[error("{0:#}")]
    Internal(anyhow::Error),
}

fn count(fields: usize) -> String {
    if fields == 1 {
        "1 field".to_owned()
    } else {
        format!("{fields} fields")
    }
}

/// A result of handlers.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// The field: a JSON pointer into the body, or the name of a query parameter.
    #[schema(example = "/cron")]
    pub pointer: String,
    /// A stable word for programs.
    #[schema(example = "cron")]
    pub code: String,
    /// What is wrong and what is allowed.
    #[schema(example = "\"61 * * * *\" is not usable: ...")]
    pub detail: String,
}

impl FieldProblem {
    /// A problem of the field at `pointer`.
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            code: code.into(),
            detail: detail.into(),
        }
    }
}

/// An error as a client sees it (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem, relative to this server.
    #[serde(rename = "type")]
    #[schema(example = "/docs#invalid")]
    pub kind: String,
    /// The kind in words.
    #[schema(example = "The request cannot be accepted")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// This occurrence in words.
    pub detail: String,
    /// The address that was asked.
    #[schema(example = "/api/v1/schedules")]
    pub instance: String,
    /// Names the request in the log.
    pub request_id: String,
    /// The fields concerned, all at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// A problem on its way to the edge, with what is to be logged of it.
#[derive(Debug, Clone)]
pub(crate) struct PendingProblem {
    pub(crate) problem: Problem,
    /// The cause, if it is not for the client.
    pub(crate) cause: Option<String>,
}

impl ApiError {
    /// A name that is taken.
    pub fn taken(noun: &str, key: &str) -> Self {
        let detail = format!("the key {key:?} is taken by another {noun}; choose another one");
        let field = FieldProblem::new("/key", "taken", detail.clone());
        Self::Conflict { detail, field }
    }

    /// What is asked for contradicts the state of what the address names.
    pub fn state(code: &'static str, detail: String) -> Self {
        let field = FieldProblem::new("", code, detail.clone());
        Self::Conflict { detail, field }
    }

    /// An id or key that names nothing.
    pub fn unknown(noun: &str, id_or_key: &str) -> Self {
        Self::NotFound(format!(
            "there is no {noun} with the id or key {id_or_key:?}"
        ))
    }

    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest(_) => (
                StatusCode::BAD_REQUEST,
                "bad-request",
                "The request cannot be read",
            ),
            Self::BadQuery(_) => (
                StatusCode::BAD_REQUEST,
                "bad-query",
                "The query cannot be read",
            ),
            Self::Unauthenticated(_) => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "Who is asking?",
            ),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Self::Conflict { .. } => (
                StatusCode::CONFLICT,
                "conflict",
                "In conflict with what is stored",
            ),
            Self::InFlight => (StatusCode::CONFLICT, "in-flight", "Under way"),
            Self::TooLarge(_) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The body is too large",
            ),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "The body is not JSON",
            ),
            Self::Invalid(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "The request cannot be accepted",
            ),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Not available at the moment",
            ),
            Self::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, "timed-out", "It took too long"),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "A fault of Syncline",
            ),
        }
    }

    fn pending(self) -> PendingProblem {
        let (status, word, title) = self.parts();
        let shown = self.to_string();
        let (detail, cause) = match &self {
            Self::Internal(_) => (
                "Syncline could not answer; its log has the cause under the request id".to_owned(),
                Some(shown),
            ),
            _ => (shown, None),
        };
        let errors = match self {
            Self::BadQuery(fields) | Self::Invalid(fields) => fields,
            Self::Conflict { field, .. } => vec![field],
            _ => Vec::new(),
        };
        let problem = Problem {
            kind: format!("/docs#{word}"),
            title,
            status: status.as_u16(),
            detail,
            instance: String::new(),
            request_id: String::new(),
            errors,
        };
        PendingProblem { problem, cause }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, _, _) = self.parts();
        let challenge = match self {
            Self::Unauthenticated(_) => Some("Bearer realm=\"syncline\""),
            _ => None,
        };
        let retry_after = match self {
            Self::InFlight => Some("1"),
            Self::Unavailable(_) => Some("2"),
            _ => None,
        };
        let mut response = status.into_response();
        if let Some(challenge) = challenge {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response.extensions_mut().insert(self.pending());
        response
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        if is_unstorable(&error) {
            return Self::BadRequest(
                "a text holds the character U+0000, which cannot be stored".to_owned(),
            );
        }
        if error.is_transient() {
            tracing::warn!(%error, "the database did not answer: {error}");
            return Self::Unavailable("the database does not answer; try again in a moment");
        }
        Self::Internal(error.into())
    }
}

/// JSON and addresses may hold U+0000, Postgres may not (Appendix A: 22021 in text, 22P05 in jsonb).
fn is_unstorable(error: &DbError) -> bool {
    match error {
        DbError::Sqlx(sqlx::Error::Database(error)) => error
            .code()
            .is_some_and(|code| matches!(&*code, "22021" | "22P05")),
        _ => false,
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        Self::Internal(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_our_own_faults_are_kept_from_clients() {
        let pending = ApiError::Internal(anyhow::anyhow!("password=hunter2")).pending();
        assert!(!pending.problem.detail.contains("hunter2"));
        assert_eq!(pending.cause.as_deref(), Some("password=hunter2"));
        assert_eq!(pending.problem.status, 500);
    }

    #[test]
    fn a_silent_database_is_unavailable_not_broken() {
        let error = ApiError::from(sqlx::Error::PoolTimedOut);
        assert!(matches!(error, ApiError::Unavailable(_)), "{error:?}");
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn who_is_unknown_is_told_how_to_say_who_they_are() {
        let response = ApiError::Unauthenticated("a token is required").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
    }

    #[test]
    fn all_fields_are_told_at_once() {
        let fields = vec![
            FieldProblem::new("/cron", "cron", "no"),
            FieldProblem::new("/zone", "zone", "no"),
        ];
        let pending = ApiError::Invalid(fields.clone()).pending();
        assert_eq!(pending.problem.errors, fields);
        assert_eq!(
            pending.problem.detail,
            "2 fields of the request cannot be accepted"
        );
    }
}
