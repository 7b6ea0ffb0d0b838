//! Schedules: what is due when. Pure: no SQL, no clock, no randomness; the SQL is in [`crate::db::schedule`].
//!
//! A [`Trigger`] names moments, a [`Policy`] says what becomes of them, a [`Plan`] is both and decides. People write a
//! trigger as cron fields, as an interval or as a [`Preset`], and read it as words.

pub mod advice;
pub mod cron;
pub mod delay;
mod due;
mod kind;
mod policy;
mod preset;
mod trigger;
mod wording;

pub use due::{Due, Fire, Gap, LATE_AFTER, Plan};
pub use kind::{AfterOutcome, TickCause, TriggerKind};
pub use policy::{
    CatchUp, CatchUpMode, MAX_CATCH_UP_CAP, MAX_CATCH_UP_WINDOW, MAX_COUNT, MAX_DELAY_SECONDS,
    MIN_CATCH_UP_WINDOW, Overlap, Policy,
};
pub use preset::{
    BusinessHours, DayOfMonth, Hourly, Monthly, Preset, Span, TimeOfDay, Weekday, Weekly,
};
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

impl TickOutcome {
    /// True if it made a batch of runs.
    pub const fn has_fired(self) -> bool {
        matches!(self, Self::Fired | Self::Late)
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
