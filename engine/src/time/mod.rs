//! Moments and spans as the language writes them: Python's format directives, ISO 8601 durations.

mod format;
pub(crate) mod iso;
mod span;

use chrono::{DateTime, FixedOffset, Utc};

pub(crate) use format::Format;
pub(crate) use span::{SPAN_NEEDED, Span};

/// A moment with the offset that it was written with, which Python keeps too. Compared by the instant.
pub(crate) type Moment = DateTime<FixedOffset>;

/// A moment in UTC, cut to the microseconds that the language knows.
pub(crate) fn in_utc(moment: DateTime<Utc>) -> Moment {
    let micros = DateTime::from_timestamp_micros(moment.timestamp_micros());
    micros.unwrap_or(moment).fixed_offset()
}
