//! Reading a stream page by page.
//!
//! The reader advances only when a page was decoded whole: after an error it stands where it stood, and
//! may be asked again. A stream with a cursor is read slice by slice; the page that closes a slice carries the state.

mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

pub use settings::{DataRange, ReadLimits, ReadSettings};

use crate::error::{Failure, ReadError};
use crate::expr::Scope;
use crate::incremental::{CursorRead, Start};
use crate::load::model::{Source, Stream};
use crate::page::{Page, PageSlice, Position, Record, RejectedRecord};
use crate::paginate::{PageFacts, Paginator, Token};
use crate::record::take_records;
use crate::redact::Redactor;
use crate::request::send::{Received, Sender};
use crate::request::{Asked, BuildError, budget_scopes};

/// Reads one stream; the caller pulls pages and may load one while the next is fetched.
pub struct StreamReader {
    source: Arc<Source>,
    stream: usize,
    settings: ReadSettings,
    sender: Sender,
    /// The path of the records, rendered for this config.
    steps: Vec<String>,
    /// The cursor of the stream, with the slice that is open.
    cursor: Option<CursorRead>,
    /// The page to read next; `None` when the stream is complete.
    token: Option<Token>,
    /// Whether the next request is the first of a read that goes on from a page token.
    resumed: bool,
    /// Whether the page that only carries the state is still to be given, because there is no slice to read.
    owes_state: bool,
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
            let failure = failure_of(redactor.text(&message));
            ReadError::Permanent { failure }
        };
        let Some(definition) = source.streams.get(stream) else {
            return Err(permanent("the stream does not exist".to_owned()));
        };
        let paginator = &definition.paginator;
        if let Some(problem) = contradiction(definition, &settings) {
            return Err(permanent(problem));
        }
        let refused = |message: String| ReadError::PositionRefused {
            failure: failure_of(message),
        };
        let has_cursor = definition.cursor.is_some();
        let (token, resumed) = match (&settings.from, settings.page) {
            (_, Some(page)) => (Token::Page(page), false),
            (Some(position), None) if !has_cursor || Paginator::has_token(position) => {
                (paginator.token_of(position).map_err(refused)?, true)
            }
            _ => (paginator.first(), false),
        };
        let scope = scope_of(&settings, None);
        let steps = definition
            .extractor
            .steps(&scope)
            .map_err(|error| BuildError::Field(error).into_read_error(&redactor))?;
        let cursor = open_cursor(definition, &settings, &scope)
            .map_err(|error| BuildError::Field(error).into_read_error(&redactor))?;
        let nothing_to_read = cursor.as_ref().is_some_and(|cursor| !cursor.is_open());
        let sender = Sender {
            source: Arc::clone(&source),
            stream: definition.name.clone(),
            scopes: budget_scopes(&source, &settings.config)?,
            plain_values: plain_values(&settings.config, &secrets),
            redactor,
        };
        Ok(StreamReader {
            source,
            stream,
            settings,
            sender,
            steps,
            cursor,
            token: (!nothing_to_read).then_some(token),
            resumed,
            owes_state: nothing_to_read,
            pages: 0,
        })
    }

    /// The next page, or `None` when the stream is complete. After an error the reader may be asked
    /// again, and repeats the request that failed; a new reader from the last [`Position`] does the
    /// same.
    pub async fn next_page(&mut self) -> Result<Option<Page>, ReadError> {
        let Some(token) = self.token.clone() else {
            return Ok(self.state_page());
        };
        if self.settings.cancel.is_cancelled() {
            return Err(ReadError::Cancelled);
        }
        if self.pages >= self.settings.limits.max_pages {
            let message = format!(
                "the stream did not end within {} pages, which is the limit of one read",
                self.settings.limits.max_pages
            );
            let failure = failure_of(message);
            return Err(ReadError::Permanent { failure });
        }
        let started = Instant::now();
        let source = Arc::clone(&self.source);
        let Some(stream) = source.streams.get(self.stream) else {
            return Ok(None);
        };
        let request_token = stream.paginator.request_token(&token);
        let slice = self.cursor.as_ref().and_then(CursorRead::slice);
        let first_only = stream.slice_on_first_page_only && request_token.is_some();
        let asked = Asked {
            scope: &scope_of(&self.settings, slice.as_ref()),
            base_url: self.settings.base_url.as_deref(),
            paginator: &stream.paginator,
            token: request_token.as_ref(),
            cursor: stream.cursor.as_ref().filter(|_| !first_only),
        };
        let built = stream
            .requester
            .build(&asked)
            .map_err(|error| error.into_read_error(&self.sender.redactor))?;
        let handler = &stream.requester.error_handler;
        let received = match self.sender.send(&built, handler, &self.settings).await {
            Ok(received) => received,
            Err(error) => return Err(self.position_refused(error)),
        };
        let mut page = self.page_of(stream, &token, slice.as_ref(), received)?;
        page.duration = started.elapsed();
        self.resumed = false;
        self.pages += 1;
        Ok(Some(page))
    }

    /// Where the next page begins; `None` when the stream is complete, and at the beginning of a
    /// stream without slices whose positions are page tokens.
    pub fn position(&self) -> Option<Position> {
        let stream = self.source.streams.get(self.stream)?;
        position_of(stream, self.token.as_ref()?, self.cursor.as_ref())
    }

    /// The only page of a stream whose cursor has nothing to read. It was not asked for, and carries the state.
    fn state_page(&mut self) -> Option<Page> {
        if !std::mem::take(&mut self.owes_state) {
            return None;
        }
        Some(Page {
            index: self.pages,
            number: None,
            records: Vec::new(),
            rejected: Vec::new(),
            next: None,
            slice: None,
            closes_slice: true,
            state: self.new_state(self.cursor.as_ref()),
            bytes: 0,
            duration: Duration::ZERO,
            requests: 0,
        })
    }

    /// The state to be stored, if this read moves it.
    fn new_state(&self, cursor: Option<&CursorRead>) -> Option<Value> {
        match self.settings.page {
            Some(_) => None,
            None => cursor.and_then(CursorRead::state),
        }
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

    #[expect(
        clippy::too_many_lines,
        reason = "one page, from its answer to the place after it"
    )]
    fn page_of(
        &mut self,
        stream: &Stream,
        token: &Token,
        slice: Option<&Value>,
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
        let mut cursor = self.cursor.clone();
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
            let scope = scope_of(&self.settings, slice);
            let read_error =
                |error| BuildError::Field(error).into_read_error(&self.sender.redactor);
            for transformation in &stream.transformations {
                for record in &mut records {
                    transformation.apply(record, &scope).map_err(read_error)?;
                }
            }
            if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.filters_pages()) {
                records.retain(|record| cursor.wants(record));
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
                .next(token, &scope, &facts)
                .map_err(read_error)?;
        }
        if let Some(cursor) = &mut cursor {
            if cursor.is_feed() {
                if records.last().is_some_and(|last| cursor.ends_feed(last)) {
                    next = None;
                }
                records.retain(|record| cursor.wants(record));
            }
            for record in &records {
                cursor.observe(record);
            }
        }
        let page_slice = cursor
            .as_ref()
            .and_then(CursorRead::ends)
            .map(|(since, until)| PageSlice { since, until });
        let closes_slice = next.is_none();
        if self.settings.page.is_some() {
            next = None;
        } else if let Some(cursor) = cursor.as_mut().filter(|_| closes_slice) {
            cursor.close();
            next = cursor.is_open().then(|| stream.paginator.first());
        }
        let state = if closes_slice {
            self.new_state(cursor.as_ref())
        } else {
            None
        };
        let number = match token {
            Token::Page(page) => Some(*page),
            _ => None,
        };
        let position = next
            .as_ref()
            .and_then(|token| position_of(stream, token, cursor.as_ref()));
        if let Some(position) = &position {
            // Positions are stored in clear.
            if self.sender.redactor.holds_secret(&position.0.to_string()) {
                let message = "the platform's cursor holds a secret of the config (perhaps an address \
                               with the access token in it), so it cannot be stored; use a paginator \
                               whose token does not";
                let failure = failure_of(message.to_owned());
                return Err(ReadError::Permanent { failure });
            }
        }
        self.token = next;
        self.cursor = cursor;
        Ok(Page {
            index: self.pages,
            number,
            records,
            rejected,
            next: position,
            slice: page_slice,
            closes_slice,
            state,
            bytes,
            duration: Duration::ZERO,
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

/// What is wrong with the settings, whatever the platform would say.
fn contradiction(stream: &Stream, settings: &ReadSettings) -> Option<String> {
    let name = &stream.name;
    if settings.page.is_some() && !stream.paginator.supports_page() {
        return Some(format!(
            "the stream \"{name}\" cannot be read by page number"
        ));
    }
    if settings.page.is_some() && settings.from.is_some() {
        return Some("a read has either a position or a single page".to_owned());
    }
    if settings.page.is_some() && settings.range.is_some() {
        return Some("a read has either a data range or a single page".to_owned());
    }
    let range = settings.range?;
    if stream.cursor.is_none() {
        return Some(format!(
            "the stream \"{name}\" cannot be read by a data range: it has no cursor (incremental_sync), so its records cannot \
             be asked for by time"
        ));
    }
    (range.from >= range.to).then(|| {
        format!(
            "a data range must end after it begins; this one is from {} to {}",
            range.from.to_rfc3339(),
            range.to.to_rfc3339()
        )
    })
}

/// The cursor of the stream at the place where the read is to start.
fn open_cursor(
    stream: &Stream,
    settings: &ReadSettings,
    scope: &Scope<'_>,
) -> Result<Option<CursorRead>, crate::request::value::FieldError> {
    let Some(cursor) = &stream.cursor else {
        return Ok(None);
    };
    let state = settings.state.as_ref();
    let slice = settings.from.as_ref().and_then(|from| from.0.get("slice"));
    let is_page = settings.page.is_some();
    let start = match (slice, settings.range) {
        (Some(slice), _) => Start::Position(slice, state),
        (None, Some(range)) => Start::Range(range.from, range.to),
        (None, None) if is_page => Start::State(None),
        (None, None) => Start::State(state),
    };
    CursorRead::new(cursor, scope, settings.now, start, is_page).map(Some)
}

fn scope_of<'a>(settings: &'a ReadSettings, slice: Option<&'a Value>) -> Scope<'a> {
    Scope {
        stream_slice: slice,
        ..Scope::of_read(&settings.config, settings.now)
    }
}

/// The position before this page: what the paginator needs, and what the cursor needs.
fn position_of(stream: &Stream, token: &Token, cursor: Option<&CursorRead>) -> Option<Position> {
    let page = token.position();
    let Some(slice) = cursor.and_then(CursorRead::position) else {
        return page;
    };
    let mut members = Map::new();
    members.insert("slice".to_owned(), slice);
    // The first page of a slice needs no token, and so none that a platform could refuse.
    let begins = *token == stream.paginator.first();
    if let Some(Position(Value::Object(page))) = page.filter(|_| !begins) {
        members.extend(page);
    }
    Some(Position(Value::Object(members)))
}

#[expect(clippy::unnecessary_box_returns, reason = "errors hold it boxed")]
fn failure_of(message: String) -> Box<Failure> {
    Box::new(Failure {
        message,
        ..Failure::default()
    })
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
