//! Keeps partitions of the history ready for the coming months, and drops those that are older than the history is kept.

use std::time::Duration;

use syncline_shared::db::{Database, DbResult, history};

use super::{Next, Service};

/// Months ahead: a scheduler that is down for weeks is made up for.
const MONTHS_AHEAD: i32 = 3;
/// Batches and ticks that one statement deletes at most.
const CHUNK: i64 = 10_000;

pub(super) struct PartitionKeeper {
    database: Database,
    /// How long finished runs are kept; `None`: for ever.
    keep: Option<Duration>,
}

impl PartitionKeeper {
    pub(super) fn new(database: Database, keep: Option<Duration>) -> Self {
        Self { database, keep }
    }
}

impl Service for PartitionKeeper {
    const NAME: &'static str = "partition-keeper";

    fn next(&self) -> Next {
        Next::After(Duration::from_hours(1))
    }

    /// Old partitions and rows may be many, and nobody waits for them to go.
    fn patience(&self) -> Duration {
        Duration::from_mins(2)
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let mut db = self.database.begin().await?;
        let made = history::keep_partitions(&mut db, MONTHS_AHEAD).await?;
        db.commit().await?;
        let mut dropped = 0;
        let mut deleted = 0;
        if let Some(keep) = self.keep {
            let mut db = self.database.begin().await?;
            dropped = history::drop_old(&mut db, keep).await?;
            db.commit().await?;
            loop {
                let mut db = self.database.begin().await?;
                let rows = history::prune_batches(&mut db, keep, CHUNK).await?;
                db.commit().await?;
                deleted += rows;
                if rows < CHUNK.unsigned_abs() {
                    break;
                }
            }
        }
        Ok((made > 0 || dropped > 0 || deleted > 0).then(|| {
            format!(
                "{made} partitions were made for the coming months, {dropped} old ones were dropped, {deleted} old batches and ticks \
                 were deleted"
            )
        }))
    }
}
