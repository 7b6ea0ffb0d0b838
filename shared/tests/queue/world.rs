//! A database with a business and connections, and short words for what the tests do with it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use syncline_postgres::testing::{self, TestDatabase};
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::batch::{self, NewBatch};
use syncline_shared::db::connection::{self, ConnectionDraft};
use syncline_shared::db::process::{self, Capacity, ProcessRole};
use syncline_shared::db::run::{
    self, Claim, ClaimedRun, EnqueuedRun, Finish, Heads, NewRun, Release, ReleaseTo, RunTarget,
};
use syncline_shared::db::{Database, DbResult, Session, business};
use syncline_shared::ids::{ProcessId, RunId};
use syncline_shared::run::{
    AttemptOutcome, PRIORITY_MANUAL, RunKind, RunOrigin, RunState, SYNC_QUEUE, WaitReason,
};

pub(crate) struct World {
    pub(crate) database: Database,
    /// For looking from outside.
    pub(crate) pool: PgPool,
    pub(crate) process: ProcessId,
    server: TestDatabase,
}

impl World {
    pub(crate) async fn new() -> Self {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let database = testing::database(&migrations).await.unwrap();
        let config = DatabaseConfig::direct(database.url(), 8);
        let connected = Database::connect(&config, "queue tests").await.unwrap();
        let process = ProcessId::random();
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&database.url())
            .unwrap();
        let world = Self {
            database: connected,
            pool,
            process,
            server: database,
        };
        let mut db = world.db().await;
        let capacity = Capacity { slots: 8, share: 8 };
        process::register(
            &mut db,
            process,
            ProcessRole::Worker,
            "test:1",
            Some(capacity),
        )
        .await
        .unwrap();
        world
    }

    /// The same database as another process sees it.
    pub(crate) async fn another_process(&self) -> Database {
        let config = DatabaseConfig::direct(self.server.url(), 1);
        Database::connect(&config, "queue tests").await.unwrap()
    }

    pub(crate) async fn db(&self) -> Session {
        self.database.session().await.unwrap()
    }

    /// A business with so many connections.
    pub(crate) async fn business(&self, key: &str, connections: usize) -> Vec<RunTarget> {
        self.business_on(key, &vec!["g2a"; connections]).await
    }

    /// A business with a connection on each of these platforms.
    pub(crate) async fn business_on(&self, key: &str, platforms: &[&str]) -> Vec<RunTarget> {
        let mut db = self.db().await;
        let business = business::create(&mut db, key, key).await.unwrap();
        let empty = json!({});
        let mut targets = Vec::new();
        for (number, platform) in platforms.iter().enumerate() {
            let draft = ConnectionDraft {
                key: &format!("{key}-{number}"),
                name: "a connection",
                business_id: business.id,
                platform,
                config: &empty,
                base_url: None,
                streams: None,
                enabled: true,
                limits: &empty,
                retry: &empty,
            };
            let id = connection::create(&mut db, &draft).await.unwrap();
            targets.push(RunTarget {
                connection_id: id,
                business_id: business.id,
                platform: (*platform).to_owned(),
                retry_of: None,
                delay: Duration::ZERO,
            });
        }
        targets
    }

    /// Enqueues a run for each of the connections, in one call.
    pub(crate) async fn enqueue(&self, targets: &[RunTarget], delay: Duration) -> Vec<EnqueuedRun> {
        self.enqueue_at(targets, delay, PRIORITY_MANUAL).await
    }

    /// The same at a given priority.
    pub(crate) async fn enqueue_at(
        &self,
        targets: &[RunTarget],
        delay: Duration,
        priority: i16,
    ) -> Vec<EnqueuedRun> {
        let mut db = self.db().await;
        let batch = NewBatch {
            runs: targets.len(),
            ..NewBatch::of_runs("test")
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
            priority,
            delay,
            range: None,
            time_limit_seconds: None,
        };
        run::enqueue(&mut db, &new, targets).await.unwrap()
    }

    pub(crate) async fn claim(&self, limit: i64) -> Vec<ClaimedRun> {
        self.claim_within(limit, limit).await
    }

    /// Claims at most `room` runs of each platform, while several have runs ready.
    pub(crate) async fn claim_within(&self, limit: i64, room: i64) -> Vec<ClaimedRun> {
        let claim = Claim {
            queue: SYNC_QUEUE,
            limit,
            rooms: &[],
            room,
            heads: &Heads::default(),
            process: self.process,
        };
        run::claim(&mut *self.db().await, &claim).await.unwrap()
    }

    /// Ends a run well; true if the end was accepted.
    pub(crate) async fn finish(&self, run: &ClaimedRun) -> bool {
        let end = Finish::succeeded(run);
        run::finish(&mut *self.db().await, &[end], "test:1")
            .await
            .unwrap()
            .contains(&run.id)
    }

    pub(crate) async fn release(
        &self,
        run: &ClaimedRun,
        wait: Option<(WaitReason, Duration)>,
    ) -> DbResult<()> {
        let to = wait.map_or(ReleaseTo::Front, |(reason, wait)| {
            ReleaseTo::Wait(reason, wait)
        });
        self.release_to(run, to).await
    }

    pub(crate) async fn release_to(&self, run: &ClaimedRun, to: ReleaseTo) -> DbResult<()> {
        let back = Release {
            id: run.id,
            token: run.token,
            attempt: match to {
                ReleaseTo::Front => AttemptOutcome::Drained,
                ReleaseTo::Back => AttemptOutcome::Yielded,
                ReleaseTo::Wait(..) => AttemptOutcome::Limited,
            },
            to,
            reason: None,
            failures: run.failures,
            error: None,
            spent: None,
            wait_key: None,
        };
        run::release(&mut *self.db().await, &back, "test:1").await
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
