//! awa on its queue storage, with the settings of the best cell of its author's own comparison.

use std::time::Duration;

use awa::model::insert::params_with;
use awa::{
    Client, InsertOpts, JobArgs, JobResult, QueueConfig, QueueStorage, QueueStorageConfig,
    insert_with, migrations,
};
use protocol::{About, Peer, seen};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Handle;

const QUEUE: &str = "bench";
/// Jobs in one COPY.
const CHUNK: u64 = 10_000;

#[derive(Serialize, Deserialize, JobArgs)]
struct Noop {
    number: u64,
}

struct Awa {
    pool: PgPool,
    store: QueueStorage,
}

fn options() -> InsertOpts {
    InsertOpts {
        queue: QUEUE.into(),
        ..InsertOpts::default()
    }
}

impl Peer for Awa {
    async fn connect(url: &str, _variant: &str) -> anyhow::Result<Self> {
        Ok(Self {
            pool: PgPoolOptions::new()
                .max_connections(40)
                .connect(url)
                .await?,
            store: QueueStorage::new(QueueStorageConfig::default())?,
        })
    }

    fn about(&self) -> About {
        About {
            version: "0.6.9",
            settings: "queue storage, max_workers 256, poll each 50 ms, no deadline, statistics each 300 s",
            // Finished jobs go with their segment of the ring, some seconds later; only failed ones stay.
            keeps_history: false,
        }
    }

    async fn set_up(&self) -> anyhow::Result<()> {
        // The compiler cannot see that this future may move between threads, so it stays on one.
        tokio::task::block_in_place(|| Handle::current().block_on(migrations::run(&self.pool)))?;
        // Before the first job: a database that has jobs already would stay on the old tables.
        self.store.install(&self.pool).await?;
        Ok(())
    }

    async fn enqueue(&self, jobs: u64) -> anyhow::Result<()> {
        for first in (0..jobs).step_by(CHUNK as usize) {
            let mut chunk = Vec::new();
            for number in first..jobs.min(first + CHUNK) {
                chunk.push(params_with(&Noop { number }, options())?);
            }
            self.store.enqueue_params_copy(&self.pool, &chunk).await?;
        }
        Ok(())
    }

    async fn send(&self, number: u64) -> anyhow::Result<()> {
        insert_with(&self.pool, &Noop { number }, options()).await?;
        Ok(())
    }

    async fn work(&self) -> anyhow::Result<()> {
        let queue = QueueConfig {
            max_workers: 256,
            poll_interval: Duration::from_millis(50),
            // Its fast path is for jobs without one.
            deadline_duration: Duration::ZERO,
            ..QueueConfig::default()
        };
        let client = Client::builder(self.pool.clone())
            .queue(QUEUE, queue)
            // As there: what its dashboard shows is not measured.
            .queue_stats_interval(Duration::from_secs(300))
            .runtime_snapshot_interval(Duration::from_secs(300))
            .register::<Noop, _, _>(|job: Noop, _| async move {
                seen(job.number);
                Ok(JobResult::Completed)
            })
            .build()?;
        client.start().await?;
        std::future::pending().await
    }

    async fn is_unfinished(&self) -> anyhow::Result<bool> {
        let counts = self.store.queue_counts(&self.pool, QUEUE).await?;
        Ok(counts.available + counts.running > 0)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    protocol::run::<Awa>().await
}
