//! Leave to send one request.

use std::time::Duration;

use tokio::time::Instant;

use super::draw::{Draw, Turn};
use super::permits::Permits;
use super::stock::Lease;

/// Leave to send one request. Whoever had it and is cut off before he has told what became of it may just drop it: where requests under way
/// are counted, it would otherwise count for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(super) permits: Permits,
    pub(super) draw: Draw,
    pub(super) turn: Turn,
    /// `None`: no budget limits the request.
    pub(super) lease: Option<Lease>,
    pub(super) number: u64,
    /// The request leaves after this.
    pub(super) since: Instant,
    /// When it was last looked whether it may.
    pub(super) looked: Instant,
    pub(super) fate: Fate,
}

/// What became of a leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing has left by it.
    Kept,
    /// Its request leaves, or has left.
    HandedOut,
    /// It is told what became of it.
    Settled,
}

impl Leave {
    /// What it draws on.
    pub(crate) fn draw(&self) -> &Draw {
        &self.draw
    }

    /// Its request leaves from now on.
    #[must_use]
    pub(crate) fn handed_out(mut self) -> Self {
        self.fate = Fate::HandedOut;
        self
    }

    /// Looks whether the request may still leave; if so, it leaves now.
    pub(crate) fn look(&mut self) -> bool {
        self.looked = Instant::now();
        self.lease.is_none_or(|lease| lease.is_valid(self.looked))
    }

    /// Its lease, if it has one and it was not yet told what became of it; that follows now.
    pub(super) fn begin_to_settle(&mut self) -> Option<Lease> {
        if self.fate == Fate::Settled {
            return None;
        }
        self.fate = Fate::Settled;
        self.lease
    }

    /// The earliest moment at which its request can have left, by the database's clock.
    pub(super) fn left_after_ms(&self) -> Option<i64> {
        Some(self.lease?.clock_ms_at_least(self.since))
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let permits = self.permits.clone();
        match self.fate {
            Fate::Kept => permits.unused(self),
            // Nobody can say when it left, if it did: before now.
            Fate::HandedOut => permits.sent(self, false, |_| None),
            Fate::Settled => {}
        }
    }
}

/// The answer to a request for a permit.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The request may be sent.
    Granted(Leave),
    /// Not now.
    Wait {
        wait: Duration,
        /// The budget that is used up, or the host that does not answer.
        key: String,
        reason: String,
    },
}
