//! A database with a business and connections, and short words for what the tests do with it.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use syncline_postgres::testing::{self, TestDatabase};
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::batch::{self, NewBatch};
use syncline_shared::db::connection::{self, ConnectionDraft};
use syncline_shared::db::process::{self, ProcessRole};
use syncline_shared::db::run::{self, ClaimedRun, EnqueuedRun, Finish, NewRun, Release};
use syncline_shared::db::{self, DbResult, business};
use syncline_shared::ids::{BusinessId, ConnectionId, ProcessId, RunId};
use syncline_shared::run::{
    AttemptOutcome, Outcome, PRIORITY_MANUAL, RunKind, RunOrigin, RunState, SYNC_QUEUE, WaitReason,
};

/// A connection to sync: what an enqueue wants to know of it.
pub(crate) type Target = (ConnectionId, BusinessId, String);

pub(crate) struct World {
    pub(crate) pool: PgPool,
    pub(crate) process: ProcessId,
    _database: TestDatabase,
}

impl World {
    pub(crate) async fn new() -> Self {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let database = testing::database(&migrations).await.unwrap();
        let config = DatabaseConfig {
            database_url: SecretString::from(database.url()),
            database_connections: 8,
        };
        let pool = db::connect(&config, "queue tests").await.unwrap();
        let process = ProcessId::random();
        let world = Self {
            pool,
            process,
            _database: database,
        };
        let mut db = world.db().await;
        process::register(&mut db, process, ProcessRole::Worker, "test:1", Some(8))
            .await
            .unwrap();
        world
    }

    pub(crate) async fn db(&self) -> PoolConnection<Postgres> {
        self.pool.acquire().await.unwrap()
    }

    /// A business with so many connections.
    pub(crate) async fn business(&self, key: &str, connections: usize) -> Vec<Target> {
        let mut db = self.db().await;
        let business = business::create(&mut db, key, key).await.unwrap();
        let empty = json!({});
        let mut targets = Vec::new();
        for number in 0..connections {
            let draft = ConnectionDraft {
                key: &format!("{key}-{number}"),
                name: "a connection",
                business_id: business.id,
                platform: "g2a",
                config: &empty,
                base_url: None,
                streams: None,
                enabled: true,
                limits: &empty,
            };
            let id = connection::create(&mut db, &draft).await.unwrap();
            targets.push((id, business.id, "g2a".to_owned()));
        }
        targets
    }

    /// Enqueues a run for each of the connections, in one call.
    pub(crate) async fn enqueue(&self, targets: &[Target], delay: Duration) -> Vec<EnqueuedRun> {
        let mut db = self.db().await;
        let batch = NewBatch {
            origin: RunOrigin::Manual,
            schedule_id: None,
            nominal_at: None,
            requested_by: Some("test"),
            runs: targets.len(),
            left_out: &[],
        };
        let batch_id = batch::create(&mut db, &batch).await.unwrap();
        let new = NewRun {
            queue: SYNC_QUEUE,
            batch_id,
            schedule_id: None,
            origin: RunOrigin::Manual,
            requested_by: Some("test"),
            kind: RunKind::Full,
            streams: None,
            page: None,
            priority: PRIORITY_MANUAL,
            delay,
        };
        run::enqueue(&mut db, &new, targets).await.unwrap()
    }

    pub(crate) async fn claim(&self, limit: i64) -> Vec<ClaimedRun> {
        run::claim(
            &mut *self.db().await,
            SYNC_QUEUE,
            limit,
            self.process,
            "test:1",
        )
        .await
        .unwrap()
    }

    /// Ends a run well; true if the end was accepted.
    pub(crate) async fn finish(&self, run: &ClaimedRun) -> bool {
        let end = Finish {
            id: run.id,
            token: run.token,
            outcome: Outcome::Succeeded,
            attempt: AttemptOutcome::Succeeded,
            failures: 0,
            error: None,
            calls: 1,
        };
        run::finish(&mut *self.db().await, &[end])
            .await
            .unwrap()
            .contains(&run.id)
    }

    pub(crate) async fn release(
        &self,
        run: &ClaimedRun,
        wait: Option<(WaitReason, Duration)>,
    ) -> DbResult<()> {
        let back = Release {
            id: run.id,
            token: run.token,
            attempt: if wait.is_some() {
                AttemptOutcome::Limited
            } else {
                AttemptOutcome::Drained
            },
            wait,
            detail: None,
            failures: run.failures,
            error: None,
            calls: 0,
        };
        run::release(&mut *self.db().await, &back).await
    }

    /// State of an unfinished run; `None` once it has ended.
    pub(crate) async fn state(&self, id: RunId) -> Option<RunState> {
        sqlx::query_scalar("select state from syncline.run where id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .unwrap()
    }
}
