//! `HttpResponseFilter`: conditions on an answer, and what to do about it.
//!
//! One condition that holds is enough; a manifest that gives a status and a message in one filter gets
//! every answer of that status. That is the language's rule.

use serde_json::Value;

use super::{AnswerView, Verdict, error_message};
use crate::expr::{Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::value::{FieldError, at};

/// What to do about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Success,
    Ignore,
    Retry,
    Fail,
    RateLimited,
    /// The pages of the slice are begun anew.
    ResetPagination,
}

/// What happens next after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    RateLimited,
    Transient,
    NeedsToken,
    NeedsPerson,
    Permanent,
}

#[derive(Debug, Clone)]
pub(crate) struct ResponseFilter {
    action: Option<Action>,
    statuses: Vec<u16>,
    predicate: Option<Template>,
    contains: Option<String>,
    message: Option<Template>,
    kind: Option<ErrorKind>,
}

const KIND_WORDS: &str = "rate_limited, transient, needs_token, needs_person, permanent";

fn kind_of_word(word: &str) -> Option<ErrorKind> {
    Some(match word {
        "rate_limited" => ErrorKind::RateLimited,
        "transient" => ErrorKind::Transient,
        "needs_token" => ErrorKind::NeedsToken,
        "needs_person" => ErrorKind::NeedsPerson,
        "permanent" => ErrorKind::Permanent,
        _ => return None,
    })
}

/// The extension `x_error_kind` of a component.
pub(crate) fn load_kind(component: &Component<'_>, problems: &mut Problems) -> Option<ErrorKind> {
    let word = component.text("x_error_kind", problems)?;
    let kind = kind_of_word(word);
    if kind.is_none() {
        let message = format!("\"{word}\" is not allowed; allowed: {KIND_WORDS}");
        problems.add(component.path_of("x_error_kind"), message);
    }
    kind
}

/// What an answer means that no filter names: by the budget's list of statuses, then by the language's map.
pub(crate) fn default_action(answer: &AnswerView<'_>) -> (Action, ErrorKind) {
    match answer.status {
        status if status >= 400 && answer.is_limit_status => {
            (Action::RateLimited, ErrorKind::RateLimited)
        }
        429 => (Action::RateLimited, ErrorKind::RateLimited),
        401 | 403 => (Action::Fail, ErrorKind::NeedsPerson),
        400 | 404 | 405 => (Action::Fail, ErrorKind::Permanent),
        status if status < 400 => (Action::Success, ErrorKind::Permanent),
        _ => (Action::Retry, ErrorKind::Transient),
    }
}

impl ResponseFilter {
    pub(crate) fn load(
        component: &Component<'_>,
        problems: &mut Problems,
    ) -> Option<ResponseFilter> {
        component.refuse(&[], &["x_error_kind"], problems);
        let word = component.text("action", problems);
        // The read fails for a token, which fetches a new one if the authenticator can, and tries again once.
        let renews_token = word == Some("REFRESH_TOKEN_THEN_RETRY");
        let action = match word {
            None => None,
            Some(_) if renews_token => Some(Action::Fail),
            Some("SUCCESS") => Some(Action::Success),
            Some("IGNORE") => Some(Action::Ignore),
            Some("RETRY") => Some(Action::Retry),
            Some("FAIL") => Some(Action::Fail),
            Some("RATE_LIMITED") => Some(Action::RateLimited),
            Some("RESET_PAGINATION") => Some(Action::ResetPagination),
            Some(other) => {
                problems.add(
                    component.path_of("action"),
                    format!(
                        "the action \"{other}\" is not supported; supported: SUCCESS, IGNORE, RETRY, \
                         FAIL, RATE_LIMITED, RESET_PAGINATION, REFRESH_TOKEN_THEN_RETRY"
                    ),
                );
                return None;
            }
        };
        let statuses = match component.get("http_codes") {
            None => Vec::new(),
            Some(value) => {
                let codes = value.as_array().and_then(|codes| {
                    let code = |code: &Value| u16::try_from(code.as_u64()?).ok();
                    codes.iter().map(code).collect::<Option<Vec<u16>>>()
                });
                if codes.is_none() {
                    let message = "a list of HTTP statuses such as [429] is needed here";
                    problems.add(component.path_of("http_codes"), message);
                }
                codes.unwrap_or_default()
            }
        };
        let stated = load_kind(component, problems);
        let failure_type = match component.text("failure_type", problems) {
            None => None,
            Some("config_error") => Some(ErrorKind::NeedsPerson),
            Some("transient_error") => Some(ErrorKind::Transient),
            Some("system_error") => Some(ErrorKind::Permanent),
            Some(other) => {
                problems.add(
                    component.path_of("failure_type"),
                    format!(
                        "\"{other}\" is not allowed; allowed: config_error, system_error, \
                         transient_error"
                    ),
                );
                None
            }
        };
        let predicate = component.template("predicate", Place::ERROR_FILTER, problems);
        let contains = component
            .text("error_message_contains", problems)
            .map(str::to_owned);
        let has_condition = ["http_codes", "predicate", "error_message_contains"]
            .iter()
            .any(|name| component.get(name).is_some());
        if !has_condition {
            let message =
                "a HttpResponseFilter needs http_codes, predicate or error_message_contains";
            problems.add(&component.path, message);
        }
        Some(ResponseFilter {
            action,
            statuses,
            predicate,
            contains,
            message: component.template("error_message", Place::ERROR_FILTER, problems),
            kind: stated
                .or(renews_token.then_some(ErrorKind::NeedsToken))
                .or(failure_type),
        })
    }

