//! The Rust port of graphile-worker, with a large local queue and batched completion.

use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, Worker, WorkerContext,
    WorkerOptions,
};
use protocol::{About, Peer, seen};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// Jobs in one insert statement.
const CHUNK: u64 = 10_000;

#[derive(Clone, Serialize, Deserialize)]
struct Noop {
    number: u64,
}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, _context: WorkerContext) -> impl IntoTaskHandlerResult {
        seen(self.number);
        Ok::<(), String>(())
    }
}

struct Graphile {
    pool: PgPool,
}

impl Graphile {
    /// Also makes the schema, if that is missing.
    async fn worker(&self) -> anyhow::Result<Worker> {
        let batch_delay = Duration::from_millis(5);
        let worker = WorkerOptions::default()
            .pg_pool(self.pool.clone())
            .concurrency(500)
            .local_queue(LocalQueueConfig::default().with_size(5000))
            .complete_job_batch_delay(batch_delay)
            .fail_job_batch_delay(batch_delay)
            .listen_os_shutdown_signals(false)
            .define_job::<Noop>()
            .init()
            .await?;
        Ok(worker)
    }
}

impl Peer for Graphile {
    async fn connect(url: &str, _variant: &str) -> anyhow::Result<Self> {
        Ok(Self {
            pool: PgPoolOptions::new()
                .max_connections(20)
                .connect(url)
                .await?,
        })
    }

    fn about(&self) -> About {
        About {
            version: "0.14.1",
            settings: "local queue 5000, concurrency 500, completions batched for 5 ms",
            keeps_history: false,
        }
    }

    async fn set_up(&self) -> anyhow::Result<()> {
        self.worker().await?;
        Ok(())
    }

    async fn enqueue(&self, jobs: u64) -> anyhow::Result<()> {
        let utils = self.worker().await?.create_utils();
        let spec = JobSpec::default();
        for first in (0..jobs).step_by(CHUNK as usize) {
            let chunk: Vec<_> = (first..jobs.min(first + CHUNK))
                .map(|number| (Noop { number }, &spec))
                .collect();
            utils.add_jobs::<Noop>(&chunk).await?;
        }
        Ok(())
    }

    async fn send(&self, number: u64) -> anyhow::Result<()> {
        // What the worker's own helper calls, without making another worker for it.
        sqlx::query(
            "select graphile_worker.add_job('noop', json_build_object('number', $1::int8))",
        )
        .bind(i64::try_from(number)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn work(&self) -> anyhow::Result<()> {
        self.worker().await?.run().await?;
        Ok(())
    }

    async fn is_unfinished(&self) -> anyhow::Result<bool> {
        let query = "select exists (select from graphile_worker.jobs)";
        Ok(sqlx::query_scalar(query).fetch_one(&self.pool).await?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    protocol::run::<Graphile>().await
}
