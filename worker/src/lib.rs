//! The worker: claims runs under leases, reads them through the connector engine, writes their records into Postgres.
//!
//! - `queue`: from the database to a handler and back. `queue/backend.rs` and `queue/runtime.rs` are the only files that
//!   know apalis.
//! - `attempt`: the life of one attempt.
//! - `destination`: the tables of schema `synced`.

mod attempt;
mod config;
mod destination;
mod queue;

use std::sync::Arc;

use anyhow::Context;
use sqlx::PgPool;
use syncline_engine::{Catalog, HttpClient, HttpSettings};
use syncline_shared::clock::SystemClock;
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::secret::Cipher;
use syncline_shared::telemetry::process_name;

pub use config::WorkerConfig;

use attempt::{Executor, Permits};
use destination::Destination;
use queue::Leases;

/// Runs a worker until its life ends: then it has handed back what it did not finish.
pub async fn run(config: WorkerConfig, pool: PgPool, life: Lifecycle) -> anyhow::Result<()> {
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
        config.lease.clone(),
    ));
    leases.register(&pool).await.context(
        "the worker could not register itself; is the schema migrated? run: syncline migrate",
    )?;
    let executor = Executor {
        pool: pool.clone(),
        connectors,
        cipher,
        http,
        destination: Arc::new(Destination::default()),
        permits: Permits::new(pool.clone()),
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
    queue::run(&config, pool, leases, executor, &life).await
}
