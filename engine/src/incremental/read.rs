//! A cursor during a read: the slice that is open, the newest value seen, and the state that follows.
//!
//! Slices are read one after the other, so what is closed is always without a gap from the start, and the state is the newest
//! value that was seen in it.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::cursor::DatetimeCursor;
use super::finished::Finished;
use super::slices::{Range, Slice};
use crate::expr::{EvalError, Scope, Template};
use crate::page::{Position, Record};
use crate::request::value::{FieldError, at};
use crate::time::{Format, Moment, SPAN_NEEDED, Span, in_utc};

/// Where a read starts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    /// From the state, or from the cursor's start if there is none, up to now.
    State(Option<&'a Value>),
    /// A range of the data, its end not included; no state is kept.
    Range(DateTime<Utc>, DateTime<Utc>),
    /// Where an earlier read stopped.
    Position(&'a Value, Option<&'a Value>),
}

/// A slice within what is read: two that are equal are read alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) since: Moment,
    from: Moment,
    until: Moment,
}

/// A cursor, evaluated for one read.
#[derive(Debug, Clone)]
pub(crate) struct CursorRead {
    field: String,
    formats: Arc<[Format]>,
    format: Format,
    start_key: String,
    end_key: String,
    range: Range,
    /// The slice that is being read; `None` when all are closed.
    open: Option<Slice>,
    /// The newest cursor value that was seen, or the state.
    latest: Moment,
    /// The state as it was handed in; members that are not ours stay.
    stored: Map<String, Value>,
    /// The end of a data range, which does not belong to it. Such a read keeps no state.
    range_end: Option<Moment>,
    filter: Filter,
    /// Values are whole numbers.
    counts: bool,
    /// Of a slice that may be begun anew in part.
    newest: Option<Newest>,
}

/// The newest value of the open slice, and the place in it from which its pages were begun last.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    seen: Option<Moment>,
    from: Option<Moment>,
}

/// Which records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    /// The platform's own filter decides.
    None,
    ClientSide,
    /// Newest first: the first page that ends with a known record is the last one.
    DataFeed,
}

impl CursorRead {
    pub(crate) fn new(
        cursor: &DatetimeCursor,
        scope: &Scope<'_>,
        now: DateTime<Utc>,
        start: Start<'_>,
        whole: bool,
    ) -> Result<CursorRead, FieldError> {
        let text = |template: &Template| template.text(scope).map_err(|error| at(template, error));
        let span = |template: &Option<Template>| -> Result<Option<Span>, FieldError> {
            let Some(template) = template else {
                return Ok(None);
            };
            let text = text(template)?;
            if text.is_empty() {
                return Ok(None);
            }
            let found = Span::parse(&text);
            let wrong = || EvalError::Value(format!("\"{text}\": {SPAN_NEEDED}"));
            found.map(Some).ok_or_else(|| at(template, wrong()))
        };
        let field = text(&cursor.field)?;
        let filter = match (cursor.is_data_feed, cursor.is_client_side) {
            (true, _) => Filter::DataFeed,
            (false, true) => Filter::ClientSide,
            (false, false) => Filter::None,
        };
        let step = if whole { None } else { span(&cursor.step)? };
        if let (Some(step), Some(template)) = (step, &cursor.step)
            && !step.is_positive()
        {
            let message = "a step must lead on".to_owned();
            return Err(at(template, EvalError::Value(message)));
        }
        let mut read = CursorRead {
            field,
            formats: Arc::clone(&cursor.read_formats),
            format: cursor.format.clone(),
            start_key: text(&cursor.start_key)?,
            end_key: text(&cursor.end_key)?,
            range: Range {
                from: in_utc(now),
                until: in_utc(now),
                step,
                granularity: cursor.granularity,
                clamp: match (&cursor.clamping, &start) {
                    // A range is read as it was asked for.
                    (None, _) | (_, Start::Range(..)) => None,
                    (Some(clamping), _) => Some(clamping.evaluate(scope)?),
                },
            },
            open: None,
            latest: in_utc(now),
            stored: Map::new(),
            range_end: None,
            filter,
            counts: cursor.counts,
            newest: None,
        };
        match start {
            Start::Range(from, to) => read.start_at_range(in_utc(from), in_utc(to)),
            Start::State(state) => {
                read.stored = state
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                let start = cursor.start.moment(scope)?;
                let until = match &cursor.end {
                    Some(end) => end.moment(scope)?,
                    None if cursor.counts => Format::last_count(),
                    None => in_utc(now),
                };
                let until = match read.range.clamp {
                    Some(clamp) => clamp.last_before(until, cursor.granularity),
                    None => until,
                };
                let lookback = span(&cursor.lookback)?.unwrap_or_default();
                read.take_state(cursor, start, lookback, until)?;
            }
            Start::Position(position, state) => {
                read.stored = state
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                if !read.go_on(position) {
                    let message = "the stored position holds no slice that can be read".to_owned();
                    return Err(at(&cursor.field, EvalError::Value(message)));
                }
            }
        }
        Ok(read)
    }

