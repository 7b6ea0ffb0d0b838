//! Reading a stream page by page.
//!
//! The reader advances only when a page was decoded whole: after an error it stands where it stood, and
//! may be asked again.

mod settings;

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

pub use settings::{ReadLimits, ReadSettings};

use crate::error::{Failure, ReadError};
use crate::expr::Scope;
use crate::load::model::{Source, Stream};
use crate::page::{Page, Position, Record, RejectedRecord};
use crate::paginate::{PageFacts, Token};
use crate::record::take_records;
use crate::redact::Redactor;
use crate::request::send::{Received, Sender};
use crate::request::{BuildError, budget_scopes};

/// Reads one stream; the caller pulls pages and may load one while the next is fetched.
pub struct StreamReader {
    source: Arc<Source>,
    stream: usize,
    settings: ReadSettings,
    sender: Sender,
    /// The path of the records, rendered for this config.
    steps: Vec<String>,
    /// The page to read next; `None` when the stream is complete.
    token: Option<Token>,
    /// Whether the next request is the first of a resumed read.
    resumed: bool,
    pages: u64,
}

impl StreamReader {
    pub(crate) fn new(
        source: Arc<Source>,
        stream: usize,
        settings: ReadSettings,
    ) -> Result<StreamReader, ReadError> {
        let secrets = crate::config::secret_values(&source.config_schema, &settings.config);
        let redactor = Redactor::new(&secrets);
        let permanent = |message: String| {
            let failure = Failure {
                message: redactor.text(&message),
                ..Failure::default()
            };
            ReadError::Permanent {
                failure: Box::new(failure),
            }
        };
        let Some(definition) = source.streams.get(stream) else {
            return Err(permanent("the stream does not exist".to_owned()));
        };
        let paginator = &definition.paginator;
        let token = match (&settings.from, settings.page) {
            (Some(_), Some(_)) => {
                return Err(permanent(
                    "a read has either a position or a single page".to_owned(),
                ));
            }
            (None, Some(_)) if !paginator.supports_page() => {
                let message = format!(
                    "the stream \"{}\" cannot be read by page number",
                    definition.name
                );
                return Err(permanent(message));
            }
            (None, Some(page)) => Token::Page(page),
            (Some(position), None) => paginator.token_of(position).map_err(|message| {
                let failure = Box::new(Failure {
                    message,
                    ..Failure::default()
                });
                ReadError::PositionRefused { failure }
            })?,
            (None, None) => paginator.first(),
        };
        let steps = definition
            .extractor
            .steps(&Scope::of_config(&settings.config))
            .map_err(|error| BuildError::Field(error).into_read_error(&redactor))?;
        let sender = Sender {
            source: Arc::clone(&source),
            stream: definition.name.clone(),
            scopes: budget_scopes(&source, &settings.config)?,
            plain_values: plain_values(&settings.config, &secrets),
            redactor,
        };
        let resumed = settings.from.is_some();
        let token = Some(token);
        Ok(StreamReader {
            source,
            stream,
            settings,
            sender,
            steps,
            token,
            resumed,
            pages: 0,
        })
    }

    /// The next page, or `None` when the stream is complete. After an error the reader may be asked
    /// again, and repeats the request that failed; a new reader from the last [`Position`] does the
    /// same.
    pub async fn next_page(&mut self) -> Result<Option<Page>, ReadError> {
        let Some(token) = self.token.clone() else {
            return Ok(None);
        };
        if self.settings.cancel.is_cancelled() {
            return Err(ReadError::Cancelled);
        }
        if self.pages >= self.settings.limits.max_pages {
            let message = format!(
                "the stream did not end within {} pages, which is the limit of one read",
                self.settings.limits.max_pages
            );
            let failure = Box::new(Failure {
                message,
                ..Failure::default()
            });
            return Err(ReadError::Permanent { failure });
        }
        let started = Instant::now();
        let source = Arc::clone(&self.source);
        let Some(stream) = source.streams.get(self.stream) else {
            return Ok(None);
        };
        let request_token = stream.paginator.request_token(&token);
        let built = stream
            .requester
            .build(
                &self.settings.config,
                self.settings.base_url.as_deref(),
                &stream.paginator,
                request_token.as_ref(),
            )
            .map_err(|error| error.into_read_error(&self.sender.redactor))?;
        let handler = &stream.requester.error_handler;
        let received = match self.sender.send(&built, handler, &self.settings).await {
            Ok(received) => received,
            Err(error) => return Err(self.position_refused(error)),
        };
        let mut page = self.page_of(stream, &token, received)?;
        page.duration = started.elapsed();
        self.resumed = false;
        self.pages += 1;
        Ok(Some(page))
    }

