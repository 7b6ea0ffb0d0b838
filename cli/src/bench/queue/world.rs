//! The tables that are measured: filled, emptied and looked at from outside.

use std::time::Duration;

use anyhow::Context;
use syncline_shared::db::batch::{self, NewBatch};
use syncline_shared::db::process::{self, ProcessRole};
use syncline_shared::db::run::{NewRun, RunTarget, enqueue};
use syncline_shared::db::{Database, DbConnection, DbResult};
use syncline_shared::ids::{BatchId, BusinessId, ConnectionId, ProcessId, RunId};
use syncline_shared::run::{PRIORITY_SCHEDULED, RunKind, RunOrigin, SYNC_QUEUE};
use uuid::Uuid;

/// Rows of one statement, where rows are sent in bulk.
pub(super) const CHUNK: usize = 1_000;
/// In [`Shape::Successors`] each connection has so many runs, one behind the other.
const RUNS_IN_A_ROW: u32 = 20;

/// How the runs are spread over connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each on its own.
    Single,
    /// Many on one: each frees the next.
    Successors,
}

/// What is measured, and with how much.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) database: Database,
    pub(super) url: String,
    pub(super) runs: u32,
    pub(super) businesses: u32,
    pub(super) slots: u16,
}

impl World {
    /// Empties the queue, but not the history.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        let mut db = self.database.session().await?;
        // One string: these tables are ours, and nobody else is at work.
        for statement in [
            "truncate syncline.run, syncline.fair_turn, syncline.attempt, syncline.run_log, syncline.batch, syncline.process",
            "delete from syncline.run_history where lease_token > 0",
            "select setval('syncline.virtual_turn', 0)",
            "vacuum analyze syncline.run",
            "vacuum analyze syncline.run_history",
            "checkpoint",
        ] {
            sqlx::raw_sql(statement).execute(&mut *db).await?;
        }
        Ok(())
    }

    /// The targets of so many runs, in the order of their enqueueing.
    pub(super) fn targets(&self, shape: Shape) -> Vec<RunTarget> {
        let connections = match shape {
            Shape::Single => self.runs,
            Shape::Successors => self.runs.div_ceil(RUNS_IN_A_ROW),
        };
        (0..self.runs)
            .map(|run| {
                let connection = run % connections;
                self.target(connection)
            })
            .collect()
    }

    /// The target of one connection.
    pub(super) fn target(&self, connection: u32) -> RunTarget {
        let business = u128::from(connection % self.businesses);
        RunTarget {
            connection_id: ConnectionId(Uuid::from_u128(0x1_0000_0000 + u128::from(connection))),
            business_id: BusinessId(Uuid::from_u128(0x2_0000_0000 + business)),
            platform: "bench".to_owned(),
            retry_of: None,
            delay: Duration::ZERO,
        }
    }

    /// Fills the queue.
    pub(super) async fn fill(&self, shape: Shape) -> anyhow::Result<()> {
        let targets = self.targets(shape);
        let mut db = self.database.begin().await?;
        let batch = new_batch(&mut db, targets.len()).await?;
        for chunk in targets.chunks(10 * CHUNK) {
            enqueue(&mut db, &new_run(batch), chunk).await?;
        }
        db.commit().await?;
        let mut db = self.database.session().await?;
        sqlx::raw_sql("vacuum analyze syncline.run")
            .execute(&mut *db)
            .await?;
        sqlx::raw_sql("checkpoint").execute(&mut *db).await?;
        Ok(())
    }

    /// Fills the history with finished runs of the last months. They are told apart by a token of 0.
    pub(super) async fn fill_history(&self, rows: u32) -> anyhow::Result<()> {
        let mut db = self.database.begin().await?;
        sqlx::raw_sql("set local synchronous_commit = off")
            .execute(&mut *db)
            .await?;
        // A new id a row, spread over the partitions that exist.
        sqlx::query(
            "insert into syncline.run_history
                 (id, outcome, batch_id, connection_id, business_id, platform, origin, kind, priority, attempt, failures,
                  lease_token, started_at, finished_at, checkpoint_sequence, checkpoint, progress, created_at)
             select encode(overlay(uuid_send(gen_random_uuid()) placing substring(
                        uuid_send(syncline.run_id_floor(syncline.now() - make_interval(secs => n::float8 / 10)))
                        from 1 for 6) from 1 for 6), 'hex')::uuid,
                    'succeeded', gen_random_uuid(), gen_random_uuid(),
                    ('00000000-0000-0000-0000-' || lpad(to_hex(n % 50), 12, '0'))::uuid, 'bench', 'manual', 'full', 50, 1, 0,
                    0, syncline.now(), syncline.now(), 0, '{}', '{}', syncline.now()
             from generate_series(1, $1) n",
        )
        .bind(i32::try_from(rows)?)
        .execute(&mut *db)
        .await
        .context("the history could not be filled")?;
        db.commit().await?;
        self.clear().await
    }

    /// Registers a process that claims.
    pub(super) async fn register(&self) -> anyhow::Result<ProcessId> {
        let id = ProcessId::random();
        let mut db = self.database.session().await?;
        process::register(&mut db, id, ProcessRole::Worker, "bench", None).await?;
        db.end().await?;
        Ok(id)
    }

    /// Enqueues one run of a connection.
    pub(super) async fn enqueue_one(
        &self,
        batch: BatchId,
        connection: u32,
    ) -> anyhow::Result<RunId> {
        let mut db = self.database.session().await?;
        let target = [self.target(connection)];
        let made = enqueue(&mut db, &new_run(batch), &target).await?;
        db.end().await?;
        Ok(made.first().context("nothing was enqueued")?.id)
    }

    /// Waits until no run is left. Answers the seconds from the first start to now, by the database's clock.
    pub(super) async fn wait_until_drained(&self) -> anyhow::Result<f64> {
        loop {
            let mut db = self.database.session().await?;
            let seconds: Option<f64> = sqlx::query_scalar(
                "select case when not exists (select from syncline.run) then (
                     select extract(epoch from clock_timestamp() - min(started_at))::float8
                     from syncline.run_history where lease_token > 0) end",
            )
            .fetch_one(&mut *db)
            .await?;
            if let Some(seconds) = seconds {
                return Ok(seconds);
            }
            drop(db);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Bytes of WAL written since the server began.
    pub(super) async fn wal_bytes(&self) -> anyhow::Result<f64> {
        let mut db = self.database.session().await?;
        Ok(
            sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8")
                .fetch_one(&mut *db)
                .await?,
        )
    }
}

/// The batch that runs of the benchmark belong to.
pub(super) async fn new_batch(db: &mut DbConnection, runs: usize) -> DbResult<BatchId> {
    let batch = NewBatch {
        runs,
        ..NewBatch::of_runs("syncline bench")
    };
    batch::create(db, &batch).await
}

/// What runs of the benchmark have in common.
pub(super) fn new_run(batch: BatchId) -> NewRun<'static> {
    NewRun {
        queue: SYNC_QUEUE,
        batch_id: batch,
        schedule_id: None,
        origin: RunOrigin::Manual,
        requested_by: Some("syncline bench"),
        kind: RunKind::Full,
        streams: None,
        page: None,
        priority: PRIORITY_SCHEDULED,
        delay: Duration::ZERO,
        range: None,
        time_limit_seconds: None,
    }
}
