//! Answers that are read while they arrive (`x_streamed`).
//!
//! The head decides whether an answer is streamed: one that the manifest takes for a failure by its status or its headers is read and
//! judged as a whole, as all others are. What a filter of the error handler finds in an element of a streamed list ends the read there.
//! The host hears of such a request when its answer is over.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::BuildError;
use super::headers::headers_value;
use super::judge::Trial;
use super::send::{Sender, end};
use crate::decode::{Batch, Decoder, Undecoded, overfull, start};
use crate::error::{Failure, ReadError};
use crate::errors::{Action, AnswerView, ErrorHandler, ErrorKind, error_message, platform_code};
use crate::expr::Scope;
use crate::host::{Host, Outcome, Permit, ResponseSignals};
use crate::http::{HttpFailure, OpenAnswer, Unanswered};
use crate::reader::ReadSettings;

/// An answer that is still arriving.
pub(crate) struct Streamed {
    pub(crate) headers: Value,
    batches: mpsc::Receiver<Result<Batch, Undecoded>>,
    pump: AbortOnDropHandle<Result<u64, HttpFailure>>,
    /// Elements are looked at by the error handler.
    judges_rows: bool,
    permit: Option<Permit>,
    signals: ResponseSignals,
    started: Instant,
    host: Arc<dyn Host>,
    url: String,
}

impl Sender {
    /// Whether this answer may be streamed.
    pub(super) fn streams(
        &self,
        answer: &OpenAnswer,
        trial: &Trial<'_>,
    ) -> Result<bool, ReadError> {
        let status = answer.status;
        if !status.is_success() || status == reqwest::StatusCode::NO_CONTENT {
            return Ok(false);
        }
        let nothing = Value::Object(Map::new());
        let headers = headers_value(&answer.headers);
        let verdict = self.verdict(trial, status, &headers, &nothing, b"")?;
        Ok(verdict.action == Action::Success)
    }

    /// Begins to read an answer whose head has arrived.
    pub(super) fn stream(
        &self,
        mut answer: OpenAnswer,
        decoder: &Decoder,
        trial: &Trial<'_>,
        permit: Permit,
        mut signals: ResponseSignals,
        started: Instant,
    ) -> Streamed {
        self.hear(trial, answer.status, &answer.headers, None, &mut signals);
        let limits = &trial.settings.limits;
        let (pieces, batches) = start(
            decoder.clone(),
            limits.max_streamed_bytes,
            limits.max_decoded_bytes,
        );
        let limit = limits.max_streamed_bytes;
        let headers = headers_value(&answer.headers);
        let head = (answer.status, answer.headers.clone());
        let pump = tokio::spawn(async move {
            let mut bytes = 0u64;
            loop {
                let chunk = match answer.chunk().await {
                    Ok(None) => return Ok(bytes),
                    Ok(Some(chunk)) => chunk,
                    Err(failure) => {
                        let broken = io::Error::other("it broke off");
                        let _ = pieces.send(Err(broken)).await;
                        return Err(failure);
                    }
                };
                bytes += chunk.len() as u64;
                if bytes > limit as u64 {
                    let (status, headers) = head;
                    let head = Box::new(crate::http::AnswerHead { status, headers });
                    let broken = io::Error::other("it is too large");
                    let _ = pieces.send(Err(broken)).await;
                    return Err(Unanswered::TooLarge { limit, head }.into());
                }
                if pieces.send(Ok(chunk)).await.is_err() {
                    return Ok(bytes);
                }
            }
        });
        Streamed {
            headers,
            batches,
            pump: AbortOnDropHandle::new(pump),
            judges_rows: matches!(decoder, Decoder::Json),
            permit: Some(permit),
            signals,
            started,
            host: Arc::clone(&trial.settings.host),
            url: trial.request.url.to_string(),
        }
    }

