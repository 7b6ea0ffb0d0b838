//! The leases that this process holds, and how long it may trust them.
//!
//! A heartbeat of the process renews all of them. A lease is trusted for two thirds of its length after the sending of the
//! last heartbeat that succeeded, counted by the monotonic clock; beyond that nothing more is sent to a platform, since the
//! runs may soon be given away. Trust returns with the next heartbeat. If the heartbeat is refused, the runs have been given
//! away: all attempts are cancelled, and the process goes on under a new id.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use syncline_shared::config::LeaseConfig;
use syncline_shared::db::process::{self, ProcessRole};
use syncline_shared::db::run::ClaimedRun;
use syncline_shared::ids::{ProcessId, RunId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The leases of a process.
#[derive(Debug)]
pub(crate) struct Leases {
    name: String,
    slots: u16,
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
    held: HashMap<(RunId, i64), CancellationToken>,
}

/// What an attempt knows of its lease.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Cancelled when the lease is lost.
    pub(crate) lost: CancellationToken,
    trusted_until: watch::Receiver<Instant>,
}

impl Held {
    /// Returns once the lease can be trusted, which normally is at once; false when it is lost.
    pub(crate) async fn trusted(&mut self) -> bool {
        loop {
            if self.lost.is_cancelled() {
                return false;
            }
            if *self.trusted_until.borrow_and_update() > Instant::now() {
                return true;
            }
            tokio::select! {
                () = self.lost.cancelled() => return false,
                changed = self.trusted_until.changed() => if changed.is_err() { return false },
            }
        }
    }
}

impl Leases {
    pub(crate) fn new(process: ProcessId, name: String, slots: u16, config: LeaseConfig) -> Self {
        Self {
            name,
            slots,
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
    pub(crate) async fn register(&self, pool: &PgPool) -> anyhow::Result<()> {
        let sent = Instant::now();
        let mut db = pool.acquire().await?;
        let slots = Some(i32::from(self.slots));
        process::register(
            &mut db,
            self.process(),
            ProcessRole::Worker,
            &self.name,
            slots,
        )
        .await?;
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

    /// Time between heartbeats.
    pub(crate) fn heartbeat_every(&self) -> Duration {
        self.config.heartbeat_every()
    }

    /// Notes a heartbeat that succeeded and was sent at the given moment.
    pub(crate) fn renewed(&self, sent: Instant) {
        self.trusted_until
            .send_replace(sent + self.config.trusted_for());
    }

    /// Notes that all runs were given away: cancels the attempts and takes a new id.
    pub(crate) fn lost(&self) -> usize {
        let mut state = self.state();
        let lost = state.held.len();
        for (_, token) in state.held.drain() {
            token.cancel();
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
        state.held.entry((run.id, run.token)).or_default();
        true
    }

    /// True if the process holds this lease.
    pub(crate) fn holds(&self, id: RunId, token: i64) -> bool {
        self.state().held.contains_key(&(id, token))
    }

    /// What the attempt under a lease needs to know of it.
    pub(crate) fn watch(&self, id: RunId, token: i64) -> Held {
        let lost = self
            .state()
            .held
            .get(&(id, token))
            .cloned()
            .unwrap_or_else(|| {
                let gone = CancellationToken::new();
                gone.cancel();
                gone
            });
        Held {
            lost,
            trusted_until: self.trusted_until.subscribe(),
        }
    }

    /// Strikes out a lease that has ended, which frees its place.
    pub(crate) fn leave(&self, id: RunId, token: i64) {
        self.state().held.remove(&(id, token));
        self.place_free.notify_one();
    }

    /// How many more runs can be claimed.
    pub(crate) fn free_places(&self) -> usize {
        let state = self.state();
        if !state.registered {
            return 0;
        }
        usize::from(self.slots).saturating_sub(state.held.len())
    }

    /// Returns when a place has become free since the last call.
    pub(crate) async fn place_freed(&self) {
        self.place_free.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
