//! The leases that this process holds, and how long it may trust them.
//!
//! A heartbeat of the process renews all of them. A lease is trusted for two thirds of its length after the sending of the
//! last heartbeat that succeeded, counted by the monotonic clock; beyond that nothing more is sent to a platform, since the
//! runs may soon be given away. Trust returns with the next heartbeat. If the heartbeat is refused, the runs have been given
//! away: all attempts are cancelled, and the process goes on under a new id.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use syncline_shared::config::LeaseConfig;
use syncline_shared::db::Database;
use syncline_shared::db::process::{self, Capacity, ProcessRole};
use syncline_shared::db::run::ClaimedRun;
use syncline_shared::ids::{ProcessId, RunId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::held::{Asked, Held, Hold};

/// A run and the token of the lease on it.
pub(crate) type LeaseKey = (RunId, i64);

/// The leases of a process.
#[derive(Debug)]
pub(crate) struct Leases {
    name: String,
    slots: usize,
    /// Slots that one platform may hold while others have runs ready.
    share: usize,
    config: LeaseConfig,
    state: Mutex<State>,
    trusted_until: watch::Sender<Instant>,
    place_free: Notify,
}

#[derive(Debug)]
struct State {
    process: ProcessId,
    /// False between the loss of one id and the registration of the next: what is claimed then would never be rescued.
    registered: bool,
    held: HashMap<LeaseKey, Hold>,
}

impl Leases {
    pub(crate) fn new(
        process: ProcessId,
        name: String,
        slots: u16,
        share: usize,
        config: LeaseConfig,
    ) -> Self {
        let slots = usize::from(slots);
        Self {
            name,
            slots,
            share: share.min(slots),
            config,
            state: Mutex::new(State {
                process,
                registered: false,
                held: HashMap::new(),
            }),
            trusted_until: watch::Sender::new(Instant::now()),
            place_free: Notify::new(),
        }
    }

    /// Registers the process and begins its first period of trust.
    pub(crate) async fn register(&self, database: &Database) -> anyhow::Result<()> {
        let sent = Instant::now();
        let mut db = database.session().await?;
        let capacity = Capacity {
            slots: i32::try_from(self.slots)?,
            share: i32::try_from(self.share)?,
        };
        process::register(
            &mut db,
            self.process(),
            ProcessRole::Worker,
            &self.name,
            Some(capacity),
        )
        .await?;
        db.end().await?;
        self.state().registered = true;
        self.renewed(sent);
        self.place_free.notify_one();
        Ok(())
    }

    /// The id under which the process claims now.
    pub(crate) fn process(&self) -> ProcessId {
        self.state().process
    }

    /// Host and process id.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many runs the process executes at once.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// How many of these one platform may hold while others have runs ready.
    pub(crate) fn share(&self) -> usize {
        self.share
    }

    /// Time between heartbeats.
    pub(crate) fn heartbeat_every(&self) -> Duration {
        self.config.heartbeat_every()
    }

    /// Notes a heartbeat that succeeded and was sent at the given moment.
    pub(crate) fn renewed(&self, sent: Instant) {
        self.trusted_until
            .send_replace(sent + self.config.trusted_for());
    }

    /// True while the leases can be trusted.
    pub(crate) fn are_trusted(&self) -> bool {
        *self.trusted_until.borrow() > Instant::now()
    }

    /// Notes that all runs were given away: cancels the attempts and takes a new id.
    pub(crate) fn lost(&self) -> usize {
        let mut state = self.state();
        let lost = state.held.len();
        for (_, hold) in state.held.drain() {
            hold.lose();
        }
        state.process = ProcessId::random();
        state.registered = false;
        lost
    }

    /// Enters a claimed run. False: it was claimed under an id that the process no longer has.
    pub(crate) fn enter(&self, run: &ClaimedRun, claimed_by: ProcessId) -> bool {
        let mut state = self.state();
        if state.process != claimed_by {
            return false;
        }
        state
            .held
            .entry((run.id, run.token))
            .or_insert_with(|| Hold::new(run, self.trusted_until.subscribe()));
        true
    }

    /// True if the process holds this lease.
    pub(crate) fn holds(&self, key: LeaseKey) -> bool {
        self.state().held.contains_key(&key)
    }

    /// What the attempt under a lease needs to know of it.
    pub(crate) fn watch(&self, run: &ClaimedRun) -> Held {
        let found = self.state().held.get(&(run.id, run.token)).map(Hold::held);
        found.unwrap_or_else(|| {
            let gone = Hold::new(run, self.trusted_until.subscribe());
            gone.lose();
            gone.held()
        })
    }

    /// Strikes out a lease that has ended, which frees its place.
    pub(crate) fn leave(&self, key: LeaseKey) {
        self.state().held.remove(&key);
        self.place_free.notify_one();
    }

    /// How many more runs can be claimed.
    pub(crate) fn free_places(&self) -> usize {
        let state = self.state();
        if !state.registered {
            return 0;
        }
        self.slots.saturating_sub(state.held.len())
    }

    /// How many runs of each platform are held.
    pub(crate) fn held_by_platform(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for hold in self.state().held.values() {
            match counts.get_mut(hold.platform()) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(hold.platform().to_owned(), 1);
                }
            }
        }
        counts
    }

    /// All leases that are held.
    pub(crate) fn keys(&self) -> Vec<LeaseKey> {
        self.state().held.keys().copied().collect()
    }

    /// Looks at all leases that are held.
    pub(super) fn for_each(&self, mut look: impl FnMut(LeaseKey, &Hold)) {
        for (key, hold) in &self.state().held {
            look(*key, hold);
        }
    }

    /// Asks the attempt under a lease for something. What it was asked first stands.
    pub(super) fn ask(&self, key: LeaseKey, asked: Asked) {
        if let Some(hold) = self.state().held.get(&key) {
            hold.ask(asked);
        }
    }

    /// Returns when a place has become free since the last call.
    pub(crate) async fn place_freed(&self) {
        self.place_free.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
