//! Moves runs whose wait is over into the queue, and finds blocked runs that nothing stands before any more.

use std::time::Duration;

use sqlx::{Connection, PgPool};
use syncline_shared::db::DbResult;
use syncline_shared::db::notify::Waker;
use syncline_shared::db::run::{move_due, promote_stranded};

use super::Service;

/// Runs that one transaction moves at most: it holds their locks.
const CHUNK: usize = 1_000;
/// Every so many passes the sweep for stranded runs is made, which reads all blocked runs.
const SWEEP_EVERY: u32 = 5;

pub(super) struct DueMover {
    pool: PgPool,
    wake: Waker,
    passes: u32,
}

impl DueMover {
    pub(super) fn new(pool: PgPool, wake: Waker) -> Self {
        Self {
            pool,
            wake,
            passes: 0,
        }
    }
}

impl Service for DueMover {
    const NAME: &'static str = "due-mover";

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let mut db = self.pool.acquire().await?;
        let mut queued = 0;
        loop {
            let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
            let mut transaction = db.begin().await?;
            let (moved, promoted) = move_due(&mut transaction, limit).await?;
            transaction.commit().await?;
            queued += promoted;
            if moved < CHUNK {
                break;
            }
        }
        let mut stranded = 0;
        if self.passes.is_multiple_of(SWEEP_EVERY) {
            stranded = promote_stranded(&mut db).await?;
        }
        self.passes = self.passes.wrapping_add(1);
        if queued + stranded > 0 {
            self.wake.wake();
        }
        // Waits that end are the normal course; a stranded run is worth a line.
        Ok((stranded > 0).then(|| format!("{stranded} runs stood behind nothing and were queued")))
    }
}
