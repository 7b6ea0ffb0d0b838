//! The words for where a run is and how it got there. What moves are possible is in [`super::machine`](super::Place).

use crate::words::words;

words! {
    /// State of an unfinished run.
    pub enum RunState {
        /// Can be claimed now; in the claim index. At most one run a connection is queued or running.
        Queued = "queued",
        /// Leased by a process.
        Running = "running",
        /// Has a due time in the future: for a limit, a retry, or because it was asked for later.
        Waiting = "waiting",
        /// Stands behind another run of its connection.
        Blocked = "blocked",
    }
}

words! {
    /// How a run ended.
    pub enum Outcome {
        /// Every stream was read to its end and every record written.
        Succeeded = "succeeded",
        /// Some records were refused, or some streams failed.
        Partial = "partial",
        /// Nothing further will be tried.
        Failed = "failed",
        /// A person ended it.
        Cancelled = "cancelled",
    }
}

words! {
    /// What people see of a run: its outcome, or what it is doing until then.
    pub enum RunStatus {
        /// Ready; the next free slot takes it in its turn.
        Queued = "queued",
        /// Being executed.
        Running = "running",
        /// Held back by a limit, a due time, a pause, a dependency, or another run of its connection.
        Waiting = "waiting",
        /// Failed and to be tried again.
        Retrying = "retrying",
        /// See [`Outcome::Succeeded`].
        Succeeded = "succeeded",
        /// See [`Outcome::Partial`].
        Partial = "partial",
        /// See [`Outcome::Failed`].
        Failed = "failed",
        /// See [`Outcome::Cancelled`].
        Cancelled = "cancelled",
    }
}

impl RunStatus {
    /// True once nothing more will happen.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Partial | Self::Failed | Self::Cancelled
        )
    }
}

words! {
    /// Why a run waits.
    pub enum WaitReason {
        /// It was asked for at a later time.
        Delay = "delay",
        /// A platform's budget is used up, or the platform said to wait. No failure is counted.
        Limit = "limit",
        /// It failed and will be tried again.
        Backoff = "backoff",
        /// Another batch must end first.
        Dependency = "dependency",
        /// It, or something it belongs to, is paused.
        Pause = "pause",
    }
}

words! {
    /// How an attempt ended.
    pub enum AttemptOutcome {
        /// It ended the run.
        Succeeded = "succeeded",
        /// It ended the run.
        Partial = "partial",
        /// It ended the run.
        Failed = "failed",
        /// It ended the run.
        Cancelled = "cancelled",
        /// It failed; the run is tried again.
        Retry = "retry",
        /// It gave way to a platform's limit.
        Limited = "limited",
        /// It gave its slot to others at a checkpoint.
        Yielded = "yielded",
        /// It, or something it belongs to, was paused.
        Paused = "paused",
        /// Its process was asked to stop.
        Drained = "drained",
        /// It made no progress for too long; the run is tried again.
        Stalled = "stalled",
        /// Its process fell silent.
        Lost = "lost",
    }
}

impl From<Outcome> for AttemptOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Partial => Self::Partial,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

words! {
    /// What asked for a run.
    pub enum RunOrigin {
        /// A tick of a schedule.
        Schedule = "schedule",
        /// A person or a program.
        Manual = "manual",
        /// A backfill.
        Backfill = "backfill",
    }
}

words! {
    /// How much a run reads.
    pub enum RunKind {
        /// From each stream's state, where it has one; else everything.
        Incremental = "incremental",
        /// Everything, whatever the state says.
        Full = "full",
        /// Everything, after the connection's rows of each stream were removed and its state forgotten.
        Rebuild = "rebuild",
        /// One page of one stream; neither reads nor moves state.
        Page = "page",
        /// A data range; neither reads nor moves state.
        Backfill = "backfill",
    }
}
