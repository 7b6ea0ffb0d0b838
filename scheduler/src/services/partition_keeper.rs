//! Keeps partitions of the history ready for the coming months.

use std::time::Duration;

use sqlx::PgPool;
use syncline_shared::db::{DbResult, history};

use super::Service;

/// Months ahead: a scheduler that is down for weeks is made up for.
const MONTHS_AHEAD: i32 = 3;

pub(super) struct PartitionKeeper {
    pool: PgPool,
}

impl PartitionKeeper {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

impl Service for PartitionKeeper {
    const NAME: &'static str = "partition-keeper";

    fn every(&self) -> Duration {
        Duration::from_hours(1)
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let mut db = self.pool.acquire().await?;
        let made = history::keep_partitions(&mut db, MONTHS_AHEAD).await?;
        Ok((made > 0).then(|| format!("{made} partitions were made for the coming months")))
    }
}