    /// Whether it looks into the answer.
    pub(super) fn reads_body(&self) -> bool {
        self.predicate.is_some() || self.contains.is_some() || self.message.is_some()
    }

    /// Whether it has the pages of a slice begun anew.
    pub(super) fn resets_pages(&self) -> bool {
        self.action == Some(Action::ResetPagination)
    }

    pub(crate) fn matches(
        &self,
        answer: &AnswerView<'_>,
        read: &Scope<'_>,
    ) -> Result<bool, FieldError> {
        if self.statuses.contains(&answer.status) {
            return Ok(true);
        }
        if let Some(predicate) = &self.predicate
            && predicate
                .condition(&scope(answer, read))
                .map_err(|error| at(predicate, error))?
        {
            return Ok(true);
        }
        let Some(part) = &self.contains else {
            return Ok(false);
        };
        Ok(error_message(answer.response, answer.body).contains(part))
    }

    pub(crate) fn verdict(
        &self,
        answer: &AnswerView<'_>,
        read: &Scope<'_>,
        requester_kind: Option<ErrorKind>,
    ) -> Verdict {
        let (default, default_kind) = default_action(answer);
        let action = match (self.action, self.kind) {
            (Some(action), _) => action,
            (None, Some(ErrorKind::RateLimited)) => Action::RateLimited,
            (None, Some(ErrorKind::Transient)) => Action::Retry,
            (None, Some(_)) => Action::Fail,
            // A filter that matches a good answer and says nothing more means a failure.
            (None, None) if default == Action::Success => Action::Fail,
            (None, None) => default,
        };
        let kind = match (action, self.kind) {
            (Action::RateLimited, _) => ErrorKind::RateLimited,
            (Action::Retry, None) => ErrorKind::Transient,
            (_, Some(kind)) => kind,
            (Action::Fail, None) => requester_kind.unwrap_or(match default_kind {
                // A FAIL is not tried again, whatever the status would have meant.
                ErrorKind::RateLimited | ErrorKind::Transient => ErrorKind::Permanent,
                kind => kind,
            }),
            (_, None) => default_kind,
        };
        let message = match &self.message {
            None => None,
            Some(template) => {
                let text = template.text(&scope(answer, read));
                // A message that cannot be rendered must not hide the failure that it describes.
                Some(text.unwrap_or_else(|_| template.source().to_owned()))
            }
        };
        Verdict {
            action,
            kind,
            message,
        }
    }
}

fn scope<'a>(answer: &AnswerView<'a>, read: &Scope<'a>) -> Scope<'a> {
    Scope {
        response: Some(answer.response),
        headers: Some(answer.headers),
        request_url: Some(answer.url),
        ..*read
    }
}
