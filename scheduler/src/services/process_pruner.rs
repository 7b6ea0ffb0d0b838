//! Deletes rows of processes that ended long ago, and what runs that are gone have left behind.

use std::time::Duration;

use syncline_shared::db::{Database, DbResult, history, idempotency, process};

use super::{Next, Service};

pub(super) struct ProcessPruner {
    database: Database,
}

impl ProcessPruner {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Service for ProcessPruner {
    const NAME: &'static str = "process-pruner";

    fn next(&self) -> Next {
        Next::After(Duration::from_hours(1))
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let mut db = self.database.begin().await?;
        let processes = process::prune(&mut db).await?;
        let keys = history::prune_seen_keys(&mut db).await?;
        let answers = idempotency::prune(&mut db).await?;
        db.commit().await?;
        Ok((processes + keys + answers > 0).then(|| {
            format!(
                "{processes} processes, {keys} keys of ended runs and {answers} idempotency keys were deleted"
            )
        }))
    }
}
