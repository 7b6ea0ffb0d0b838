//! River's Rust client, with the settings of River's own benchmark.

use std::time::Duration;

use protocol::{About, Peer, seen};
use riverqueue::migrate::PostgresMigrator;
use riverqueue::{BoxError, Client, Job, JobArgs, QueueConfig, WorkContext, WorkOutcome, Workers};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// Jobs in one insert statement.
const CHUNK: u64 = 10_000;

#[derive(Clone, Debug, Serialize, Deserialize, JobArgs)]
#[river(kind = "noop")]
struct Noop {
    number: u64,
}

async fn noop(_context: WorkContext, job: Job<Noop>) -> Result<WorkOutcome, BoxError> {
    seen(job.args.number);
    Ok(WorkOutcome::Complete)
}

struct River {
    pool: PgPool,
    client: Client,
}

impl Peer for River {
    async fn connect(url: &str, _variant: &str) -> anyhow::Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(20)
            .connect(url)
            .await?;
        let mut workers = Workers::new();
        workers.add_fn(noop)?;
        let queue = QueueConfig::new(2000).with_fetch_poll_interval(Duration::from_millis(20));
        let client = Client::builder(pool.clone())
            .workers(workers)
            .fetch_cooldown(Duration::from_millis(2))
            .queue("default", queue)
            .build()?;
        Ok(Self { pool, client })
    }

    fn about(&self) -> About {
        About {
            version: "0.5.0",
            settings: "max_workers 2000, fetch cooldown 2 ms, poll each 20 ms",
            keeps_history: true,
        }
    }

    async fn set_up(&self) -> anyhow::Result<()> {
        PostgresMigrator::new(self.pool.clone())
            .migrate_up()
            .await?;
        Ok(())
    }

    async fn enqueue(&self, jobs: u64) -> anyhow::Result<()> {
        for first in (0..jobs).step_by(CHUNK as usize) {
            let chunk = (first..jobs.min(first + CHUNK)).map(|number| Noop { number });
            self.client.insert_many(chunk).await?;
        }
        Ok(())
    }

    async fn send(&self, number: u64) -> anyhow::Result<()> {
        self.client.insert(Noop { number }).await?;
        Ok(())
    }

    async fn work(&self) -> anyhow::Result<()> {
        self.client.start()?.wait().await?;
        Ok(())
    }

    async fn is_unfinished(&self) -> anyhow::Result<bool> {
        let query = "select exists (select from river_job where state <> 'completed')";
        Ok(sqlx::query_scalar(query).fetch_one(&self.pool).await?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    protocol::run::<River>().await
}
