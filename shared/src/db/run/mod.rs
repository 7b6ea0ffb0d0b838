//! The queue: one file a question. The states and who moves them are described in [`crate::run`].
//!
//! Rules that hold across the files:
//! - A write on behalf of an attempt names the run and the lease token and must hit one row; if it does not, the lease is
//!   gone ([`super::DbError::Stale`]).
//! - Whatever takes a run out of `running` raises the token, and writes the attempt's row in the same statement: who, when and why.
//! - Whatever frees a connection's gate promotes the connection's next blocked run in the same statement. A run that was
//!   enqueued at that very moment may be overlooked; the sweep in `promote.rs` finds it.
//! - Whatever queues a run anew gives it a turn that is not behind the queue's virtual time: what was held back for long does not
//!   overtake everybody.
//! - Rows are taken by ctid where many are taken at once and locked rows are passed over: the planner has no other plan to choose then. A
//!   row whose lock is waited for is taken by id: the ctid that the wait ends with is too young for the statement's snapshot.
//! - A plan may have been made when the tables were empty, and any plan was as good as another. So what is asked for each row is
//!   written such that it stays a look-up for each row (`offset 0`), and a state that is only asked again does not tempt the planner to
//!   read a partial index from end to end (`is not distinct from`).

mod cancel;
mod checkpoint;
mod claim;
mod enqueue;
mod finish;
mod heads;
mod log;
mod orders;
mod promote;
mod release;
mod retry;

pub use cancel::{Cancelling, cancel, end_overdue, expire, sweep_cancelled};
pub use checkpoint::{Checkpoint, find_checkpoint, write_checkpoint};
pub use claim::{Claim, ClaimedRun, claim, list_leased, virtual_turn};
pub use enqueue::{BatchOfRuns, DataRange, EnqueuedRun, NewRun, RunTarget, enqueue, enqueue_all};
pub use finish::{Finish, finish};
pub use heads::Heads;
pub use log::{LogLevel, LogLine, append_log};
pub use orders::{Order, RunOrder, list_crowded_platforms, list_orders};
pub(in crate::db) use promote::promote;
pub use promote::{free_paused, hold_paused, move_due, promote_stranded};
pub use release::{Release, ReleaseTo, release};
pub use retry::{FinishedRun, lock_finished, lock_unsuccessful, mark_retried};
