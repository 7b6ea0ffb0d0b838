//! Moves runs whose wait is over into the queue, and finds runs that an event has overlooked: blocked behind nothing, held back by a
//! pause that was lifted, queued under one that was just set, or cancelled between two attempts.

use std::sync::Arc;

use syncline_shared::db::notify::Waker;
use syncline_shared::db::pause;
use syncline_shared::db::run::{
    free_paused, hold_paused, move_due, promote_stranded, sweep_cancelled,
};
use syncline_shared::db::{Database, DbResult};
use tokio::sync::Notify;

use super::{Next, Service};

/// Runs that one transaction moves at most: it holds their locks.
const CHUNK: usize = 1_000;
/// Every so many passes the runs are looked at that a pause holds back.
const LOOK_AT_PAUSED_EVERY: u32 = 10;

pub(super) struct DueMover {
    database: Database,
    /// There are runs; about once a second while there are.
    prompt: Arc<Notify>,
    wake: Waker,
    passes: u32,
}

impl DueMover {
    pub(super) fn new(database: Database, prompt: Arc<Notify>, wake: Waker) -> Self {
        Self {
            database,
            prompt,
            wake,
            passes: 0,
        }
    }

    async fn move_all_due(&self) -> DbResult<u64> {
        let mut queued = 0;
        loop {
            let mut db = self.database.begin().await?;
            let (moved, promoted) = move_due(&mut db, whole(CHUNK)).await?;
            db.commit().await?;
            queued += promoted;
            if moved < CHUNK {
                return Ok(queued);
            }
        }
    }

    async fn free_all_paused(&self) -> DbResult<u64> {
        let mut queued = 0;
        loop {
            let mut db = self.database.begin().await?;
            let (freed, promoted) = free_paused(&mut db, whole(CHUNK)).await?;
            db.commit().await?;
            queued += promoted;
            if freed < CHUNK {
                return Ok(queued);
            }
        }
    }

    /// A run that was being queued while a pause was set may not have seen it.
    async fn hold_fresh_pauses(&self) -> DbResult<()> {
        let mut db = self.database.begin().await?;
        if pause::is_fresh(&mut db).await? {
            hold_paused(&mut db, whole(CHUNK)).await?;
        }
        db.commit().await?;
        Ok(())
    }
}

impl Service for DueMover {
    const NAME: &'static str = "due-mover";

    fn next(&self) -> Next {
        Next::Prompted(self.prompt.clone())
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let mut queued = self.move_all_due().await?;
        self.hold_fresh_pauses().await?;
        if self.passes.is_multiple_of(LOOK_AT_PAUSED_EVERY) {
            queued += self.free_all_paused().await?;
        }
        self.passes = self.passes.wrapping_add(1);
        let mut db = self.database.begin().await?;
        let cancelled = sweep_cancelled(&mut db).await?;
        let stranded = promote_stranded(&mut db).await?;
        db.commit().await?;
        if queued + stranded > 0 || cancelled > 0 {
            self.wake.wake();
        }
        // Waits that end are the normal course; a stranded run is worth a line.
        Ok((stranded > 0).then(|| format!("{stranded} runs stood behind nothing and were queued")))
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
