//! What an answer comes to, by the manifest's error handler and what can be read of it.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Map, Value};

use super::headers::headers_value;
use super::received::Received;
use super::redirect::redirect_target;
use super::send::Sender;
use super::{BuildError, Built};
use crate::budget::Concern;
use crate::decode::{Decoder, Meter, Undecoded, json, overfull};
use crate::error::{Failure, ReadError};
use crate::errors::ErrorHandler;
use crate::errors::{Action, AnswerView, ErrorKind, Verdict, Wait, error_message, platform_code};
use crate::expr::Scope;
use crate::host::{Outcome, ResponseSignals};
use crate::http::{AnswerHead, HttpAnswer, Unanswered};
use crate::reader::ReadSettings;
use crate::signals::{answered_at, retry_after};

/// One request on its way, and what its answer is judged by.
#[derive(Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) request: &'a Built,
    pub(super) handler: &'a ErrorHandler,
    pub(super) decoder: &'a Decoder,
    pub(super) settings: &'a ReadSettings,
    pub(super) attempt: u32,
    /// The budgets that it draws on.
    pub(super) concerns: &'a [Concern<'a>],
}

impl Trial<'_> {
    /// Whether anything looks into the body of an answer that the status does not make a failure.
    fn reads_body(&self) -> bool {
        let mut concerns = self.concerns.iter();
        self.handler.reads_body() || concerns.any(|concern| concern.policy.signals.read_body())
    }

    /// Whether one of the budgets says that this status is a limit.
    fn is_limit_status(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        self.concerns
            .iter()
            .any(|concern| concern.policy.limit_statuses.contains(&status))
    }
}

/// What one try came to.
pub(super) enum Try {
    Good(Box<Received>),
    Redirect {
        status: StatusCode,
        location: String,
    },
    /// A limit is reached, and the host knows for how long to wait.
    Limited {
        hint: Option<Duration>,
        failure: Box<Failure>,
    },
    Bad {
        kind: ErrorKind,
        retry: bool,
        wait: Wait,
        hint: Option<Duration>,
        failure: Box<Failure>,
    },
}

impl Sender {
    pub(super) fn transport_failure(
        &self,
        failure: Unanswered,
        trial: &Trial<'_>,
        signals: &mut ResponseSignals,
    ) -> Try {
        let (message, head, kind) = match failure {
            Unanswered::Transport { message, head } => {
                let what = if head.is_some() {
                    "the answer broke off"
                } else {
                    "no answer"
                };
                (format!("{what}: {message}"), head, ErrorKind::Transient)
            }
            Unanswered::Refused { message } => (message, None, ErrorKind::Permanent),
            Unanswered::TooLarge { limit, head } => {
                let message = format!("the answer has more than {limit} bytes, which is the limit");
                (message, Some(head), ErrorKind::Permanent)
            }
        };
        if let Some(head) = head {
            let AnswerHead { status, headers } = *head;
            self.hear(trial, status, &headers, None, signals);
        }
        let failure = Failure {
            message: self.redactor.text(&message),
            http_status: signals.status,
            url: Some(self.redactor.url(&trial.request.url)),
            ..Failure::default()
        };
        let retry = kind == ErrorKind::Transient;
        let failure = Box::new(failure);
        Try::Bad {
            kind,
            retry,
            wait: Wait::Unstated,
            hint: None,
            failure,
        }
    }

