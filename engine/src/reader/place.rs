//! Where a read stands: positions that are stored, and the state that a later read begins from.

use serde_json::Value;

use super::StreamReader;
use super::page::Place;
use crate::incremental::CursorRead;
use crate::job::JobRead;
use crate::page::Position;
use crate::paginate::Token;

impl StreamReader {
    /// Where the next page begins; `None` when the stream is complete, and at the beginning of a
    /// stream without slices whose positions are page tokens.
    pub fn position(&self) -> Option<Position> {
        if self.route.is_none() && self.token.is_none() {
            return None;
        }
        self.position_of(&Place {
            token: self.token.clone(),
            cursor: self.cursor.clone(),
            jobs: self.jobs.clone(),
            closing: self.closing,
            resets: self.resets,
        })
    }

    /// The state that a read is at before its first page: the one it was given, or its cursor's start. `None` for streams without
    /// a cursor and for partitioned ones.
    pub fn first_state(&self) -> Option<Value> {
        let is_first = self.pages == 0 && self.route.is_none();
        is_first
            .then(|| self.new_state(self.cursor.as_ref()))
            .flatten()
    }

    /// The state to be stored, if this read moves it.
    pub(super) fn new_state(&self, cursor: Option<&CursorRead>) -> Option<Value> {
        match self.settings.page {
            Some(_) => None,
            None => cursor.and_then(CursorRead::state),
        }
    }

    /// The position before the page of this token: what the paginator needs, what the cursor needs, and which partition it is.
    /// Without a token the partition is closed.
    pub(super) fn position_of(&self, place: &Place) -> Option<Position> {
        let (token, cursor) = (place.token.as_ref(), place.cursor.as_ref());
        let page = token.and_then(Token::position);
        let slice = cursor.and_then(CursorRead::position);
        let mut members = place
            .jobs
            .as_ref()
            .filter(|_| token.is_some())
            .map(JobRead::position)
            .unwrap_or_default();
        if self.part > 0 {
            members.insert("part".to_owned(), Value::from(self.part));
        }
        if token.is_some() {
            place.resets.note(&mut members);
        }
        if place.closing {
            members.insert("closing".to_owned(), Value::Bool(true));
        }
        if self.route.is_none() && slice.is_none() && members.is_empty() {
            return page;
        }
        if let Some(route) = &self.route {
            // Without a partition the way to the first one is where it stands, which only a parent's jobs make worth keeping.
            if let Some(open) = &self.partition {
                let fields = Value::Object(open.partition.fields.clone());
                members.insert("partition".to_owned(), fields);
                if token.is_none() {
                    members.insert("closed".to_owned(), Value::Bool(true));
                }
            } else if route.position().is_none() {
                return None;
            }
            if let Some(parent) = route.position() {
                members.insert("parent".to_owned(), parent.clone());
            }
            if let Some(states) = &self.states {
                let seen = cursor.map(CursorRead::latest);
                members.insert("states".to_owned(), states.position(seen));
            }
        }
        if let Some(slice) = slice {
            members.insert("slice".to_owned(), slice);
        }
        // The first page of a slice needs no token, and so none that a platform could refuse.
        let begins = token == Some(&self.stream.paginator.first());
        if let Some(Position(Value::Object(page))) = page.filter(|_| !begins) {
            members.extend(page);
        }
        Some(Position(Value::Object(members)))
    }
}
