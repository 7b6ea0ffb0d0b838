//! Goes on with batches of very many connections, and with backfills.

use std::sync::Arc;

use syncline_shared::db::notify::Waker;
use syncline_shared::db::{Database, DbResult, backfill, batch};
use tokio::sync::Notify;

use super::{Next, Service};

pub(crate) struct FanOut {
    database: Database,
    /// There are batches or backfills with runs to come.
    prompt: Arc<Notify>,
    wake: Waker,
}

impl FanOut {
    pub(crate) fn new(database: Database, prompt: Arc<Notify>, wake: Waker) -> Self {
        Self {
            database,
            prompt,
            wake,
        }
    }
}

impl Service for FanOut {
    const NAME: &'static str = "fan-out";

    fn next(&self) -> Next {
        Next::Prompted(self.prompt.clone())
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        loop {
            let mut db = self.database.begin().await?;
            let enqueued = batch::continue_fan_out(&mut db).await?;
            db.commit().await?;
            match enqueued {
                None => break,
                Some(runs) if runs > 0 => self.wake.wake(),
                Some(_) => {}
            }
        }
        let mut db = self.database.begin().await?;
        let begun = backfill::step(&mut db).await?;
        db.commit().await?;
        if begun > 0 {
            self.wake.wake();
        }
        Ok(None)
    }
}
