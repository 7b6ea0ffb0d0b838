//! Sending: permit, request, verdict, report, and the short retries in between.
//!
//! Each request on the wire has a permit of its own, redirect hops included. A wait that is longer than
//! the slot allows ends the read with the wait as a hint, so that the run gives its slot back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::permit::{Draw, refusal};
use super::stream::Streamed;
use super::{BuildError, Built, url};
use crate::budget::Concern;
use crate::decode::{Decoder, Meter, Undecoded, json, overfull};
use crate::error::{Failure, ReadError};
use crate::errors::ErrorHandler;
use crate::errors::{Action, AnswerView, ErrorKind, Verdict, Wait, error_message, platform_code};
use crate::expr::Scope;
use crate::host::{Outcome, Reported, ResponseSignals};
use crate::http::{
    AnswerHead, Check, HttpAnswer, HttpFailure, HttpRequest, OpenAnswer, Unanswered,
};
use crate::load::model::Source;
use crate::reader::ReadSettings;
use crate::redact::Redactor;
use crate::signals::{answered_at, retry_after};

/// Page tokens live for longer than this.
const HELD_UP: Duration = Duration::from_secs(1);
/// A streamed answer may take as long.
const LONGEST_STREAM: Duration = Duration::from_hours(2);
/// A request that is refused so often for a limit ends the read, whatever the host thinks of the limit.
const MOST_REFUSALS: u32 = 20;

/// Everything that stays the same for all requests of a read.
pub(crate) struct Sender {
    pub(crate) source: Arc<Source>,
    pub(crate) stream: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) redactor: Redactor,
    /// The last request was sent some time after it was built: a limit held it up.
    pub(crate) was_held_up: bool,
    /// Plain values of the config, which may be shown.
    pub(crate) plain_values: Vec<String>,
    /// When the read began, to know how old the settings' "now" is.
    pub(crate) begun: Instant,
    /// Cancelled when what is read is waited for; `None`: it always is.
    pub(crate) turn: Option<CancellationToken>,
}

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
    pub(super) fn is_limit_status(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        self.concerns
            .iter()
            .any(|concern| concern.policy.limit_statuses.contains(&status))
    }
}

/// A usable answer.
pub(crate) struct Received {
    pub(crate) body: Value,
    pub(crate) headers: Value,
    pub(crate) bytes: u64,
    pub(crate) requests: u32,
    /// The manifest says to go on without this answer's content.
    pub(crate) ignored: bool,
    /// The body is still to come.
    pub(crate) streamed: Option<Streamed>,
    /// The manifest says to begin the pages of the slice anew, for this reason.
    pub(crate) reset: Option<Box<Failure>>,
}

impl Received {
    /// What is known without a request.
    pub(crate) fn known(body: Value) -> Received {
        Received {
            body,
            headers: Value::Object(Map::new()),
            bytes: 0,
            requests: 0,
            ignored: false,
            streamed: None,
            reset: None,
        }
    }

    /// The answer to a request that is none for a page: there are no pages to be begun anew.
    pub(crate) fn of_no_page(self) -> Result<Received, ReadError> {
        match self.reset {
            Some(failure) => Err(ReadError::Permanent { failure }),
            None => Ok(self),
        }
    }
}

/// What has come of an answer.
enum Arrived {
    Whole(HttpAnswer),
    Open(OpenAnswer),
}

