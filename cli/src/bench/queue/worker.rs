//! A worker whose handler does nothing, as a process of its own: `syncline bench queue-worker`, started by the benchmark.

use std::time::Duration;

use clap::Args;
use syncline_shared::config::{DatabaseConfig, LeaseConfig};
use syncline_shared::db::Database;
use syncline_shared::db::run::{ClaimedRun, Finish};
use syncline_shared::lifecycle::Lifecycle;
use syncline_worker::{AttemptEnd, Handler, QueueConfig, run_queue};

/// A lease as workers have it by default.
const LEASE_SECONDS: u64 = 24;

/// See [`super::super::Bench::QueueWorker`].
#[derive(Debug, Args)]
pub(in super::super) struct QueueWorker {
    /// Where the queue is.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Runs that are executed at once.
    #[arg(long, default_value_t = 4_000)]
    slots: u16,
}

impl QueueWorker {
    pub(in super::super) async fn run(&self) -> anyhow::Result<()> {
        let config = DatabaseConfig::direct(self.database_url.clone(), 10);
        let database = Database::connect(&config, "syncline bench worker").await?;
        let life = Lifecycle::new(Duration::from_secs(5));
        life.heed_signals()?;
        work(database, self.slots, NoOp, life).await
    }
}

/// Works off the queue with a handler, as a worker does.
pub(super) async fn work<H: Handler>(
    database: Database,
    slots: u16,
    handler: H,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let lease = LeaseConfig {
        lease_seconds: LEASE_SECONDS,
    };
    let config = QueueConfig {
        share: usize::from(slots).div_ceil(2),
        stall: Duration::from_mins(10),
        slice: Duration::from_mins(1),
    };
    run_queue(slots, lease, config, database, handler, life).await
}

/// Does nothing.
struct NoOp;

impl Handler for NoOp {
    async fn execute(&self, run: ClaimedRun) -> AttemptEnd {
        succeeded(&run)
    }
}

/// The end of a run that went well.
pub(super) fn succeeded(run: &ClaimedRun) -> AttemptEnd {
    let end = Finish::succeeded(run);
    AttemptEnd::Finish(end, run.connection_id)
}
