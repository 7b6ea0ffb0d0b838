//! The scheduler: turns due schedules into runs, and keeps house.
//!
//! Any number of schedulers run at once; none is a leader. Each due schedule is locked by the one that decides its tick, each
//! housekeeping step is safe to be done twice.
//!
//! - `tick`: one due schedule becomes a tick, a batch and its runs, in one transaction.
//! - `services`: rescue, due-mover, partitions, pruning.

mod services;
mod tick;

use anyhow::Context;
use clap::Args;
use sqlx::PgPool;
use syncline_shared::config::LeaseConfig;
use syncline_shared::db::notify::{self, Waker};
use syncline_shared::db::process::{self, ProcessRole};
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::telemetry::process_name;

/// Configuration of a scheduler.
#[derive(Debug, Clone, Args)]
pub struct SchedulerConfig {
    /// How long a lease lasts.
    #[command(flatten)]
    pub lease: LeaseConfig,
}

/// Runs a scheduler until its life ends.
pub async fn run(config: SchedulerConfig, pool: PgPool, life: Lifecycle) -> anyhow::Result<()> {
    let id = ProcessId::random();
    let name = process_name();
    let mut db = pool.acquire().await?;
    process::register(&mut db, id, ProcessRole::Scheduler, &name, None)
        .await
        .context("the scheduler could not register itself; is the schema migrated? run: syncline migrate")?;
    drop(db);
    tracing::info!(process.id = %id, "scheduler {name} is up");

    let tasks = life.child();
    let wake = Waker::start(pool.clone(), notify::RUN_QUEUED, &tasks);
    tasks.spawn(
        "tick",
        tick::tick_on(pool.clone(), wake.clone(), tasks.clone()),
    );
    services::start(&pool, id, &config, &wake, &tasks);
    tasks.finished().await?;

    let mut db = pool.acquire().await?;
    process::stop(&mut db, id).await?;
    Ok(())
}