    pub(super) fn judge(
        &self,
        answer: &HttpAnswer,
        trial: &Trial<'_>,
        signals: &mut ResponseSignals,
    ) -> Result<Try, ReadError> {
        let Trial {
            decoder, settings, ..
        } = *trial;
        let status = answer.status;
        let is_json = matches!(decoder, Decoder::Json);
        let meter = || Meter::new(settings.limits.max_decoded_bytes);
        // Error handlers and budgets read JSON, whatever the records come in.
        let is_read = is_json || status.as_u16() >= 400 || trial.reads_body();
        let parsed = if is_read {
            json(&answer.body, &meter())
        } else {
            Err(Undecoded::Stopped)
        };
        signals.bytes = answer.body.len() as u64;
        self.hear(
            trial,
            status,
            &answer.headers,
            parsed.as_ref().ok(),
            signals,
        );
        if let Some(location) = redirect_target(answer) {
            signals.outcome = Outcome::Ok;
            return Ok(Try::Redirect { status, location });
        }
        let no_content = status == StatusCode::NO_CONTENT;
        let (mut body, parse_error) = match parsed {
            Ok(body) => (body, None),
            Err(error) => (Value::Object(Map::new()), Some(error)),
        };
        let headers = headers_value(&answer.headers);
        let verdict = self.verdict(trial, status, &headers, &body, &answer.body)?;
        let usable = matches!(verdict.action, Action::Success | Action::Ignore);
        let decoded = if is_json {
            parse_error.map_or(Ok(None), Err)
        } else if !usable || status.as_u16() >= 400 || no_content {
            Ok(None)
        } else {
            // The answer is not held twice.
            body = Value::Object(Map::new());
            let limit = settings.limits.max_unpacked_bytes;
            let decoded = decoder.decode_within(&answer.body, limit, &meter());
            decoded.map(Some)
        };
        self.judged(answer, trial, (body, headers), decoded, &verdict, signals)
    }