/// What one try came to.
enum Try {
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
    /// Sends a request until it has a usable answer, or an end.
    pub(crate) async fn send(
        &mut self,
        first: &Built,
        handler: &ErrorHandler,
        decoder: &Decoder,
        settings: &ReadSettings,
    ) -> Result<Received, ReadError> {
        for credential in &first.credentials {
            self.redactor
                .add_header_value(credential, &self.plain_values);
        }
        let max_retries = handler
            .max_retries(&settings.config)
            .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))?;
        let mut request = first.clone();
        let mut requests = 0u32;
        let mut redirects = 0u32;
        let mut refusals = 0u32;
        let began = Instant::now();
        self.was_held_up = false;
        let mut attempt = 1u32;
        loop {
            requests = requests.saturating_add(1);
            let tried = self
                .try_once(&request, handler, decoder, settings, attempt)
                .await?;
            self.was_held_up |= refusals > 0 || began.elapsed() > HELD_UP;
            match tried {
                Try::Good(mut received) => {
                    received.requests = requests;
                    return Ok(*received);
                }
                Try::Redirect { status, location } => {
                    redirects += 1;
                    if redirects > settings.limits.max_redirects {
                        let message =
                            format!("more than {} redirects", settings.limits.max_redirects);
                        return Err(self.permanent(&message, &request, Some(status)));
                    }
                    request = self.redirected(&request, status, &location)?;
                }
                Try::Limited { hint, mut failure } => {
                    refusals += 1;
                    if refusals > MOST_REFUSALS {
                        failure.max_retries = Some(max_retries);
                        return Err(end(ErrorKind::RateLimited, hint, failure));
                    }
                    redirects = 0;
                    request = first.clone();
                }
                Try::Bad {
                    kind,
                    retry,
                    wait,
                    hint,
                    mut failure,
                } => {
                    failure.max_retries = Some(max_retries);
                    if !retry {
                        return Err(end(kind, hint, failure));
                    }
                    let next_wait = match wait {
                        Wait::TooLong(wait) => {
                            let retry_after = Some(wait);
                            return Err(ReadError::Transient {
                                retry_after,
                                failure,
                            });
                        }
                        // The language adds a second to every wait that a manifest states.
                        Wait::Stated(wait) | Wait::Told(wait) => wait + Duration::from_secs(1),
                        Wait::Unstated => {
                            let doubled = Duration::from_secs(1 << (attempt - 1).min(10));
                            hint.map_or(doubled, |hint| hint.max(doubled))
                        }
                    };
                    let out_of_tries = u64::from(attempt) > max_retries;
                    if out_of_tries || next_wait > settings.limits.max_wait_in_slot {
                        let retry_after = Some(next_wait);
                        return Err(ReadError::Transient {
                            retry_after,
                            failure,
                        });
                    }
                    attempt += 1;
                    redirects = 0;
                    request = first.clone();
                    tokio::select! {
                        () = settings.cancel.cancelled() => return Err(ReadError::Cancelled),
                        () = tokio::time::sleep(next_wait) => {}
                    }
                }
            }
        }
    }

    /// One request on the wire, between its permit and its report.
    async fn try_once(
        &self,
        request: &Built,
        handler: &ErrorHandler,
        decoder: &Decoder,
        settings: &ReadSettings,
        attempt: u32,
    ) -> Result<Try, ReadError> {
        let Draw { permit, concerns } = self.permit(request, settings).await?;
        let started = Instant::now();
        let streamed = match decoder {
            Decoder::Streamed(inner) => Some(inner.as_ref()),
            _ => None,
        };
        let outgoing = HttpRequest {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            max_body_bytes: settings.limits.max_page_bytes,
            read_timeout: request.read_timeout,
            total_timeout: streamed.map(|_| LONGEST_STREAM),
        };
        let check = {
            let (host, permit) = (Arc::clone(&settings.host), permit.clone());
            Check::new(move || {
                let (host, permit) = (Arc::clone(&host), permit.clone());
                async move { host.confirm(&permit).await }
            })
        };
        let waited = check.waited();
        let trial = Trial {
            request,
            handler,
            decoder,
            settings,
            attempt,
            concerns: &concerns,
        };
        let arriving = async {
            if streamed.is_none() {
                let answer = settings.http.send(outgoing, check).await?;
                return Ok(Arrived::Whole(answer));
            }
            let limit = outgoing.max_body_bytes;
            let answer = settings.http.open(outgoing, check).await?;
            // What an expression of the handler fails at, it fails at again when the whole is judged.
            if self.streams(&answer, &trial).unwrap_or(false) {
                return Ok(Arrived::Open(answer));
            }
            answer.whole(limit).await.map(Arrived::Whole)
        };
        let answer = tokio::select! {
            biased;
            () = settings.cancel.cancelled() => None,
            answer = arriving => Some(answer),
        };
        let mut signals = ResponseSignals {
            status: None,
            outcome: Outcome::Cancelled,
            left_at_once: !waited.for_a_connection(),
            retry_after: None,
            headers: Vec::new(),
            duration: started.elapsed(),
            bytes: 0,
            told: Vec::new(),
        };
        let result = match answer {
            None => Err(ReadError::Cancelled),
            Some(Err(HttpFailure::Unsent(refused))) => {
                signals.outcome = Outcome::Unsent;
                Err(refusal(refused))
            }
            Some(Err(HttpFailure::Unanswered(failure))) => {
                signals.outcome = match &failure {
                    Unanswered::Refused { .. } => Outcome::Unsent,
                    _ => Outcome::Transport,
                };
                Ok(self.transport_failure(failure, &trial, &mut signals))
            }
            Some(Ok(Arrived::Whole(answer))) => self.judge(&answer, &trial, &mut signals),
            Some(Ok(Arrived::Open(answer))) => {
                let inner = streamed.unwrap_or(decoder);
                let streamed = self.stream(answer, inner, &trial, permit, signals, started);
                return Ok(Try::Good(Box::new(Received {
                    headers: streamed.headers.clone(),
                    streamed: Some(streamed),
                    ..Received::known(Value::Null)
                })));
            }
        };
        let reported = settings.host.report(permit, &signals).await;
        match result {
            Ok(Try::Bad { failure, .. })
                if signals.outcome == Outcome::RateLimited && reported == Reported::AskAgain =>
            {
                Ok(Try::Limited {
                    hint: signals.retry_after,
                    failure,
                })
            }
            result => result,
        }
    }

    fn transport_failure(
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

    fn judge(
        &self,
        answer: &HttpAnswer,
        trial: &Trial<'_>,
        signals: &mut ResponseSignals,
    ) -> Result<Try, ReadError> {
        let Trial {
            request,
            handler,
            decoder,
            settings,
            ..
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
        let view = AnswerView {
            status: status.as_u16(),
            is_limit_status: trial.is_limit_status(status),
            response: &body,
            headers: &headers,
            body: &answer.body,
            url: request.url.as_str(),
        };
        let scope = Scope::of_read(&settings.config, settings.now);
        let verdict = handler
            .judge(&view, &scope)
            .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))?;
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

    fn permanent(&self, message: &str, request: &Built, status: Option<StatusCode>) -> ReadError {
        let failure = Failure {
            message: self.redactor.text(message),
            http_status: status.map(|status| status.as_u16()),
            url: Some(self.redactor.url(&request.url)),
            ..Failure::default()
        };
        ReadError::Permanent {
            failure: Box::new(failure),
        }
    }

    /// The next hop. To another host go neither credentials nor a body.
    fn redirected(
        &self,
        request: &Built,
        status: StatusCode,
        location: &str,
    ) -> Result<Built, ReadError> {
        let target = request.url.join(location).map_err(|error| {
            self.permanent(
                &format!("the redirect cannot be followed: {error}"),
                request,
                Some(status),
            )
        })?;
        let mut next = request.clone();
        let same_origin = url::same_origin(&request.url, &target);
        if request.url.scheme() == "https" && target.scheme() != "https" {
            let message = "the redirect leads from https to an unprotected address".to_owned();
            return Err(self.permanent(&message, request, Some(status)));
        }
        let becomes_get = status == StatusCode::SEE_OTHER
            || (matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND)
                && request.method == Method::POST);
        if becomes_get {
            next.method = Method::GET;
            next.body = None;
            next.headers
                .retain(|(name, _)| name != reqwest::header::CONTENT_TYPE);
        }
        if !same_origin {
            if next.body.is_some() {
                let message = format!(
                    "the redirect leads to another host ({}), which is not sent the body",
                    target.host_str().unwrap_or_default()
                );
                return Err(self.permanent(&message, request, Some(status)));
            }
            // Any header of the manifest may hold a credential.
            next.headers
                .retain(|(name, _)| name == reqwest::header::ACCEPT);
        }
        next.url = target;
        Ok(next)
    }
}

