//! From an answer to a page: its records, and the place after it.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::reset::begin_anew;
use super::route::Route;
use super::{StreamReader, failure_of};
use crate::error::ReadError;
use crate::host::Outcome;
use crate::incremental::CursorRead;
use crate::job::JobRead;
use crate::load::model::Stream;
use crate::page::{Page, PageSlice, Position, Record, RejectedRecord};
use crate::paginate::{PageFacts, Resets, Token};
use crate::partition::PartitionStates;
use crate::request::BuildError;
use crate::request::received::Received;

/// What is kept of one page that is no record.
const MOST_SAMPLES: usize = 100;

/// What an answer holds.
#[derive(Default)]
pub(super) struct Contents {
    records: Vec<Record>,
    rejected: Vec<RejectedRecord>,
    more_rejected: u64,
    /// The next page of the slice.
    next: Option<Token>,
}

/// Where a read stands.
pub(super) struct Place {
    /// The page to read next; `None`: the partition is complete.
    pub(super) token: Option<Token>,
    pub(super) cursor: Option<CursorRead>,
    pub(super) jobs: Option<JobRead>,
    /// A request is to follow before the slice is closed.
    pub(super) closing: bool,
    pub(super) resets: Resets,
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
        let contents = if received.ignored {
            Contents::default()
        } else {
            self.contents(stream, token, slice, received)?
        };
        let mut page = self.hand_out(stream, token, contents, bytes)?;
        page.requests = requests;
        Ok(page)
    }

    /// The next rows of an answer that is still arriving, or the page after its last ones. Until then the read stands at the
    /// beginning of the answer: what was handed out of it comes again if it breaks off.
    pub(super) async fn next_part(
        &mut self,
        stream: &Stream,
        token: &Token,
    ) -> Result<Page, ReadError> {
        let Some(mut streamed) = self.streaming.take() else {
            return self.hand_out(stream, token, Contents::default(), 0);
        };
        let handler = &stream.requester.error_handler;
        let next = self
            .sender
            .next_rows(&mut streamed, handler, &self.settings);
        let Some(batch) = next.await? else {
            self.part = 0;
            return self.hand_out(stream, token, Contents::default(), 0);
        };
        let slice = self.slice();
        let received = Received {
            headers: streamed.headers.clone(),
            bytes: batch.bytes,
            ..Received::known(Value::Array(batch.rows))
        };
        self.part += 1;
        let page = self
            .contents(stream, token, slice.as_ref(), received)
            .and_then(|mut contents| {
                contents.next = Some(token.clone());
                self.hand_out(stream, token, contents, batch.bytes)
            });
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                streamed.report(Outcome::Ok).await;
                return Err(error);
            }
        };
        // A feed may have ended with these rows.
        if self.part > 0 {
            self.streaming = Some(streamed);
        } else {
            streamed.report(Outcome::Ok).await;
        }
        Ok(page)
    }

    /// Hands out what the page of this token holds, and moves behind it.
    pub(super) fn hand_out(
        &mut self,
        stream: &Stream,
        token: &Token,
        mut contents: Contents,
        bytes: u64,
    ) -> Result<Page, ReadError> {
        let mut cursor = self.cursor.clone();
        let mut jobs = self.jobs.clone();
        let mut resets = self.resets;
        let plan = stream.reset.as_ref();
        let resets_now = plan.is_some_and(|plan| plan.count(&mut resets, contents.records.len()));
        if let Some(cursor) = &mut cursor {
            observe(cursor, &mut contents);
        }
        let page_slice = cursor
            .as_ref()
            .and_then(CursorRead::ends)
            .map(|(since, until)| PageSlice { since, until });
        let mut next = contents.next;
        if resets_now {
            let mut place = Place {
                token: None,
                cursor,
                jobs: None,
                closing: false,
                resets,
            };
            begin_anew(stream, &mut place, None)?;
            (next, cursor, resets) = (place.token, place.cursor, place.resets);
        }
        if next.is_none() && jobs.as_mut().is_some_and(JobRead::advance_target) {
            next = Some(stream.paginator.first());
        }
        let is_last = next.is_none();
        if is_last {
            self.part = 0;
        }
        let closing = is_last && !self.closing && self.owes_requests(stream, cursor.as_ref());
        let closes_slice = is_last && !closing;
        if closing {
            next = Some(token.clone());
        } else if self.settings.page.is_some() {
            next = None;
        } else if closes_slice {
            jobs = jobs.map(JobRead::of_next_slice);
            resets = Resets::default();
            if let Some(cursor) = &mut cursor {
                cursor.close();
                next = cursor.is_open().then(|| stream.paginator.first());
            }
        }
        let place = Place {
            token: next,
            cursor,
            jobs,
            closing,
            resets,
        };
        let after = self.advance(place, closes_slice)?;
        let number = match token {
            Token::Page(page) => Some(*page),
            _ => None,
        };
        Ok(Page {
            number,
            records: contents.records,
            rejected: contents.rejected,
            more_rejected: contents.more_rejected,
            closes_slice,
            state: after.state,
            bytes,
            ..self.empty_page(after.position, page_slice)
        })
    }

    /// A page without records, at which the read goes on from this position.
    pub(super) fn empty_page(&self, next: Option<Position>, slice: Option<PageSlice>) -> Page {
        Page {
            index: self.pages,
            number: None,
            records: Vec::new(),
            rejected: Vec::new(),
            more_rejected: 0,
            next,
            slice,
            closes_slice: false,
            state: None,
            bytes: 0,
            duration: Duration::ZERO,
            requests: 0,
        }
    }

    /// Whether requests follow the last page of the open slice.
    fn owes_requests(&self, stream: &Stream, cursor: Option<&CursorRead>) -> bool {
        let deletes = stream
            .job
            .as_ref()
            .is_some_and(|plan| plan.delete.is_some())
            && self
                .jobs
                .as_ref()
                .is_some_and(|jobs| jobs.creation().is_some());
        self.settings.page.is_none() && (deletes || tears_down(stream, cursor))
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
                requests: 1,
                ..Received::known(body.clone())
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
        let no_response = Value::Object(Map::new());
        let response = if stream.decoder.gives_response() {
            &received.body
        } else {
            &no_response
        };
        // Records are moved out of the answer, so what the paginator wants of it comes first.
        let foretold = stream
            .paginator
            .foretell(&scope, response, &received.headers)
            .map_err(read_error)?;
        let kept = if !stream.decoder.gives_response() {
            no_response
        } else if stream.paginator.keeps_response() {
            received.body.clone()
        } else {
            Value::Null
        };
        let found = self
            .path
            .take(received.body)
            .map_err(|message| self.permanent(&message))?;
        let extracted = found.len() as u64;
        let mut records = Vec::with_capacity(found.len());
        let mut rejected = Vec::new();
        let mut more_rejected = 0;
        for value in found {
            match stream.extractor.record_of(value) {
                Ok(record) => records.push(record),
                Err(other) if rejected.len() < MOST_SAMPLES => rejected.push(self.reject(&other)),
                Err(_) => more_rejected += 1,
            }
        }
        // What is downloaded of a job is paged through before it is filtered.
        let unfiltered = (stream.job.is_some() && stream.paginator.reads_last_record())
            .then(|| (records.last().cloned(), records.len() as u64));
        stream.refine(&mut records, &scope).map_err(read_error)?;
        if let Some(cursor) = self.cursor.as_ref().filter(|cursor| cursor.filters_pages()) {
            records.retain(|record| cursor.wants(record));
        }
        if let Some(normalizer) = &stream.normalizer {
            for record in &mut records {
                normalizer.apply(record);
            }
        }
        let last_record = if stream.paginator.reads_last_record() {
            records.last().cloned().map(Value::Object)
        } else {
            None
        };
        let (last_record, page_size) = match unfiltered {
            Some((last, size)) => (last.map(Value::Object), size),
            None => (last_record, records.len() as u64),
        };
        let facts = PageFacts {
            extracted,
            last_record: last_record.as_ref(),
            page_size,
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
            more_rejected,
            next,
        })
    }

    /// Moves behind a page. Fails, without having moved, where the place cannot be stored.
    pub(super) fn advance(&mut self, place: Place, closes_slice: bool) -> Result<After, ReadError> {
        // With partitions there is a next place until the walk has found that there is none.
        let goes_on = place.token.is_some() || self.route.is_some();
        let position = goes_on.then(|| self.position_of(&place)).flatten();
        if let Some(position) = &position {
            self.check_storable(position)?;
        }
        let partition_closes = place.token.is_none();
        self.token = place.token;
        self.cursor = place.cursor;
        self.jobs = place.jobs;
        self.closing = place.closing;
        self.resets = place.resets;
        let state = if self.route.is_some() {
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

    /// Positions are stored in clear.
    pub(super) fn check_storable(&self, position: &Position) -> Result<(), ReadError> {
        if !self.sender.redactor.holds_secret(&position.0.to_string()) {
            return Ok(());
        }
        let message = "the platform's cursor, its answer to a job's creation, or a partition holds a secret of the config \
                       (perhaps an address with the access token in it), so it cannot be stored; use a paginator whose \
                       token does not, and extra_fields for secrets of a parent's records";
        let failure = failure_of(message.to_owned());
        Err(ReadError::Permanent { failure })
    }

    /// A page without records at a place before a partition, where a parent stands that has a job.
    pub(super) fn place_page(&mut self) -> Result<Page, ReadError> {
        let position = self.position();
        if let Some(position) = &position {
            self.check_storable(position)?;
        }
        let page = self.empty_page(position, None);
        Ok(self.told(page, Instant::now()))
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
        let requests = self.route.as_mut().map_or(0, Route::take_requests);
        self.route = None;
        Some(Page {
            closes_slice: true,
            state,
            requests,
            ..self.empty_page(None, None)
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

/// Whether the teardown request follows the open slice: what it takes down belongs to the partition, if there is one.
pub(super) fn tears_down(stream: &Stream, cursor: Option<&CursorRead>) -> bool {
    let has_more = cursor.cloned().is_some_and(|mut cursor| {
        cursor.close();
        cursor.is_open()
    });
    stream.teardown.is_some() && !(stream.routers.is_some() && has_more)
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