    /// What the manifest's error handler takes an answer for.
    pub(super) fn verdict(
        &self,
        trial: &Trial<'_>,
        status: StatusCode,
        headers: &Value,
        response: &Value,
        body: &[u8],
    ) -> Result<Verdict, ReadError> {
        let view = AnswerView {
            status: status.as_u16(),
            is_limit_status: trial.is_limit_status(status),
            response,
            headers,
            body,
            url: trial.request.url.as_str(),
        };
        let scope = Scope::of_read(&trial.settings.config, trial.settings.now);
        trial
            .handler
            .judge(&view, &scope)
            .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))
    }

    /// What becomes of an answer whose content and meaning are known.
    fn judged(
        &self,
        answer: &HttpAnswer,
        trial: &Trial<'_>,
        (body, headers): (Value, Value),
        decoded: Result<Option<Value>, Undecoded>,
        verdict: &Verdict,
        signals: &mut ResponseSignals,
    ) -> Result<Try, ReadError> {
        let (request, status) = (trial.request, answer.status);
        let no_content = status == StatusCode::NO_CONTENT;
        let bytes = answer.body.len() as u64;
        let action = verdict.action;
        let usable = matches!(action, Action::Success | Action::Ignore);
        let readable = decoded.is_ok() || no_content;
        let mut undecoded = None;
        let body = match decoded {
            Ok(Some(decoded)) => decoded,
            Ok(None) => body,
            Err(error) => {
                undecoded = Some(error);
                body
            }
        };
        if usable && (readable || action == Action::Ignore) {
            signals.outcome = Outcome::Ok;
            // An ignored failure has no records, an ignored good answer has.
            let ignored = action == Action::Ignore && (status.as_u16() >= 400 || !readable);
            let received = Received {
                headers,
                bytes,
                ignored,
                ..Received::known(body)
            };
            return Ok(Try::Good(Box::new(received)));
        }
        let mut failure = Failure {
            message: String::new(),
            http_status: Some(status.as_u16()),
            platform_code: platform_code(&body).map(|code| self.redactor.text(&code)),
            body_excerpt: (!request.fetches_token).then(|| self.redactor.excerpt(&answer.body)),
            url: Some(self.redactor.url(&request.url)),
            ..Failure::default()
        };
        if usable {
            let is_too_large = matches!(
                undecoded,
                Some(Undecoded::TooLarge(_) | Undecoded::Overfull(_))
            );
            if matches!(undecoded, Some(Undecoded::Overfull(_))) {
                failure.limit = Some("max_decoded_bytes");
            }
            signals.outcome = Outcome::Transient;
            failure.message = self.unreadable(answer, undecoded);
            let failure = Box::new(failure);
            return Ok(Try::Bad {
                kind: if is_too_large {
                    ErrorKind::Permanent
                } else {
                    ErrorKind::Transient
                },
                retry: !is_too_large,
                wait: Wait::Unstated,
                hint: None,
                failure,
            });
        }
        let text = verdict.message.clone();
        let text = text.unwrap_or_else(|| {
            if !request.fetches_token {
                error_message(&body, &answer.body)
            } else if status.as_u16() >= 400 {
                // What a refusal says of itself in a member for that.
                error_message(&body, b"")
            } else {
                String::new()
            }
        });
        failure.message = self.failure_message(&text, status);
        if action == Action::ResetPagination {
            let is_good = status.as_u16() < 400;
            signals.outcome = if is_good {
                Outcome::Ok
            } else {
                Outcome::Refused
            };
            return Ok(Try::Good(Box::new(Received {
                headers,
                bytes,
                reset: Some(Box::new(failure)),
                ..Received::known(Value::Null)
            })));
        }
        self.failed(answer, trial, verdict, failure, signals)
    }

    /// What comes after an answer that the manifest takes for a failure.
    fn failed(
        &self,
        answer: &HttpAnswer,
        trial: &Trial<'_>,
        verdict: &Verdict,
        failure: Failure,
        signals: &mut ResponseSignals,
    ) -> Result<Try, ReadError> {
        let Trial {
            handler,
            settings,
            attempt,
            ..
        } = *trial;
        let scope = Scope::of_read(&settings.config, settings.now);
        let at = answered_at(&answer.headers, self.now(settings));
        let wait = handler
            .wait(attempt, &answer.headers, at, &scope)
            .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))?;
        signals.outcome = match verdict.kind {
            ErrorKind::RateLimited => Outcome::RateLimited,
            ErrorKind::Transient => Outcome::Transient,
            _ => Outcome::Refused,
        };
        signals.retry_after = match wait {
            Wait::Told(wait) | Wait::TooLong(wait) => Some(wait),
            // A wait that grows with each try is no wish of the platform.
            Wait::Stated(_) | Wait::Unstated => retry_after(&answer.headers, at),
        };
        // A wait that is told of one budget ends the read as well; the host is told whose it is.
        let longest = signals.told.iter().filter_map(|told| told.wait).max();
        let hint = match verdict.kind {
            ErrorKind::RateLimited => signals.retry_after.max(longest),
            _ => signals.retry_after,
        };
        Ok(Try::Bad {
            kind: verdict.kind,
            retry: verdict.action == Action::Retry,
            wait,
            hint,
            failure: Box::new(failure),
        })
    }

    /// The reference takes such an answer for an empty page and loses the data.
    fn unreadable(&self, answer: &HttpAnswer, reason: Option<Undecoded>) -> String {
        if answer.body.is_empty() {
            return "the answer is empty where content is expected".to_owned();
        }
        let message = match reason {
            Some(Undecoded::Broken(reason)) => reason,
            Some(Undecoded::TooLarge(limit)) => {
                format!("unpacked, the answer has more than {limit} bytes, which is the limit")
            }
            Some(Undecoded::Overfull(limit)) => overfull(limit),
            Some(Undecoded::Stopped) | None => "the answer cannot be read".to_owned(),
        };
        self.redactor.text(&message)
    }

    fn failure_message(&self, text: &str, status: StatusCode) -> String {
        let clean = self.redactor.excerpt(text.as_bytes());
        let short: String = clean.chars().take(300).collect();
        if short.trim().is_empty() {
            let reason = status.canonical_reason().unwrap_or("no reason given");
            return format!("the platform answered {} {reason}", status.as_u16());
        }
        short
    }
}