pub(super) fn end(
    kind: ErrorKind,
    retry_after: Option<Duration>,
    failure: Box<Failure>,
) -> ReadError {
    match kind {
        ErrorKind::RateLimited => ReadError::RateLimited {
            retry_after,
            failure,
        },
        ErrorKind::Transient => ReadError::Transient {
            retry_after,
            failure,
        },
        ErrorKind::NeedsToken => ReadError::NeedsToken { failure },
        ErrorKind::NeedsPerson => ReadError::NeedsPerson { failure },
        ErrorKind::Permanent => ReadError::Permanent { failure },
    }
}

fn redirect_target(answer: &HttpAnswer) -> Option<String> {
    let follows = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = answer
        .headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    if follows {
        location.map(str::to_owned)
    } else {
        None
    }
}

/// Headers for expressions: by the name as sent (HTTP/1.1 servers send any case, reqwest gives lower
/// case) and by the usual capitals; `link` is parsed into its relations.
pub(super) fn headers_value(headers: &HeaderMap) -> Value {
    let mut members = Map::new();
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        let name = name.as_str();
        let value = if name == "link" {
            link_relations(value)
        } else {
            Value::String(value.to_owned())
        };
        let mut capital = true;
        let usual: String = name
            .chars()
            .map(|c| {
                let shown = if capital { c.to_ascii_uppercase() } else { c };
                capital = c == '-';
                shown
            })
            .collect();
        members.insert(usual, value.clone());
        members.insert(name.to_owned(), value);
    }
    Value::Object(members)
}

/// `<url>; rel="next", ...` as `{"next": {"url": ..., "rel": "next"}}`.
fn link_relations(header: &str) -> Value {
    let mut relations = Map::new();
    for part in header.split(", <").flat_map(|part| part.split(",<")) {
        let part = part.trim_start_matches('<');
        let (address, attributes) = part.split_once('>').unwrap_or((part, ""));
        let mut link = Map::new();
        link.insert("url".to_owned(), Value::String(address.trim().to_owned()));
        for attribute in attributes.split(';') {
            if let Some((name, value)) = attribute.split_once('=') {
                let clean = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
                link.insert(clean(name), Value::String(clean(value)));
            }
        }
        let relation = link
            .get("rel")
            .and_then(Value::as_str)
            .unwrap_or(address)
            .to_owned();
        relations.insert(relation, Value::Object(link));
    }
    Value::Object(relations)
}