    /// Begins from the state as it was handed in. One that cannot be read would silently become a read from the start.
    fn take_state(
        &mut self,
        cursor: &DatetimeCursor,
        start: Moment,
        lookback: Span,
        until: Moment,
    ) -> Result<(), FieldError> {
        let wrong = |value: &dyn std::fmt::Display| {
            let message = format!("the stored state {value} is no datetime of this stream");
            at(&cursor.field, EvalError::Value(message))
        };
        let mut state = std::mem::take(&mut self.stored);
        let unit = cursor.granularity;
        let finished = Finished::take(&mut state, |value| self.moment_of(value), unit)
            .map_err(|value| wrong(&value))?
            // What is missing before them is read, and what follows with it.
            .filter(|finished| finished.start <= start);
        let stored = match state.get(&self.field) {
            None | Some(Value::Null) => finished.map(|finished| finished.reached),
            Some(value) => Some(self.moment_of(value).ok_or_else(|| wrong(value))?),
        };
        self.stored = state;
        // The look-back belongs to what follows the last slice.
        let within_gaps = finished.is_some_and(|finished| !finished.is_all);
        let lookback = if within_gaps {
            Span::default()
        } else {
            lookback
        };
        self.start_at_state(start, stored, lookback, until, cursor.compare_strictly);
        if let Some(finished) = finished {
            self.latest = finished.newest.max(start);
        }
        Ok(())
    }

    /// The tests come in the reference's order: two of them before the look-back is clipped to the start.
    fn start_at_state(
        &mut self,
        start: Moment,
        stored: Option<Moment>,
        lookback: Span,
        until: Moment,
        compare_strictly: bool,
    ) {
        let reached = stored.map_or(start, |stored| stored.max(start));
        let lower = lookback.before(reached).unwrap_or(start);
        let from = lower.max(start);
        self.range.from = from;
        self.range.until = until;
        self.latest = reached;
        let from = self.range.clamp.map_or(from, |clamp| clamp.up(from));
        let touching = lower == until && self.range.granularity.is_none();
        let nothing = lower > until
            || touching
            || until < start
            || from > until
            || (from == until && compare_strictly);
        if !nothing {
            self.open = self.range.starting(from);
        }
    }

    fn start_at_range(&mut self, from: Moment, to: Moment) {
        self.range_end = Some(to);
        self.range.from = from;
        self.latest = from;
        // The end of the range is not part of it; the end of a slice is.
        let last = self.range.granularity.and_then(|unit| unit.before(to));
        self.range.until = last.unwrap_or(to).max(from);
        if from < to {
            self.open = self.range.starting(from);
        }
    }

    /// Takes note of a record that is handed out. One without a readable value moves nothing.
    pub(crate) fn observe(&mut self, record: &Record) {
        if let Some(moment) = self.value_of(record) {
            self.latest = self.latest.max(moment);
            if let Some(newest) = &mut self.newest {
                newest.seen = newest.seen.max(Some(moment));
            }
        }
    }

    fn value_of(&self, record: &Record) -> Option<Moment> {
        self.moment_of(record.get(&self.field)?)
    }

    fn moment_of(&self, value: &Value) -> Option<Moment> {
        self.formats.iter().find_map(|format| format.read(value))
    }

    /// Whether a record belongs to what is read. One without a readable value does.
    pub(crate) fn wants(&self, record: &Record) -> bool {
        let Some(moment) = self.value_of(record) else {
            return true;
        };
        let before_end = match self.range_end {
            Some(end) => moment < end,
            None => moment <= self.range.until,
        };
        self.range.from <= moment && before_end
    }

    /// Whether records are dropped before the paginator counts them.
    pub(crate) fn filters_pages(&self) -> bool {
        self.filter == Filter::ClientSide
    }

    /// Whether records are dropped after the paginator has seen the page, which ends with the first record that is known.
    pub(crate) fn is_feed(&self) -> bool {
        self.filter == Filter::DataFeed
    }

    /// Whether reading a feed ends with this record, the last one of its page. Records that are too new come first and end
    /// nothing: the reference ends there, and would miss all that were known to be there.
    pub(crate) fn ends_feed(&self, last: &Record) -> bool {
        self.value_of(last)
            .is_some_and(|moment| moment < self.range.from)
    }

    /// The open slice as expressions see it.
    pub(crate) fn slice(&self) -> Option<Value> {
        let slice = self.open?;
        let mut members = Map::new();
        let shortened = self.newest.and_then(|newest| newest.from);
        let since = self.written(shortened.unwrap_or(slice.since));
        members.insert(self.start_key.clone(), since);
        members.insert(self.end_key.clone(), self.written(slice.end));
        Some(Value::Object(members))
    }

