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
        loop {
            let mut db = self.database.begin().await?;
            let mut held = 0;
            if pause::is_fresh(&mut db).await? {
                held = hold_paused(&mut db, whole(CHUNK)).await?;
            }
            db.commit().await?;
            if held < CHUNK as u64 {
                return Ok(());
            }
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::AssertSqlSafe;
    use syncline_postgres::testing::{TestDatabase, database};
    use syncline_shared::config::DatabaseConfig;
    use syncline_shared::db::notify::RUN_QUEUED;
    use syncline_shared::lifecycle::Lifecycle;

    use super::*;

    /// More than two transactions move.
    const RUNS: i64 = 2_500;

    struct House {
        database: Database,
        mover: DueMover,
        _life: Lifecycle,
        _database: TestDatabase,
    }

    impl House {
        /// With queued runs of as many connections, which exist nowhere else.
        async fn with_queued_runs() -> Self {
            let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
            let at = database(&migrations).await.unwrap();
            let config = DatabaseConfig::direct(at.url(), 4);
            let database = Database::connect(&config, "due-mover tests").await.unwrap();
            let life = Lifecycle::new(std::time::Duration::from_secs(5));
            let wake = Waker::start(database.clone(), RUN_QUEUED, &life);
            let house = Self {
                mover: DueMover::new(database.clone(), Arc::new(Notify::new()), wake),
                database,
                _life: life,
                _database: at,
            };
            house
                .tell(&format!(
                    "insert into syncline.run (queue, state, batch_id, connection_id, business_id, platform, origin, kind, priority,
                                               fair_turn, due_at)
                     select 'sync', 'queued', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'g2a', 'manual', 'full', 50, n,
                            syncline.now() from generate_series(1, {RUNS}) n"
                ))
                .await;
            house
        }

        async fn tell(&self, text: &str) {
            let mut db = self.database.session().await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
                .execute(&mut *db)
                .await
                .unwrap();
        }

        async fn queued(&self) -> i64 {
            let mut db = self.database.session().await.unwrap();
            sqlx::query_scalar("select count(*) from syncline.run where state = 'queued'")
                .fetch_one(&mut *db)
                .await
                .unwrap()
        }
    }

    #[tokio::test]
    async fn one_pass_holds_all_that_a_new_pause_concerns_and_frees_all_when_it_is_lifted() {
        let mut house = House::with_queued_runs().await;
        // As if whoever paused and resumed had died right after its commit.
        house
            .tell("insert into syncline.pause (scope, target, cause, paused_by) values ('platform', 'g2a', 'person', 'anna')")
            .await;
        house.mover.pass().await.unwrap();
        assert_eq!(house.queued().await, 0);
        house.tell("delete from syncline.pause").await;
        house.mover.passes = LOOK_AT_PAUSED_EVERY;
        house.mover.pass().await.unwrap();
        assert_eq!(house.queued().await, RUNS);
    }
}
