//! From an answer to a page: its records, and the place after it.

use std::time::Duration;

use serde_json::Value;

use super::{StreamReader, failure_of};
use crate::error::ReadError;
use crate::incremental::CursorRead;
use crate::load::model::Stream;
use crate::page::{Page, PageSlice, Position, Record, RejectedRecord};
use crate::paginate::{PageFacts, Token};
use crate::partition::{PartitionStates, Walk};
use crate::record::take_records;
use crate::request::BuildError;
use crate::request::send::Received;

/// What an answer holds.
#[derive(Default)]
struct Contents {
    records: Vec<Record>,
    rejected: Vec<RejectedRecord>,
    /// The next page of the slice.
    next: Option<Token>,
}

/// What a page says beside its records.
pub(super) struct After {
    pub(super) position: Option<Position>,
    pub(super) state: Option<Value>,
}

impl StreamReader {
    /// The page of an answer. Moves the reader behind it, unless the answer cannot be read.
    pub(super) fn page_of(
        &mut self,
        stream: &Stream,
        token: &Token,
        slice: Option<&Value>,
        received: Received,
    ) -> Result<Page, ReadError> {
        let (bytes, requests) = (received.bytes, received.requests);
        let mut cursor = self.cursor.clone();
        let mut contents = if received.ignored {
            Contents::default()
        } else {
            self.contents(stream, token, slice, received)?
        };
        if let Some(cursor) = &mut cursor {
            observe(cursor, &mut contents);
        }
        let page_slice = cursor
            .as_ref()
            .and_then(CursorRead::ends)
            .map(|(since, until)| PageSlice { since, until });
        let closes_slice = contents.next.is_none();
        let mut next = contents.next;
        if self.settings.page.is_some() {
            next = None;
        } else if let Some(cursor) = cursor.as_mut().filter(|_| closes_slice) {
            cursor.close();
            next = cursor.is_open().then(|| stream.paginator.first());
        }
        let after = self.advance(next, cursor, closes_slice)?;
        let number = match token {
            Token::Page(page) => Some(*page),
            _ => None,
        };
        Ok(Page {
            index: self.pages,
            number,
            records: contents.records,
            rejected: contents.rejected,
            next: after.position,
            slice: page_slice,
            closes_slice,
            state: after.state,
            bytes,
            duration: Duration::ZERO,
            requests,
        })
    }

    /// Takes the same answer for every page of what is open, for three pages.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn feed(&mut self, body: &Value) {
        let stream = std::sync::Arc::clone(&self.stream);
        for _ in 0..3 {
            let Some(token) = self.token.clone() else {
                return;
            };
            let slice = self.slice();
            let received = Received {
                body: body.clone(),
                headers: Value::Object(serde_json::Map::new()),
                bytes: 0,
                requests: 1,
                ignored: false,
            };
            if self
                .page_of(&stream, &token, slice.as_ref(), received)
                .is_err()
            {
                return;
            }
        }
    }

    fn contents(
        &self,
        stream: &Stream,
        token: &Token,
        slice: Option<&Value>,
        received: Received,
    ) -> Result<Contents, ReadError> {
        let scope = self.scope(slice);
        let read_error = |error| BuildError::Field(error).into_read_error(&self.sender.redactor);
        // Records are moved out of the answer, so what the paginator wants of it comes first.
        let foretold = stream
            .paginator
            .foretell(&scope, &received.body, &received.headers)
            .map_err(read_error)?;
        let kept = if stream.paginator.keeps_response() {
            received.body.clone()
        } else {
            Value::Null
        };
        let found = take_records(received.body, &self.steps);
        let extracted = found.len() as u64;
        let mut records = Vec::with_capacity(found.len());
        let mut rejected = Vec::new();
        for value in found {
            match value {
                Value::Object(record) => records.push(record),
                other => rejected.push(self.reject(&other)),
            }
        }
        stream.refine(&mut records, &scope).map_err(read_error)?;
        if let Some(cursor) = self.cursor.as_ref().filter(|cursor| cursor.filters_pages()) {
            records.retain(|record| cursor.wants(record));
        }
        if let Some(normalizer) = &stream.normalizer {
            records
                .iter_mut()
                .for_each(|record| normalizer.apply(record));
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
            foretold,
            response: &kept,
            headers: &received.headers,
        };
        let next = stream
            .paginator
            .next(token, &scope, facts)
            .map_err(read_error)?;
        Ok(Contents {
            records,
            rejected,
            next,
        })
    }

    /// Moves behind a page. Fails, without having moved, where the place cannot be stored.
    pub(super) fn advance(
        &mut self,
        next: Option<Token>,
        cursor: Option<CursorRead>,
        closes_slice: bool,
    ) -> Result<After, ReadError> {
        // With partitions there is a next place until the walk has found that there is none.
        let goes_on = next.is_some() || self.walk.is_some();
        let position = goes_on
            .then(|| self.position_of(next.as_ref(), cursor.as_ref()))
            .flatten();
        if let Some(position) = &position {
            // Positions are stored in clear.
            if self.sender.redactor.holds_secret(&position.0.to_string()) {
                let message = "the platform's cursor, or a partition, holds a secret of the config (perhaps an address \
                               with the access token in it), so it cannot be stored; use a paginator \
                               whose token does not, and extra_fields for secrets of a parent's records";
                let failure = failure_of(message.to_owned());
                return Err(ReadError::Permanent { failure });
            }
        }
        let partition_closes = next.is_none();
        self.token = next;
        self.cursor = cursor;
        let state = if self.walk.is_some() {
            if partition_closes {
                self.close_partition();
            }
            let states = self.states.as_mut().filter(|_| partition_closes);
            states.and_then(PartitionStates::interim)
        } else if closes_slice {
            self.new_state(self.cursor.as_ref())
        } else {
            None
        };
        Ok(After { position, state })
    }

    /// The last page of a stream whose end does not come with a page of records. It was not asked for, and carries the state.
    pub(super) fn state_page(&mut self) -> Option<Page> {
        if !std::mem::take(&mut self.owes_state) {
            return None;
        }
        let state = match (&mut self.states, &self.stream.cursor) {
            (Some(states), Some(cursor)) => Some(states.closing(cursor)),
            _ => self.new_state(self.cursor.as_ref()),
        };
        let requests = self.walk.as_mut().map_or(0, Walk::take_requests);
        self.walk = None;
        Some(Page {
            index: self.pages,
            number: None,
            records: Vec::new(),
            rejected: Vec::new(),
            next: None,
            slice: None,
            closes_slice: true,
            state,
            bytes: 0,
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

/// Has a cursor see the records of a page. One that reads a feed drops what it does not want, and ends where the feed grows too old.
fn observe(cursor: &mut CursorRead, contents: &mut Contents) {
    if cursor.is_feed() {
        let last = contents.records.last();
        if last.is_some_and(|last| cursor.ends_feed(last)) {
            contents.next = None;
        }
        contents.records.retain(|record| cursor.wants(record));
    }
    for record in &contents.records {
        cursor.observe(record);
    }
}
