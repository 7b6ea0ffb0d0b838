//! What every handler can reach.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use syncline_shared::clock::Clock;
use syncline_shared::db::Database;
use syncline_shared::db::budget::BudgetTotals;
use syncline_shared::db::notify::{
    BUDGET_CHANGED, ORDERS_CHANGED, RUN_QUEUED, SCHEDULE_CHANGED, Waker,
};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::secret::Cipher;

use crate::auth::{PasswordHasher, SessionKeys};
use crate::config::ApiConfig;
use crate::kept::Kept;
use crate::metrics::Metrics;
use syncline_engine::Catalog;

/// Shared by all requests. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The control tables.
    pub database: Database,
    /// Seals and opens credentials.
    pub cipher: Cipher,
    /// The platforms.
    pub catalog: Catalog,
    /// Tells the time, for sessions.
    pub clock: Arc<dyn Clock>,
    /// Signs sessions.
    pub sessions: SessionKeys,
    /// Hashes passwords.
    pub passwords: PasswordHasher,
    /// Wakes workers after an enqueue.
    pub runs_queued: Waker,
    /// Wakes workers when what they execute is to be cancelled or paused.
    pub orders_changed: Waker,
    /// Wakes workers when a budget may be used again.
    pub budgets_changed: Waker,
    /// Wakes schedulers after a change.
    pub schedules_changed: Waker,
    /// Ends waits when the process drains.
    pub life: Lifecycle,
    /// A process that was heard of within this time is up.
    pub lease: Duration,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// All budgets together: to read them takes seconds where there are ten thousand keys.
    pub budget_totals: Arc<Kept<Vec<BudgetTotals>>>,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState")
            .field("catalog", &self.catalog)
            .finish_non_exhaustive()
    }
}

impl AppState {
    /// Checks the secrets, loads the manifests and starts the tasks that send wake-ups.
    pub fn new(
        config: &ApiConfig,
        database: Database,
        life: &Lifecycle,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let catalog = Catalog::load(&config.connectors.connectors_dir)?;
        Self::with_catalog(config, catalog, database, life, clock)
    }

    /// The same with connectors that are loaded already.
    pub fn with_catalog(
        config: &ApiConfig,
        catalog: Catalog,
        database: Database,
        life: &Lifecycle,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            cipher: Cipher::new(&config.secret.secret_key)?,
            catalog,
            clock,
            sessions: SessionKeys::new(config.sessions.checked()?),
            passwords: PasswordHasher::new().context("passwords cannot be hashed")?,
            runs_queued: Waker::start(database.clone(), RUN_QUEUED, life),
            orders_changed: Waker::start(database.clone(), ORDERS_CHANGED, life),
            budgets_changed: Waker::start(database.clone(), BUDGET_CHANGED, life),
            schedules_changed: Waker::start(database.clone(), SCHEDULE_CHANGED, life),
            life: life.clone(),
            lease: config.lease.lease(),
            metrics: Arc::default(),
            budget_totals: Arc::default(),
            database,
        })
    }
}
