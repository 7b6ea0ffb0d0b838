//! Leave to send one request.

use std::time::Duration;

use tokio::time::Instant;

use super::draw::{Draw, Turn};
use super::stock::Lease;

/// Leave to send one request.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(super) draw: Draw,
    pub(super) turn: Turn,
    /// `None`: no budget limits the request.
    pub(super) lease: Option<Lease>,
    pub(super) number: u64,
    /// The request leaves after this.
    pub(super) since: Instant,
    /// When it was last looked whether it may.
    pub(super) looked: Instant,
}

impl Leave {
    /// What it draws on.
    pub(crate) fn draw(&self) -> &Draw {
        &self.draw
    }

    /// What is left of it once it has been used.
    pub(crate) fn spent(&self) -> Self {
        Self {
            draw: Draw::default(),
            lease: None,
            ..*self
        }
    }

    /// Looks whether the request may still leave; if so, it leaves now.
    pub(crate) fn look(&mut self) -> bool {
        self.looked = Instant::now();
        self.lease.is_none_or(|lease| lease.is_valid(self.looked))
    }

    /// The earliest moment at which its request can have left, by the database's clock.
    pub(super) fn left_after_ms(&self) -> Option<i64> {
        Some(self.lease?.clock_ms_at_least(self.since))
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
