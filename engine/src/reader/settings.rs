//! What a caller says about a read: the connection, the way out, where to begin, how far to go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::http::HttpClient;
use crate::page::Position;

/// Everything a read needs besides the manifest.
#[derive(Clone)]
pub struct ReadSettings {
    /// The connection's config, secrets included. It fits [`Connector::config_schema`](crate::Connector::config_schema).
    pub config: Value,
    /// Stands in for the manifest's `url_base` (scheme, host, path prefix), so that a test server can
    /// take a platform's place. For a requester with a whole `url`, it replaces scheme and host, and
    /// its own path is put before the path of the `url`.
    pub base_url: Option<String>,
    /// The way out.
    pub http: HttpClient,
    /// Who gives permits and hears of answers.
    pub host: Arc<dyn Host>,
    /// The present moment: the end of what a stream with a cursor reads, and what date functions give. The engine has no clock.
    pub now: DateTime<Utc>,
    /// Where to go on; `None` begins at the stream's first page.
    pub from: Option<Position>,
    /// The stream's state, in the language's form (`{"<cursor_field>": "<value>"}`): what a stream with a cursor goes on from.
    /// `None` begins at the manifest's start. Streams without a cursor have none.
    pub state: Option<Value>,
    /// Reads this range of the data instead of everything since the state. The state is neither read nor moved. Only for streams
    /// with a [`cursor`](crate::StreamInfo::cursor); excludes `page`.
    pub range: Option<DataRange>,
    /// Read only the page of this number, as the platform counts pages. Only for streams with
    /// [`StreamInfo::supports_page`](crate::StreamInfo::supports_page); excludes `from`.
    pub page: Option<u64>,
    /// Ends the read at once, also within a request or a wait.
    pub cancel: CancellationToken,
    /// How far to go.
    pub limits: ReadLimits,
}

impl fmt::Debug for ReadSettings {
    /// Leaves the config out: it holds secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReadSettings")
            .field("base_url", &self.base_url)
            .field("from", &self.from)
            .field("state", &self.state)
            .field("range", &self.range)
            .field("page", &self.page)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A range of the data, by the stream's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRange {
    /// The first moment in it.
    pub from: DateTime<Utc>,
    /// The first moment after it.
    pub to: DateTime<Utc>,
}

/// Bounds of a read, against manifests and platforms that know none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLimits {
    /// Pages that one reader gives at most. Default 1,000,000.
    pub max_pages: u64,
    /// Size of one answer's body after decompression. Default 64 MiB.
    pub max_page_bytes: usize,
    /// Size of an answer after a `GzipDecoder` or a `ZipfileDecoder` has unpacked it. Default 256 MiB.
    pub max_unpacked_bytes: usize,
    /// Memory that one answer, or a batch of one that is read while it arrives, may take once it is decoded; about, from its text.
    /// Default 1 GiB.
    pub max_decoded_bytes: usize,
    /// Size of an answer that is read while it arrives (`x_streamed`), as it comes and unpacked. Default 16 GiB.
    pub max_streamed_bytes: usize,
    /// The longest wait between two tries that is spent inside the reader; longer ones end the read
    /// with [`ReadError::Transient`](crate::ReadError::Transient) and a `retry_after`. Default 2 s.
    pub max_wait_in_slot: Duration,
    /// Redirects that are followed for one request. Default 5.
    pub max_redirects: u32,
    /// Slices or partitions of a stream that are read at the same time; their pages come in their order all the same. A manifest's
    /// `ConcurrencyLevel` may ask for less. With budgets, jobs, streamed answers or a teardown request, and in feeds, they are read one
    /// after the other. Default 1.
    pub max_lanes: usize,
}

impl Default for ReadLimits {
    fn default() -> ReadLimits {
        ReadLimits {
            max_pages: 1_000_000,
            max_page_bytes: 64 * 1024 * 1024,
            max_unpacked_bytes: 256 * 1024 * 1024,
            max_decoded_bytes: 1024 * 1024 * 1024,
            max_streamed_bytes: 16 * 1024 * 1024 * 1024,
            max_wait_in_slot: Duration::from_secs(2),
            max_redirects: 5,
            max_lanes: 1,
        }
    }
}
