//! A run: its words, its numbers, and the pure decisions about it. The SQL is in [`crate::db::run`].

mod backoff;
mod counts;
mod failure;
mod machine;
mod read_back;
mod retry;
mod spent;
mod state;

pub use backoff::Backoff;
pub use counts::{Progress, StreamCounts, StreamProgress, StreamStatus};
pub use failure::{FailureKind, RunError};
pub use machine::{Move, Place};
pub use read_back::{ReadBack, read_back};
pub use retry::{AfterFailure, RetryPolicy, after_failure};
pub use spent::Spent;
pub use state::{AttemptOutcome, Outcome, RunKind, RunOrigin, RunState, RunStatus, WaitReason};

/// The queue of syncs. Stored, so it never changes.
pub const SYNC_QUEUE: &str = "sync";

/// Priority of a run that a person asked for: somebody waits for it.
pub const PRIORITY_MANUAL: i16 = 10;
/// Longest age of an unfinished run, unless configured otherwise: seven days.
pub const LONGEST_AGE: std::time::Duration = std::time::Duration::from_hours(7 * 24);
/// Failures in a row after which a run ends, unless its retry policy says otherwise.
pub const MAX_FAILURES: i32 = 8;
/// Priority of a schedule's runs, unless the schedule says otherwise.
pub const PRIORITY_SCHEDULED: i16 = 50;
