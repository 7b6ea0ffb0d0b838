//! Deletes rows of processes that ended long ago, and what runs that are gone have left behind.

use std::time::Duration;

use sqlx::PgPool;
use syncline_shared::db::{DbResult, history, process};

use super::Service;

pub(super) struct ProcessPruner {
    pool: PgPool,
}

impl ProcessPruner {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

impl Service for ProcessPruner {
    const NAME: &'static str = "process-pruner";

    fn every(&self) -> Duration {
        Duration::from_hours(1)
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let mut db = self.pool.acquire().await?;
        let processes = process::prune(&mut db).await?;
        let keys = history::prune_seen_keys(&mut db).await?;
        Ok((processes + keys > 0)
            .then(|| format!("{processes} processes and {keys} keys of ended runs were deleted")))
    }
}