    /// Both ends of the open slice, if they are moments.
    pub(crate) fn ends(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        self.open
            .filter(|_| !self.counts)
            .map(|slice| (slice.since.to_utc(), slice.end.to_utc()))
    }

    fn written(&self, moment: Moment) -> Value {
        self.format.written(moment)
    }

    /// Closes the open slice and opens the next one, if there is one.
    pub(crate) fn close(&mut self) {
        let next = self.open.and_then(|slice| slice.next);
        self.open = next.and_then(|since| self.range.starting(since));
        self.newest = self.newest.map(|_| Newest::default());
    }

    /// Remembers the newest value of the open slice, as a position of it has it.
    pub(crate) fn keep_newest(&mut self, position: Option<&Value>) {
        let moment = |name: &str| {
            let text = position?.get(name)?.as_str()?;
            Moment::parse_from_rfc3339(text).ok()
        };
        self.newest = Some(Newest {
            seen: moment("newest"),
            from: moment("begun"),
        });
    }

    /// Leaves of the open slice what begins with its newest value; false if that is all of it.
    pub(crate) fn shorten(&mut self) -> bool {
        let Some((open, newest)) = self.open.zip(self.newest) else {
            return false;
        };
        let before = newest.from.unwrap_or(open.since);
        let seen = newest.seen.filter(|seen| *seen > before);
        let Some(from) = seen.filter(|seen| self.written(*seen) != self.written(before)) else {
            return false;
        };
        self.newest = Some(Newest {
            from: Some(from),
            ..newest
        });
        true
    }

    /// The open slice, and what it is a part of.
    pub(crate) fn stretch(&self) -> Option<Stretch> {
        self.open.map(|slice| Stretch {
            since: slice.since,
            from: self.range.from,
            until: self.range.until,
        })
    }

    /// The slices that may be read beside the open one, which lie behind it, each with the position of its beginning. A feed has none:
    /// only its records tell where it ends.
    pub(crate) fn ahead(&self) -> impl Iterator<Item = (Stretch, Position)> {
        self.and_ahead().skip(1)
    }

    /// The open slice, and those that may be read beside it.
    pub(crate) fn and_ahead(&self) -> impl Iterator<Item = (Stretch, Position)> {
        let behind = |cursor: &CursorRead| {
            let mut cursor = cursor.clone();
            cursor.close();
            (!cursor.is_feed()).then_some(cursor)
        };
        std::iter::successors(Some(self.clone()), behind).map_while(|cursor| {
            let (stretch, slice) = cursor.stretch().zip(cursor.position())?;
            Some((stretch, Position(json!({ "slice": slice }))))
        })
    }

    /// Whether a slice is open.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The newest value that was seen, or the state.
    pub(crate) fn latest(&self) -> Moment {
        self.latest
    }

    /// The state after the slices that are closed; `None` for a data range.
    pub(crate) fn state(&self) -> Option<Value> {
        if self.range_end.is_some() {
            return None;
        }
        let mut state = self.stored.clone();
        state.insert(self.field.clone(), self.written(self.latest));
        Some(Value::Object(state))
    }

    /// What a position has to hold of the open slice.
    pub(crate) fn position(&self) -> Option<Value> {
        let slice = self.open?;
        // Counts stand for nanoseconds.
        let digits = if self.counts {
            SecondsFormat::Nanos
        } else {
            SecondsFormat::Micros
        };
        let text = |moment: Moment| moment.to_rfc3339_opts(digits, true);
        let mut position = json!({
            "since": text(slice.since),
            "from": text(self.range.from),
            "until": text(self.range.until),
            "latest": text(self.latest),
        });
        if let Some(newest) = self.newest {
            for (name, moment) in [("newest", newest.seen), ("begun", newest.from)] {
                if let Some(moment) = moment {
                    position[name] = Value::String(text(moment));
                }
            }
        }
        if let Some(end) = self.range_end {
            position["to"] = Value::String(text(end));
        }
        Some(position)
    }

    fn go_on(&mut self, position: &Value) -> bool {
        let moment = |name: &str| {
            let text = position.get(name).and_then(Value::as_str)?;
            Moment::parse_from_rfc3339(text).ok()
        };
        let found = (
            moment("since"),
            moment("from"),
            moment("until"),
            moment("latest"),
        );
        let (Some(since), Some(from), Some(until), Some(latest)) = found else {
            return false;
        };
        self.range.from = from;
        self.range.until = until;
        self.latest = latest;
        self.range_end = moment("to");
        if self.range_end.is_some() {
            self.range.clamp = None;
        }
        self.open = self.range.starting(since);
        self.open.is_some()
    }
}
