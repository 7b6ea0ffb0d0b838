//! What a read yields: pages of records, and the position from which it can go on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One record: a JSON object whose members keep their order and whose numbers keep their text.
pub type Record = serde_json::Map<String, Value>;

/// Where a read goes on: a small JSON object that is meant to be stored with the records before it.
/// `{"page": 17}`, `{"offset": 340}` or `{"cursor": ...}`, as the stream's paginator has it. Whether
/// a platform still accepts an old cursor is its own affair; see
/// [`ReadError::PositionRefused`](crate::ReadError::PositionRefused).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Value);

/// One page of a stream, decoded and transformed.
#[derive(Debug)]
pub struct Page {
    /// How many pages this reader has given before: 0 for its first page.
    pub index: u64,
    /// Page number as the platform counts it, for streams that are read by page number.
    pub number: Option<u64>,
    /// The records, in the platform's order.
    pub records: Vec<Record>,
    /// What was there but is not a record.
    pub rejected: Vec<RejectedRecord>,
    /// Where to go on after this page; `None` when the stream is complete (or when only one page
    /// was asked for).
    pub next: Option<Position>,
    /// Bytes of the answer's body after decompression.
    pub bytes: u64,
    /// Time from the first sending of this page's request to its decoded answer, waits included.
    pub duration: Duration,
    /// Requests that were sent for this page, retries and redirects included.
    pub requests: u32,
}

/// Something that the extractor found where a record belongs, and that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Why it was rejected, in a sentence.
    pub reason: String,
    /// Its JSON text, secrets removed, cut to 2 kB.
    pub sample: String,
}
