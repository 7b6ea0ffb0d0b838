//! Stock apalis-postgres, in two settings: `default`, and `best` for throughput.

use std::time::Duration;

use apalis::prelude::{BackendExt, BoxDynError, Strategy, TaskBuilder, WorkerBuilder};
use apalis_postgres::{Config, PostgresStorage, queries};
use protocol::{About, Peer, seen};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

const QUEUE: &str = "bench";
/// Jobs in one insert statement.
const CHUNK: u64 = 50_000;

#[derive(Serialize, Deserialize)]
struct Noop {
    number: u64,
}

async fn noop(job: Noop) -> Result<(), BoxDynError> {
    seen(job.number);
    Ok(())
}

struct Apalis {
    pool: PgPool,
    best: bool,
}

impl Apalis {
    async fn push(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        let mut tasks = Vec::new();
        for number in numbers {
            tasks.push(TaskBuilder::new(serde_json::to_vec(&Noop { number })?).build());
        }
        let mut connection = self.pool.acquire().await?;
        queries::push_tasks(&mut *connection, QUEUE, tasks).await?;
        Ok(())
    }
}

impl Peer for Apalis {
    async fn connect(url: &str, variant: &str) -> anyhow::Result<Self> {
        Ok(Self {
            pool: PgPoolOptions::new()
                .max_connections(10)
                .connect(url)
                .await?,
            best: variant == "best",
        })
    }

    fn about(&self) -> About {
        About {
            version: "1.0.0",
            settings: if self.best {
                "batch_size 5000, lock_tasks off, pubsub and a poll each 100 ms"
            } else {
                "defaults"
            },
            keeps_history: true,
        }
    }

    async fn set_up(&self) -> anyhow::Result<()> {
        PostgresStorage::setup(&self.pool).await?;
        Ok(())
    }

    async fn enqueue(&self, jobs: u64) -> anyhow::Result<()> {
        for first in (0..jobs).step_by(CHUNK as usize) {
            self.push(first..jobs.min(first + CHUNK)).await?;
        }
        Ok(())
    }

    async fn send(&self, number: u64) -> anyhow::Result<()> {
        self.push(number..number + 1).await
    }

    async fn work(&self) -> anyhow::Result<()> {
        // A name of its own for each process: under a shared one the second could not register.
        let name = format!("bench-{}", std::process::id());
        let worker = WorkerBuilder::new(name);
        let storage = PostgresStorage::<Noop>::new(&self.pool);
        let config = Config::default().queue(QUEUE);
        if self.best {
            let config = config.batch_size(5000).lock_tasks(false);
            let poll = Strategy::new().interval(Duration::from_millis(100));
            let backend = storage
                .with_config(config)
                .with_pubsub()
                .poll_with_strategy(poll);
            worker.backend(backend).build(noop).run().await?;
        } else {
            worker
                .backend(storage.with_config(config))
                .build(noop)
                .run()
                .await?;
        }
        Ok(())
    }

    async fn is_unfinished(&self) -> anyhow::Result<bool> {
        let query = "select exists (select from apalis.jobs where status <> 'Done')";
        Ok(sqlx::query_scalar(query).fetch_one(&self.pool).await?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    protocol::run::<Apalis>().await
}
