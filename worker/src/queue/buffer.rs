//! Claimed runs on their way to the handler.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use syncline_shared::db::run::ClaimedRun;

/// A queue between the claim task and apalis. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffer(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    runs: VecDeque<ClaimedRun>,
    waker: Option<Waker>,
}

impl Buffer {
    /// Adds runs and wakes the consumer once.
    pub(super) fn push(&self, runs: impl IntoIterator<Item = ClaimedRun>) {
        let mut inner = self.inner();
        inner.runs.extend(runs);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the next run, or leaves the waker to be called when there is one.
    pub(super) fn poll_pop(&self, context: &Context<'_>) -> Poll<ClaimedRun> {
        let mut inner = self.inner();
        if let Some(run) = inner.runs.pop_front() {
            return Poll::Ready(run);
        }
        inner.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Takes all runs that no handler has begun.
    pub(super) fn drain(&self) -> Vec<ClaimedRun> {
        self.inner().runs.drain(..).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
