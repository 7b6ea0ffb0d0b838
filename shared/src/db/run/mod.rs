//! The queue: one file a question. The states and who moves them are described in [`crate::run`].
//!
//! Rules that hold across the files:
//! - A write on behalf of an attempt names the run and the lease token and must hit one row; if it does not, the lease is
//!   gone ([`super::DbError::Stale`]).
//! - Whatever takes a run out of `running` raises the token.
//! - Whatever frees a connection's gate promotes the connection's next blocked run in the same statement. A run that was
//!   enqueued at that very moment may be overlooked; the sweep in `promote.rs` finds it.
//! - Rows are taken by ctid where many are taken at once: the planner has no other plan to choose then.

mod checkpoint;
mod claim;
mod enqueue;
mod finish;
mod log;
mod promote;
mod release;

pub use checkpoint::{Checkpoint, find_checkpoint, write_checkpoint};
pub use claim::{ClaimedRun, claim, list_leased};
pub use enqueue::{EnqueuedRun, NewRun, enqueue};
pub use finish::{Finish, finish};
pub use log::{LogLevel, LogLine, append_log};
pub use promote::{move_due, promote_stranded};
pub use release::{Release, release};
