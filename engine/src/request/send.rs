//! Sending: permit, request, verdict, report, and the short retries in between.
//!
//! Each request on the wire has a permit of its own, redirect hops included. A wait that is longer than
//! the slot allows ends the read with the wait as a hint, so that the run gives its slot back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::judge::{Trial, Try};
use super::permit::{Draw, refusal};
use super::received::Received;
use super::{BuildError, Built};
use crate::decode::Decoder;
use crate::error::{Failure, ReadError};
use crate::errors::{ErrorHandler, ErrorKind, Wait};
use crate::host::{Outcome, Reported, ResponseSignals};
use crate::http::{Check, HttpAnswer, HttpFailure, HttpRequest, OpenAnswer, Unanswered};
use crate::load::model::Source;
use crate::reader::ReadSettings;
use crate::redact::Redactor;

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

/// What has come of an answer.
enum Arrived {
    Whole(HttpAnswer),
    Open(OpenAnswer),
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

    pub(super) fn permanent(
        &self,
        message: &str,
        request: &Built,
        status: Option<StatusCode>,
    ) -> ReadError {
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
