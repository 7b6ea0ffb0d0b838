//! What comes in: the query and the JSON body, read so that every problem is told at once.
//!
//! axum's own `Query` and `Json` stop at the first problem and answer plain text; hence these.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde_json::Value;
use url::form_urlencoded;

use crate::error::{ApiError, ApiResult, FieldProblem};

/// Largest body, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// The JSON body of a request, not yet looked into.
#[derive(Debug)]
pub(crate) struct Body(pub Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::NotJson);
        }
        let bytes = read_bytes(request, state).await?;
        parse_json(&bytes).map(Self)
    }
}

/// The JSON body of a request that may come without one, which is the same as an empty object.
#[derive(Debug)]
pub(crate) struct OptionalBody(pub Value);

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = is_json(request.headers());
        let bytes = read_bytes(request, state).await?;
        optional_json(is_json, &bytes).map(Self)
    }
}

/// True if the body is announced as JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The body as it came.
pub(crate) async fn read_bytes<S: Send + Sync>(request: Request, state: &S) -> ApiResult<Bytes> {
    Bytes::from_request(request, state)
        .await
        .map_err(unreadable)
}

/// The value of a body that may be missing, empty or null; one that is there must be announced as JSON.
pub(crate) fn optional_json(is_json: bool, bytes: &[u8]) -> ApiResult<Value> {
    let empty = || Value::Object(serde_json::Map::new());
    if bytes.is_empty() {
        return Ok(empty());
    }
    if !is_json {
        return Err(ApiError::NotJson);
    }
    Ok(match parse_json(bytes)? {
        Value::Null => empty(),
        value => value,
    })
}

fn parse_json(bytes: &[u8]) -> ApiResult<Value> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::BadRequest(format!("the body is not valid JSON: {error}")))
}

fn unreadable(rejection: BytesRejection) -> ApiError {
    if rejection.into_response().status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::TooLarge(MAX_BODY);
    }
    ApiError::BadRequest("the body ended before its announced length".to_owned())
}

/// The query's parameters. Whatever is not asked for is unknown, and refused by [`Params::finish`].
#[derive(Debug)]
pub(crate) struct Params {
    given: Vec<(String, String)>,
    asked: Vec<&'static str>,
    problems: Vec<FieldProblem>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query()))
    }
}

impl Params {
    /// Splits a query.
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let given = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        Self {
            given,
            asked: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// A parameter's value; empty counts as absent.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        let mut values = self
            .given
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, value)| value);
        let value = values.next().cloned();
        if values.next().is_some() {
            let detail = format!("{name} is given more than once; separate values by commas");
            self.problems
                .push(FieldProblem::new(name, "repeated", detail));
        }
        value.filter(|value| !value.is_empty())
    }

    /// A whole number within a range.
    pub(crate) fn integer(&mut self, name: &'static str, from: usize, to: usize) -> Option<usize> {
        let text = self.text(name)?;
        let number = text
            .parse()
            .ok()
            .filter(|number| (from..=to).contains(number));
        if number.is_none() {
            let detail = format!("{name} {text:?} is not a whole number from {from} to {to}");
            self.problems.push(FieldProblem::new(name, "range", detail));
        }
        number
    }

    /// An instant (RFC 3339).
    pub(crate) fn instant(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let instant = DateTime::parse_from_rfc3339(&text).ok();
        if instant.is_none() {
            let detail = format!("{name} {text:?} is not an instant such as 2026-08-01T00:00:00Z");
            self.problems
                .push(FieldProblem::new(name, "instant", detail));
        }
        instant.map(|instant| instant.to_utc())
    }

    /// Words of a list, separated by commas.
    pub(crate) fn words<T: std::str::FromStr<Err = String>>(
        &mut self,
        name: &'static str,
    ) -> Option<Vec<T>> {
        let text = self.text(name)?;
        let mut words = Vec::new();
        for word in text.split(',') {
            match word.trim().parse() {
                Ok(word) => words.push(word),
                Err(problem) => {
                    self.problems.push(FieldProblem::new(
                        name,
                        "unknown-value",
                        format!("{name} {problem}"),
                    ));
                }
            }
        }
        Some(words)
    }

    /// Notes a problem that the caller found.
    pub(crate) fn refuse(&mut self, problem: FieldProblem) {
        self.problems.push(problem);
    }

    /// All parameters but these, as given.
    pub(crate) fn filter(&self, except: &[&str]) -> Vec<(String, String)> {
        self.given
            .iter()
            .filter(|(name, _)| !except.contains(&name.as_str()))
            .cloned()
            .collect()
    }

    /// All problems, unknown parameters included.
    pub(crate) fn problems(mut self) -> Vec<FieldProblem> {
        for (name, _) in &self.given {
            if !self.asked.contains(&name.as_str()) {
                let allowed = if self.asked.is_empty() {
                    "none".to_owned()
                } else {
                    self.asked.join(", ")
                };
                let detail = format!("the parameter {name:?} is unknown; allowed: {allowed}");
                self.problems
                    .push(FieldProblem::new(name, "unknown-parameter", detail));
            }
        }
        self.problems
    }

    /// Fails if there was any problem.
    pub(crate) fn finish(self) -> ApiResult<()> {
        let problems = self.problems();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ApiError::BadQuery(problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_shared::run::RunStatus;

    #[test]
    fn all_problems_of_a_query_are_told_at_once() {
        let mut params = Params::parse(Some(
            "status=failed,odd&limit=x&created_after=today&colour=red",
        ));
        params.words::<RunStatus>("status");
        params.integer("limit", 1, 200);
        params.instant("created_after");
        let problems = params.problems();
        let pointers: Vec<_> = problems
            .iter()
            .map(|problem| problem.pointer.as_str())
            .collect();
        assert_eq!(pointers, ["status", "limit", "created_after", "colour"]);
        assert!(
            problems[0].detail.contains("allowed: queued"),
            "{}",
            problems[0].detail
        );
        assert!(
            problems[3]
                .detail
                .contains("allowed: status, limit, created_after")
        );
    }

    #[test]
    fn instants_may_have_any_offset() {
        let mut params = Params::parse(Some("created_after=2026-08-01T02:00:00%2B02:00"));
        let instant = params.instant("created_after").expect("an instant");
        assert_eq!(instant.to_rfc3339(), "2026-08-01T00:00:00+00:00");
        assert!(params.problems().is_empty());
    }

    #[test]
    fn a_repeated_parameter_is_refused_rather_than_half_used() {
        let mut params = Params::parse(Some("platform=g2a&platform=meta"));
        params.text("platform");
        assert_eq!(params.problems()[0].code, "repeated");
    }
}
