//! What a read yields: pages of records, and the position from which it can go on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One record: a JSON object whose members keep their order and whose numbers keep their text.
pub type Record = serde_json::Map<String, Value>;

/// Where a read goes on: a small JSON object that is meant to be stored with the records before it.
/// `{"page": 17}`, `{"offset": 340}` or `{"cursor": ...}`, as the stream's paginator has it, with `"slice"` for a stream with a
/// cursor, `"partition"` for a partitioned one and `"job"` for one whose records a platform prepares. Whether a platform still accepts an old page token is its own affair; see
/// [`ReadError::PositionRefused`](crate::ReadError::PositionRefused).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Value);

/// What a position holds of the place within its slice.
const WITHIN_SLICE: &[&str] = &[
    "page", "offset", "cursor", "job", "ahead", "closing", "part", "counted", "resets",
];

impl Position {
    /// The beginning of the slice that this position lies in: where to go on when the platform no longer accepts the position
    /// itself. `None`: the stream is read in one piece and begins anew.
    pub fn slice_start(&self) -> Option<Position> {
        let mut members = self.0.as_object()?.clone();
        members.retain(|name, _| !WITHIN_SLICE.contains(&name.as_str()));
        if let Some(parent) = members.get_mut("parent") {
            forget_jobs(parent);
        }
        let is_sliced = ["slice", "partition", "parent"]
            .iter()
            .any(|name| members.contains_key(*name));
        is_sliced.then(|| Position(Value::Object(members)))
    }
}

/// Has a parent begin the slice anew in which it has a job: that may be what the platform no longer knows.
fn forget_jobs(parent: &mut Value) {
    let Some(from) = parent.get_mut("from") else {
        return;
    };
    if let Some(grandparent) = from.get_mut("parent") {
        forget_jobs(grandparent);
    }
    let has_job = from.get("job").is_some() || from.get("ahead").is_some();
    if has_job {
        let start = Position(from.clone()).slice_start();
        *from = start.map_or(Value::Null, |Position(start)| start);
    }
}

/// One page of a stream, decoded and transformed.
#[derive(Debug)]
pub struct Page {
    /// How many pages this reader has given before: 0 for its first page.
    pub index: u64,
    /// Page number as the platform counts it, for streams that are read by page number.
    pub number: Option<u64>,
    /// The records, in the platform's order.
    pub records: Vec<Record>,
    /// What was there but is not a record: the first hundred.
    pub rejected: Vec<RejectedRecord>,
    /// How many more there were.
    pub more_rejected: u64,
    /// Where to go on after this page; `None` when the stream is complete (or when only one page
    /// was asked for).
    pub next: Option<Position>,
    /// The slice that this page belongs to; `None` for a stream that is read in one piece, and for the page of a stream with a
    /// cursor that has nothing to read.
    pub slice: Option<PageSlice>,
    /// Whether this page is the last one of its slice, or of a stream that is read in one piece.
    pub closes_slice: bool,
    /// The stream's new state, on the last page of each slice. It covers all records up to this page; store it with them.
    pub state: Option<Value>,
    /// Bytes of the answer's body after decompression.
    pub bytes: u64,
    /// Time from the first sending of this page's request to its decoded answer, waits included.
    pub duration: Duration,
    /// Requests that were sent for this page, retries and redirects included.
    pub requests: u32,
}

/// The slice of a stream that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSlice {
    /// Its first moment, by the stream's cursor.
    pub since: DateTime<Utc>,
    /// Its last moment.
    pub until: DateTime<Utc>,
}

/// Something that the extractor found where a record belongs, and that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Why it was rejected, in a sentence.
    pub reason: String,
    /// Its JSON text, secrets removed, cut to 2 kB.
    pub sample: String,
}
