//! Deletes rows of processes that ended long ago, what runs that are gone have left behind, and budgets that nobody draws on any more.

use std::time::Duration;

use syncline_shared::db::{Database, DbResult, budget, history, idempotency, process};

use super::{Next, Service};

/// Budgets, windows and draws of one pass.
const MOST_BUDGETS: i64 = 1_000;

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
        let mut db = self.database.begin().await?;
        let budgets = budget::prune_budgets(&mut db, MOST_BUDGETS).await?;
        db.commit().await?;
        Ok((processes + keys + answers + budgets > 0).then(|| {
            format!(
                "{processes} processes, {keys} keys of ended runs, {answers} idempotency keys and {budgets} budgets, windows and draws that nobody uses were deleted"
            )
        }))
    }
}
