//! Schedules: what is due when. Pure; the SQL is in [`crate::db::schedule`].

mod due;
mod trigger;

pub use due::{Due, due_moments};
pub use trigger::{MAX_INTERVAL_SECONDS, Trigger, TriggerError, parse_zone};

use crate::words::words;

words! {
    /// What became of a tick.
    pub enum TickOutcome {
        /// It made a batch of runs.
        Fired = "fired",
        /// It made a batch of runs, more than a minute after its time.
        Late = "late",
        /// A later tick that was due as well stood in for it.
        Coalesced = "coalesced",
        /// It made nothing; the reason says why.
        Skipped = "skipped",
        /// It was passed over, further back than is caught up with.
        Missed = "missed",
    }
}

words! {
    /// What a schedule syncs.
    pub enum TargetKind {
        /// One connection.
        Connection = "connection",
        /// All connections of a business.
        Business = "business",
        /// All connections of a platform.
        Platform = "platform",
        /// All connections.
        Everything = "everything",
    }
}
