//! The worker: claims runs under leases, reads them through the connector engine, writes their records into Postgres.
//!
//! - `queue`: from the database to a handler and back. `queue/backend.rs` and `queue/runtime.rs` are the only files that
//!   know apalis.
//! - `attempt`: the life of one attempt.
//! - `budgets`: permits for its requests.
//! - `destination`: the tables of schema `synced`.

mod attempt;
mod budgets;
mod config;
mod destination;
mod queue;
#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use syncline_engine::{Catalog, HttpClient, HttpSettings};
use syncline_shared::clock::SystemClock;
use syncline_shared::config::LeaseConfig;
use syncline_shared::db::Database;
use syncline_shared::db::notify::{self, Waker};
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::secret::Cipher;
use syncline_shared::telemetry::process_name;

pub use config::WorkerConfig;
pub use queue::{AttemptEnd, Handler, QueueConfig};

use attempt::Executor;
use budgets::Permits;
use destination::Destination;
use queue::Leases;

/// Runs a worker until its life ends: then it has handed back what it did not finish.
pub async fn run(config: WorkerConfig, database: Database, life: Lifecycle) -> anyhow::Result<()> {
    let connectors = Catalog::load(&config.connectors.connectors_dir)?;
    let cipher = Cipher::new(&config.secret.secret_key)?;
    let http = HttpClient::new(HttpSettings {
        addresses: config.address_policy()?,
        ..HttpSettings::default()
    })?;
    let name = process_name();
    let leases = Arc::new(Leases::new(
        ProcessId::random(),
        name,
        config.slots,
        config.queue().share,
        config.lease.clone(),
    ));
    leases.register(&database).await.context(
        "the worker could not register itself; is the schema migrated? run: syncline migrate",
    )?;
    // Attempts need permits while they drain, and what became of the last ones is told after them: a life of its own, which ends below.
    let upkeep = Lifecycle::new(Duration::from_secs(5));
    let told = Waker::start(database.clone(), notify::BUDGET_CHANGED, &upkeep);
    let patience = Duration::from_millis(config.limit_patience_ms);
    let permits = Permits::new(database.clone(), told, patience);
    upkeep.spawn("permits", budgets::keep(permits.clone(), upkeep.clone()));
    upkeep.spawn(
        "budget changes",
        budgets::hear_of_changes(permits.clone(), upkeep.clone()),
    );
    let executor = Executor {
        database: database.clone(),
        connectors,
        cipher,
        http,
        destination: Arc::new(Destination::default()),
        permits,
        leases: leases.clone(),
        clock: Arc::new(SystemClock),
        draining: life.draining().clone(),
    };
    tracing::info!(
        process.id = %leases.process(),
        slots = config.slots,
        "worker {} is up with {} slots",
        leases.name(),
        config.slots
    );
    queue::run(config.queue(), database, leases, executor, &life).await?;
    upkeep.stopping().cancel();
    upkeep.finished().await
}

/// Works off the queue with another handler than the syncs', until the life ends: for measuring the queue itself.
pub async fn run_queue<H: Handler>(
    slots: u16,
    lease: LeaseConfig,
    config: QueueConfig,
    database: Database,
    handler: H,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let leases = Arc::new(Leases::new(
        ProcessId::random(),
        process_name(),
        slots,
        config.share,
        lease,
    ));
    leases.register(&database).await?;
    queue::run(config, database, leases, handler, &life).await
}
