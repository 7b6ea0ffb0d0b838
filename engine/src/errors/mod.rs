//! What an answer means: the manifest's error handler, and the language's defaults behind it.

mod backoff;
mod filter;
mod message;

pub(crate) use backoff::{Backoff, Wait};
pub(crate) use filter::{Action, ErrorKind, ResponseFilter};
pub(crate) use message::{error_message, platform_code};

use serde_json::Value;

use crate::expr::{Place, Scope, Template, Val};
use crate::load::component::{Component, Problems};
use crate::request::value::{FieldError, at};

/// `DefaultErrorHandler`, or the children of a `CompositeErrorHandler`.
#[derive(Debug, Clone)]
pub(crate) struct ErrorHandler {
    /// The filters of each child; a plain handler is its own only child.
    children: Vec<Vec<ResponseFilter>>,
    /// Of all children, one after the other.
    backoffs: Vec<Backoff>,
    /// Of the first child.
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
    /// The budget's `status_codes_for_ratelimit_hit` names the status.
    pub(crate) is_limit_status: bool,
    /// The JSON, or an empty object.
    pub(crate) response: &'a Value,
    /// Names as sent and in lower case.
    pub(crate) headers: &'a Value,
    pub(crate) body: &'a [u8],
    pub(crate) url: &'a str,
}

const SUPPORTED: &[&str] = &["DefaultErrorHandler", "CompositeErrorHandler"];
const LANGUAGE_MAX_RETRIES: u64 = 5;

impl ErrorHandler {
    pub(crate) fn load(requester: &Component<'_>, problems: &mut Problems) -> Option<ErrorHandler> {
        let default_kind = filter::load_kind(requester, problems);
        let mut handler = ErrorHandler {
            children: Vec::new(),
            backoffs: Vec::new(),
            max_retries: MaxRetries::Fixed(LANGUAGE_MAX_RETRIES),
            default_kind,
        };
        if requester.get("error_handler").is_none() {
            return Some(handler);
        }
        let component = requester.child("error_handler", SUPPORTED, problems)?;
        handler.add(&component, problems)?;
        Some(handler)
    }

    /// The handler of requests for tokens: what the platform refuses there, a person must put right.
    pub(crate) fn of_credentials() -> ErrorHandler {
        ErrorHandler {
            children: Vec::new(),
            backoffs: Vec::new(),
            max_retries: MaxRetries::Fixed(LANGUAGE_MAX_RETRIES),
            default_kind: Some(ErrorKind::NeedsPerson),
        }
    }

    fn add(&mut self, component: &Component<'_>, problems: &mut Problems) -> Option<()> {
        component.refuse(&[], &[], problems);
        if component.kind == "CompositeErrorHandler" {
            let children = component.children("error_handlers", SUPPORTED, problems);
            if children.is_empty() {
                component.missing("error_handlers", problems);
            }
            // All of them, so that every problem is named.
            let loaded = children
                .iter()
                .filter(|child| self.add(child, problems).is_some());
            return (loaded.count() == children.len()).then_some(());
        }
        let mut filters = Vec::new();
        for filter in component.children("response_filters", &["HttpResponseFilter"], problems) {
            filters.extend(ResponseFilter::load(&filter, problems));
        }
        for strategy in component.children("backoff_strategies", Backoff::SUPPORTED, problems) {
            self.backoffs.extend(Backoff::load(&strategy, problems));
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
        if self.children.is_empty() {
            self.max_retries = max_retries;
        }
        self.children.push(filters);
        Some(())
    }

    /// Whether what is in an answer may decide on it.
    pub(crate) fn reads_body(&self) -> bool {
        let mut filters = self.children.iter().flatten();
        filters.any(ResponseFilter::reads_body)
    }

    /// Whether some answer has the pages of a slice begun anew.
    pub(crate) fn resets_pages(&self) -> bool {
        let mut filters = self.children.iter().flatten();
        filters.any(ResponseFilter::resets_pages)
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

    /// Filters first, in order and also for good answers; then the status. Of several children the first one counts that says
    /// to go on or to try again. A failure or a limit is handed on to the next, and only the last one's is heeded: that is how
    /// the reference does it, and how manifests are written.
    pub(crate) fn judge(
        &self,
        answer: &AnswerView<'_>,
        scope: &Scope<'_>,
    ) -> Result<Verdict, FieldError> {
        let mut verdict = self.default_verdict(answer);
        for filters in &self.children {
            verdict = self.default_verdict(answer);
            for filter in filters {
                if filter.matches(answer, scope)? {
                    verdict = filter.verdict(answer, scope, self.default_kind);
                    break;
                }
            }
            if matches!(
                verdict.action,
                Action::Success | Action::Ignore | Action::Retry | Action::ResetPagination
            ) {
                break;
            }
        }
        Ok(verdict)
    }

    fn default_verdict(&self, answer: &AnswerView<'_>) -> Verdict {
        let (action, kind) = filter::default_action(answer);
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
    /// first failure; moments in headers are counted from `answered_at`.
    pub(crate) fn wait(
        &self,
        attempt: u32,
        headers: &reqwest::header::HeaderMap,
        answered_at: chrono::DateTime<chrono::Utc>,
        scope: &Scope<'_>,
    ) -> Result<backoff::Wait, FieldError> {
        backoff::first_wait(&self.backoffs, attempt, headers, answered_at, scope)
    }
}
