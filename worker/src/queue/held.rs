//! One lease, seen from both sides: [`Hold`] is what the process keeps of it, [`Held`] what its attempt knows.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use syncline_shared::db::run::ClaimedRun;
use syncline_shared::run::RetryPolicy;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::{Lease, Meter, Standing};

/// What an attempt is asked to do before its work is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// End the run: somebody cancelled it. In words.
    Cancel(String),
    /// Hand the run back until a pause ends. In words.
    Pause(String),
    /// Hand the run back: a more urgent one waits on its connection.
    GiveWay,
    /// Hand the run back: its time slice is over, and others wait for a slot.
    SliceOver,
    /// It has made no progress for so long.
    Stalled(Duration),
    /// The run's time limit is over: so many seconds.
    TimeOver(i32),
}

impl Asked {
    /// True if requests under way are to be cut off; else the attempt goes on to its next checkpoint.
    pub(super) const fn is_urgent(&self) -> bool {
        matches!(self, Self::Cancel(_) | Self::Stalled(_) | Self::TimeOver(_))
    }
}

#[derive(Debug)]
struct Shared {
    asked: Mutex<Option<(Asked, Instant)>>,
    progressed: Mutex<Instant>,
    failures: AtomicI32,
    policy: Mutex<RetryPolicy>,
    meter: Arc<Meter>,
}

/// A lease, as the process keeps it.
#[derive(Debug)]
pub(crate) struct Hold {
    lease: Lease,
    platform: String,
    began: Instant,
    /// When the run's time limit is over, and how long it is.
    time_over: Option<(Instant, i32)>,
    held: Held,
}

/// What an attempt knows of its lease. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Cancelled when the lease is lost.
    pub(crate) lost: CancellationToken,
    /// Cancelled when the lease is lost, and when the attempt is to end at once.
    pub(crate) interrupted: CancellationToken,
    trusted_until: watch::Receiver<Instant>,
    shared: Arc<Shared>,
}

impl Hold {
    pub(super) fn new(run: &ClaimedRun, trusted_until: watch::Receiver<Instant>) -> Self {
        let lost = CancellationToken::new();
        let now = Instant::now();
        let left = run.seconds_left.map(|left| left.max(0.0));
        let left = left.and_then(|left| Duration::try_from_secs_f64(left).ok());
        Self {
            lease: Lease::of(run),
            platform: run.platform.clone(),
            began: now,
            time_over: left
                .zip(run.time_limit_seconds)
                .map(|(left, limit)| (now + left, limit)),
            held: Held {
                interrupted: lost.child_token(),
                lost,
                trusted_until,
                shared: Arc::new(Shared {
                    asked: Mutex::new(None),
                    progressed: Mutex::new(now),
                    failures: AtomicI32::new(run.failures),
                    policy: Mutex::default(),
                    meter: Arc::default(),
                }),
            },
        }
    }

    pub(super) fn held(&self) -> Held {
        self.held.clone()
    }

    pub(super) fn platform(&self) -> &str {
        &self.platform
    }

    /// How long it has been held.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// The run's time limit in seconds, if it is over.
    pub(super) fn time_over(&self, now: Instant) -> Option<i32> {
        let (at, limit) = self.time_over?;
        (at <= now).then_some(limit)
    }

    /// How long its attempt has made no progress.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        let progressed = self
            .held
            .shared
            .progressed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(*progressed)
    }

    /// Failures that count against the cap, as of the attempt's last checkpoint; what it cost so far; what the run's connection says of
    /// retries: the defaults until its attempt has looked it up.
    pub(super) fn standing(&self) -> Standing {
        let shared = &self.held.shared;
        let policy = shared.policy.lock();
        Standing {
            failures: shared.failures.load(Ordering::Relaxed),
            spent: Some(shared.meter.spent()),
            policy: *policy.unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn lease(&self) -> Lease {
        self.lease
    }

    pub(super) fn ask(&self, asked: Asked) {
        let mut slot = self
            .held
            .shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A cancel overrides a wish to hand back, which may take a while to come true.
        let replaces = match &*slot {
            None => true,
            Some((before, _)) => asked.is_urgent() && !before.is_urgent(),
        };
        if replaces {
            if asked.is_urgent() {
                self.held.interrupted.cancel();
            }
            *slot = Some((asked, Instant::now()));
        }
    }

    /// What it was asked, and when.
    pub(super) fn asked(&self) -> Option<(Asked, Instant)> {
        self.held
            .shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn lose(&self) {
        self.held.lost.cancel();
    }
}

impl Held {
    /// Returns once the lease can be trusted, which normally is at once; false when it is lost, or the attempt interrupted.
    pub(crate) async fn trusted(&mut self) -> bool {
        loop {
            if self.interrupted.is_cancelled() {
                return false;
            }
            if *self.trusted_until.borrow_and_update() > Instant::now() {
                return true;
            }
            tokio::select! {
                () = self.interrupted.cancelled() => return false,
                changed = self.trusted_until.changed() => if changed.is_err() { return false },
            }
        }
    }

    /// What the attempt is asked to do, if anything.
    pub(crate) fn asked(&self) -> Option<Asked> {
        let asked = self
            .shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        asked.as_ref().map(|(asked, _)| asked.clone())
    }

    /// Notes that the attempt gains ground: it was allowed a request, got an answer, or wrote.
    pub(crate) fn progressed(&self) {
        *self
            .shared
            .progressed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Counts what the attempt costs.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        self.shared.meter.clone()
    }

    /// Notes what the run's connection says of retries.
    pub(crate) fn set_policy(&self, policy: RetryPolicy) {
        *self
            .shared
            .policy
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Notes how many failures count now.
    pub(crate) fn set_failures(&self, failures: i32) {
        self.shared.failures.store(failures, Ordering::Relaxed);
    }
}
