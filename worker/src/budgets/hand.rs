//! What a process holds for one kind of request, and who waits for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use syncline_shared::db::budget::Asker;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::draw::{Draw, Turn};
use super::lock;
use super::stock::Stock;

/// So long after a refusal, at least, no permits are kept in hand.
const FEW_SECONDS: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HandKey {
    pub(super) draw: Draw,
    pub(super) turn: Turn,
}

/// What a process holds for one kind of request of one business.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) asker: Asker,
    pub(super) state: Mutex<State>,
    /// There are permits, or there is a refusal, or a refusal no longer holds.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) stock: Stock,
    /// Attempts that wait for an answer, or for the end of a refusal.
    pub(super) waiting: u32,
    /// Attempts that wait for the beginning of permits in hand.
    pub(super) expecting: u32,
    pub(super) is_asking: bool,
    /// How often all that was known has become untrue: what was asked before is of no use.
    pub(super) changes: u64,
    pub(super) refusal: Option<Refusal>,
    /// When permits were last refused.
    pub(super) refused_at: Option<Instant>,
    pub(super) used_at: Option<Instant>,
}

impl State {
    /// True if permits were refused within the last of the shortest windows: whoever keeps some in hand then keeps others waiting.
    pub(super) fn others_wait(&self, draw: &Draw) -> bool {
        let shortest = draw.shortest().unwrap_or(Duration::ZERO);
        self.refused_at
            .is_some_and(|at| at.elapsed() <= shortest.max(FEW_SECONDS))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// Until then nobody asks again.
    pub(super) until: Instant,
    pub(super) key: String,
    pub(super) reason: String,
}

/// An attempt that waits, until it is dropped.
pub(super) struct Waits(Arc<Hand>, For);

/// What an attempt waits for.
#[derive(Clone, Copy)]
pub(super) enum For {
    /// An answer of the database, or the end of a refusal.
    Answer,
    /// The beginning of a permit in hand.
    Beginning,
}

impl Waits {
    pub(super) fn begin(hand: &Arc<Hand>, state: &mut State, what: For) -> Self {
        *what.count(state) += 1;
        Self(hand.clone(), what)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        let count = self.1.count(&mut state);
        *count = count.saturating_sub(1);
    }
}

impl For {
    fn count(self, state: &mut State) -> &mut u32 {
        match self {
            Self::Answer => &mut state.waiting,
            Self::Beginning => &mut state.expecting,
        }
    }
}