    /// Where the next page begins; `None` when the stream is complete, and at the beginning of a
    /// stream whose positions are cursors.
    pub fn position(&self) -> Option<Position> {
        self.token.as_ref().and_then(Token::position)
    }

    /// A refusal of the first request of a resumed read is taken for a refusal of its position.
    fn position_refused(&self, error: ReadError) -> ReadError {
        match error {
            ReadError::Permanent { failure } if self.resumed => {
                let refusal = failure
                    .http_status
                    .is_some_and(|status| (400..500).contains(&status));
                if refusal {
                    ReadError::PositionRefused { failure }
                } else {
                    ReadError::Permanent { failure }
                }
            }
            other => other,
        }
    }

    fn page_of(
        &mut self,
        stream: &Stream,
        token: &Token,
        received: Received,
    ) -> Result<Page, ReadError> {
        let Received {
            body,
            headers,
            bytes,
            requests,
            ignored,
        } = received;
        let mut records: Vec<Record> = Vec::new();
        let mut rejected: Vec<RejectedRecord> = Vec::new();
        let mut next = None;
        if !ignored {
            // Records are moved out of the answer, so an answer that the paginator reads is kept.
            let kept = if stream.paginator.reads_response() {
                body.clone()
            } else {
                Value::Null
            };
            let found = take_records(body, &self.steps);
            let extracted = found.len() as u64;
            records.reserve(found.len());
            for value in found {
                match value {
                    Value::Object(record) => records.push(record),
                    other => rejected.push(self.reject(&other)),
                }
            }
            let config = &self.settings.config;
            let read_error =
                |error| BuildError::Field(error).into_read_error(&self.sender.redactor);
            for transformation in &stream.transformations {
                for record in &mut records {
                    transformation.apply(record, config).map_err(read_error)?;
                }
            }
            let last_record = if stream.paginator.reads_last_record() {
                records.last().cloned().map(Value::Object)
            } else {
                None
            };
            let facts = PageFacts {
                extracted,
                last_record: last_record.as_ref(),
                page_size: records.len() as u64,
                response: &kept,
                headers: &headers,
            };
            next = stream
                .paginator
                .next(token, config, &facts)
                .map_err(read_error)?;
        }
        if self.settings.page.is_some() {
            next = None;
        }
        let number = match token {
            Token::Page(page) => Some(*page),
            _ => None,
        };
        let position = next.as_ref().and_then(Token::position);
        if let Some(position) = &position {
            // Positions are stored in clear.
            if self.sender.redactor.holds_secret(&position.0.to_string()) {
                let message = "the platform's cursor holds a secret of the config (perhaps an address \
                               with the access token in it), so it cannot be stored; use a paginator \
                               whose token does not";
                let failure = Box::new(Failure {
                    message: message.to_owned(),
                    ..Failure::default()
                });
                return Err(ReadError::Permanent { failure });
            }
        }
        self.token = next;
        Ok(Page {
            index: self.pages,
            number,
            records,
            rejected,
            next: position,
            bytes,
            duration: std::time::Duration::ZERO,
            requests,
        })
    }

    fn reject(&self, value: &Value) -> RejectedRecord {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        RejectedRecord {
            reason: format!("a record must be a JSON object, this is {kind}"),
            sample: self.sender.redactor.excerpt(value.to_string().as_bytes()),
        }
    }
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StreamReader")
            .field("stream", &self.sender.stream)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

/// Texts of the config that are no secrets.
fn plain_values(config: &Value, secrets: &[String]) -> Vec<String> {
    let mut values = Vec::new();
    if let Value::Object(members) = config {
        for member in members.values() {
            if let Some(text) = member.as_str()
                && !secrets.iter().any(|secret| secret == text)
            {
                values.push(text.to_owned());
            }
        }
    }
    values
}
