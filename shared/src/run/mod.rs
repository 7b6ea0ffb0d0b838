//! A run: its words, its numbers, and the pure decisions about it. The SQL is in [`crate::db::run`].

mod backoff;
mod counts;
mod failure;
mod state;

pub use backoff::Backoff;
pub use counts::{Progress, StreamCounts, StreamProgress, StreamStatus};
pub use failure::{FailureKind, RunError};
pub use state::{AttemptOutcome, Outcome, RunKind, RunOrigin, RunState, RunStatus, WaitReason};

/// The queue of syncs. Stored, so it never changes.
pub const SYNC_QUEUE: &str = "sync";

/// Priority of a run that a person asked for: somebody waits for it.
pub const PRIORITY_MANUAL: i16 = 10;
/// Priority of a schedule's runs, unless the schedule says otherwise.
pub const PRIORITY_SCHEDULED: i16 = 50;
