//! What drives a schedule.

use crate::words::words;

words! {
    /// What drives a schedule.
    pub enum TriggerKind {
        /// Local times that match cron fields.
        Cron = "cron",
        /// An anchored interval.
        Interval = "interval",
        /// One moment.
        Once = "once",
        /// The batches of another schedule.
        After = "after",
        /// Requests only.
        Manual = "manual",
    }
}

words! {
    /// Which batches of another schedule one follows.
    pub enum AfterOutcome {
        /// Those whose runs all succeeded.
        Succeeded = "succeeded",
        /// All that ended.
        Ended = "ended",
    }
}

words! {
    /// What caused a tick.
    pub enum TickCause {
        /// The trigger named the moment.
        Time = "time",
        /// A batch that the schedule follows ended.
        After = "after",
        /// The schedule's inbound trigger was called.
        Trigger = "trigger",
    }
}