    /// The next rows; `None` when the answer is over.
    pub(crate) async fn next_rows(
        &self,
        streamed: &mut Streamed,
        handler: &ErrorHandler,
        settings: &ReadSettings,
    ) -> Result<Option<Batch>, ReadError> {
        let next = tokio::select! {
            biased;
            () = settings.cancel.cancelled() => {
                streamed.report(Outcome::Cancelled).await;
                return Err(ReadError::Cancelled);
            }
            next = streamed.batches.recv() => next,
        };
        match next {
            Some(Ok(batch)) => {
                let refusal = self.refusal_in(&batch, streamed, handler, settings)?;
                let Some((kind, failure)) = refusal else {
                    return Ok(Some(batch));
                };
                streamed.report(outcome_of(kind)).await;
                Err(end(kind, None, failure))
            }
            Some(Err(error)) => {
                let (outcome, (kind, message)) = match (streamed.pumped().await, error) {
                    (Err(failed), _) => (Outcome::Transport, failed),
                    (Ok(_), error) => (Outcome::Transient, why_undecoded(error)),
                };
                streamed.report(outcome).await;
                Err(end(kind, None, self.failure(streamed, &message)))
            }
            None => match streamed.pumped().await {
                Ok(bytes) => {
                    streamed.signals.bytes = bytes;
                    streamed.report(Outcome::Ok).await;
                    Ok(None)
                }
                Err((kind, message)) => {
                    streamed.report(Outcome::Transport).await;
                    Err(end(kind, None, self.failure(streamed, &message)))
                }
            },
        }
    }

    /// What the manifest's filters find among the elements.
    fn refusal_in(
        &self,
        batch: &Batch,
        streamed: &Streamed,
        handler: &ErrorHandler,
        settings: &ReadSettings,
    ) -> Result<Option<(ErrorKind, Box<Failure>)>, ReadError> {
        if !streamed.judges_rows {
            return Ok(None);
        }
        let scope = Scope::of_read(&settings.config, settings.now);
        for row in &batch.rows {
            let view = AnswerView {
                status: streamed.signals.status.unwrap_or_default(),
                is_limit_status: false,
                response: row,
                headers: &streamed.headers,
                body: b"",
                url: &streamed.url,
            };
            let verdict = handler
                .judge(&view, &scope)
                .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))?;
            if matches!(verdict.action, Action::Success | Action::Ignore) {
                continue;
            }
            let excerpt = row.to_string();
            let text = verdict
                .message
                .unwrap_or_else(|| error_message(row, excerpt.as_bytes()));
            let mut failure = self.failure(streamed, &text);
            failure.platform_code = platform_code(row).map(|code| self.redactor.text(&code));
            failure.body_excerpt = Some(self.redactor.excerpt(excerpt.as_bytes()));
            return Ok(Some((verdict.kind, failure)));
        }
        Ok(None)
    }

    fn failure(&self, streamed: &Streamed, message: &str) -> Box<Failure> {
        let url = streamed.url.parse().ok();
        Box::new(Failure {
            message: self.redactor.excerpt(message.as_bytes()),
            http_status: streamed.signals.status,
            url: url.map(|url| self.redactor.url(&url)),
            ..Failure::default()
        })
    }
}

impl Streamed {
    /// Tells the host, once.
    pub(crate) async fn report(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            self.signals.outcome = outcome;
            self.signals.duration = self.started.elapsed();
            self.host.report(permit, &self.signals).await;
        }
    }

    /// How reading the bytes ended.
    async fn pumped(&mut self) -> Result<u64, (ErrorKind, String)> {
        match (&mut self.pump).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(HttpFailure::Unanswered(Unanswered::TooLarge { limit, .. }))) => Err((
                ErrorKind::Permanent,
                format!("the answer has more than {limit} bytes, which is the limit"),
            )),
            Ok(Err(HttpFailure::Unanswered(Unanswered::Transport { message, .. }))) => Err((
                ErrorKind::Transient,
                format!("the answer broke off: {message}"),
            )),
            Ok(Err(_)) | Err(_) => Err((ErrorKind::Transient, "the answer broke off".to_owned())),
        }
    }
}

fn why_undecoded(error: Undecoded) -> (ErrorKind, String) {
    match error {
        Undecoded::TooLarge(limit) => (
            ErrorKind::Permanent,
            format!("unpacked, the answer has more than {limit} bytes, which is the limit"),
        ),
        Undecoded::Overfull(limit) => (ErrorKind::Permanent, overfull(limit)),
        Undecoded::Broken(message) => (ErrorKind::Transient, message),
        Undecoded::Stopped => (ErrorKind::Transient, "the answer was not read".to_owned()),
    }
}

fn outcome_of(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::RateLimited => Outcome::RateLimited,
        ErrorKind::Transient => Outcome::Transient,
        _ => Outcome::Refused,
    }
}
