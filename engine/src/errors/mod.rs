//! What an answer means: the manifest's error handler, and the language's defaults behind it.

mod backoff;
mod filter;
mod message;

pub(crate) use backoff::{Backoff, Wait, retry_after_header};
pub(crate) use filter::{Action, ErrorKind, ResponseFilter};
pub(crate) use message::{error_message, platform_code};

use serde_json::Value;

use crate::expr::{Place, Scope, Template, Val};
use crate::load::component::{Component, Problems};
use crate::request::value::{FieldError, at};

/// `DefaultErrorHandler`.
#[derive(Debug, Clone)]
pub(crate) struct ErrorHandler {
    filters: Vec<ResponseFilter>,
    backoffs: Vec<Backoff>,
    max_retries: MaxRetries,
    /// `x_error_kind` of the requester: for failures that no filter names.
    default_kind: Option<ErrorKind>,
}

#[derive(Debug, Clone)]
enum MaxRetries {
    Fixed(u64),
    Template(Template),
}

/// The decision about one answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    pub(crate) kind: ErrorKind,
    /// The manifest's own words, if it has some.
    pub(crate) message: Option<String>,
}

/// An answer as the handler sees it.
pub(crate) struct AnswerView<'a> {
    pub(crate) status: u16,
    /// The JSON, or an empty object.
    pub(crate) response: &'a Value,
    /// Names as sent and in lower case.
    pub(crate) headers: &'a Value,
    pub(crate) body: &'a [u8],
    pub(crate) url: &'a str,
}

const LANGUAGE_MAX_RETRIES: u64 = 5;

impl ErrorHandler {
    pub(crate) fn load(requester: &Component<'_>, problems: &mut Problems) -> Option<ErrorHandler> {
        let default_kind = filter::load_kind(requester, problems);
        let plain = ErrorHandler {
            filters: Vec::new(),
            backoffs: Vec::new(),
            max_retries: MaxRetries::Fixed(LANGUAGE_MAX_RETRIES),
            default_kind,
        };
        if requester.get("error_handler").is_none() {
            return Some(plain);
        }
        let component = requester.child("error_handler", &["DefaultErrorHandler"], problems)?;
        component.refuse(&[], &[], problems);
        let mut filters = Vec::new();
        for filter in component.children("response_filters", &["HttpResponseFilter"], problems) {
            filters.extend(ResponseFilter::load(&filter, problems));
        }
        let mut backoffs = Vec::new();
        for strategy in component.children("backoff_strategies", Backoff::SUPPORTED, problems) {
            backoffs.extend(Backoff::load(&strategy, problems));
        }
        let max_retries = match component.get("max_retries") {
            None => MaxRetries::Fixed(LANGUAGE_MAX_RETRIES),
            Some(Value::String(_)) => {
                let template = component.template("max_retries", Place::CONFIG, problems)?;
                MaxRetries::Template(template)
            }
            Some(_) => {
                let number = component.whole_number("max_retries", problems);
                MaxRetries::Fixed(number.unwrap_or(LANGUAGE_MAX_RETRIES))
            }
        };
        Some(ErrorHandler {
            filters,
            backoffs,
            max_retries,
            ..plain
        })
    }

    pub(crate) fn max_retries(&self, config: &Value) -> Result<u64, FieldError> {
        match &self.max_retries {
            MaxRetries::Fixed(number) => Ok(*number),
            MaxRetries::Template(template) => {
                let scope = Scope::of_config(config);
                let value = template
                    .evaluate(&scope)
                    .map_err(|error| at(template, error))?;
                let number = value
                    .as_ref()
                    .and_then(Val::as_json)
                    .and_then(Value::as_u64);
                Ok(number.unwrap_or(LANGUAGE_MAX_RETRIES))
            }
        }
    }

    /// Filters first, in order and also for good answers; then the status.
    pub(crate) fn judge(
        &self,
        answer: &AnswerView<'_>,
        config: &Value,
    ) -> Result<Verdict, FieldError> {
        for filter in &self.filters {
            if filter.matches(answer, config)? {
                return Ok(filter.verdict(answer, config, self.default_kind));
            }
        }
        Ok(self.default_verdict(answer.status))
    }

    fn default_verdict(&self, status: u16) -> Verdict {
        let (action, kind) = filter::default_action(status);
        let kind = match (action, self.default_kind) {
            (Action::Fail, Some(stated)) => stated,
            _ => kind,
        };
        Verdict {
            action,
            kind,
            message: None,
        }
    }

    /// The wait that the manifest's strategies give: the first that gives any. `attempt` is 1 for the
    /// first failure.
    pub(crate) fn wait(
        &self,
        attempt: u32,
        headers: &reqwest::header::HeaderMap,
        config: &Value,
    ) -> Result<backoff::Wait, FieldError> {
        backoff::first_wait(&self.backoffs, attempt, headers, config)
    }
}
