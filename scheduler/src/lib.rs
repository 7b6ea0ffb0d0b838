//! The scheduler: turns due schedules into runs, and keeps house.
//!
//! Any number of schedulers run at once; none is a leader. Each due schedule is locked by the one that decides its tick, each
//! housekeeping step is safe to be done twice.
//!
//! - `agenda`: sees what is to be done, and wakes who does it.
//! - `tick`: due schedules become ticks, batches and their runs, in one transaction.
//! - `services`: fan-outs, closing of batches, due-mover, rescue, partitions, pruning.

mod agenda;
mod services;
#[cfg(test)]
mod tests;
mod tick;

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use syncline_shared::config::LeaseConfig;
use syncline_shared::db::Database;
use syncline_shared::db::notify::{self, Waker};
use syncline_shared::db::process::{self, ProcessRole};
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::LONGEST_AGE;
use syncline_shared::telemetry::process_name;

use agenda::Prompts;

/// Configuration of a scheduler.
#[derive(Debug, Clone, Args)]
pub struct SchedulerConfig {
    /// How long a lease lasts.
    #[command(flatten)]
    pub lease: LeaseConfig,
    /// Days that finished runs are kept, by whole months; 0: for ever.
    #[arg(long, env = "SYNCLINE_RETENTION_DAYS", default_value_t = 400,
          value_parser = clap::value_parser!(u64).range(0..=36_500))]
    pub retention_days: u64,
    /// Seconds after which an unfinished run ends as failed, whatever it waits for. Default: seven days.
    #[arg(long, env = "SYNCLINE_LONGEST_RUN_SECONDS", default_value_t = LONGEST_AGE.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=31_622_400))]
    pub longest_run_seconds: u64,
}

impl SchedulerConfig {
    /// A configuration with the defaults.
    pub fn new(lease: LeaseConfig) -> Self {
        Self {
            lease,
            retention_days: 400,
            longest_run_seconds: LONGEST_AGE.as_secs(),
        }
    }

    fn longest_age(&self) -> Duration {
        Duration::from_secs(self.longest_run_seconds)
    }

    fn retention(&self) -> Option<Duration> {
        (self.retention_days > 0).then(|| Duration::from_secs(self.retention_days * 24 * 3600))
    }
}

/// Runs a scheduler until its life ends.
pub async fn run(
    config: SchedulerConfig,
    database: Database,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let id = ProcessId::random();
    let name = process_name();
    let mut db = database.session().await?;
    process::register(&mut db, id, ProcessRole::Scheduler, &name, None)
        .await
        .context("the scheduler could not register itself; is the schema migrated? run: syncline migrate")?;
    db.end().await?;
    tracing::info!(process.id = %id, "scheduler {name} is up");

    let tasks = life.child();
    let wake = Waker::start(database.clone(), notify::RUN_QUEUED, &tasks);
    let prompts = Prompts::default();
    tasks.spawn(
        "tick",
        tick::tick_on(
            database.clone(),
            prompts.clone(),
            wake.clone(),
            tasks.clone(),
        ),
    );
    services::start(&database, id, &config, &prompts, &wake, &tasks);
    tasks.spawn(
        "agenda",
        agenda::look_on(database.clone(), prompts, tasks.clone()),
    );
    tasks.finished().await?;

    let mut db = database.session().await?;
    process::stop(&mut db, id).await?;
    db.end().await?;
    Ok(())
}
