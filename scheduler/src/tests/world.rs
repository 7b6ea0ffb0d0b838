//! A database with a clock of its own, a business with connections, and the scheduler's steps by hand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use syncline_postgres::testing::{self, TestDatabase};
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::batch::{self, BatchFilter, BatchView};
use syncline_shared::db::connection::{self, ConnectionDraft};
use syncline_shared::db::notify::{RUN_QUEUED, Waker};
use syncline_shared::db::process::{self, Capacity, ProcessRole};
use syncline_shared::db::run::{self, Claim, ClaimedRun, Finish, Heads};
use syncline_shared::db::schedule::{self, Schedule, ScheduleDraft};
use syncline_shared::db::tick::{self, Tick, TickFilter};
use syncline_shared::db::{Database, Session, business};
use syncline_shared::ids::{ConnectionId, ProcessId, ScheduleId};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::{AttemptOutcome, Outcome, RetryPolicy, RunKind, SYNC_QUEUE};
use syncline_shared::schedule::{AfterOutcome, Policy, TargetKind, TriggerKind};
use tokio::sync::Notify;

use crate::services::{BatchCloser, FanOut, Service};
use crate::tick::decide_some;

pub(super) struct World {
    pub(super) database: Database,
    /// For looking from outside, and for the clock.
    pub(super) pool: PgPool,
    process: ProcessId,
    wake: Waker,
    _database: TestDatabase,
}

pub(super) fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The start of all tests.
pub(super) fn start() -> DateTime<Utc> {
    utc("2026-01-01T00:00:00Z")
}

/// A schedule of everything, every so many seconds from [`start`] on.
pub(super) fn every(seconds: i64, policy: &Policy) -> ScheduleDraft<'_> {
    const NO_RETRY: &RetryPolicy = &RetryPolicy {
        base_seconds: None,
        factor: None,
        cap_seconds: None,
        jitter: None,
        max_failures: None,
    };
    ScheduleDraft {
        key: "tested",
        name: "Tested",
        trigger: TriggerKind::Interval,
        cron: None,
        zone: "UTC",
        every_seconds: Some(seconds),
        anchor: Some(start()),
        run_at: None,
        after: None,
        target: TargetKind::Everything,
        connection_id: None,
        business_id: None,
        platform: None,
        streams: None,
        kind: RunKind::Incremental,
        page: None,
        priority: 50,
        policy,
        retry: NO_RETRY,
        time_limit_seconds: None,
        debounce_seconds: 0,
        trigger_secret: None,
        without_trigger: false,
        enabled: true,
    }
}

/// A schedule that follows another.
pub(super) fn after<'a>(
    key: &'a str,
    schedule: ScheduleId,
    outcome: AfterOutcome,
    policy: &'a Policy,
) -> ScheduleDraft<'a> {
    ScheduleDraft {
        key,
        trigger: TriggerKind::After,
        every_seconds: None,
        anchor: None,
        after: Some((schedule, outcome)),
        ..every(1, policy)
    }
}

impl World {
    /// With so many connections. The clock stands at [`start`].
    pub(super) async fn new(connections: i32) -> Self {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let database = testing::database(&migrations).await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect(&database.url())
            .await
            .unwrap();
        sqlx::raw_sql(
            "create table public.clock (at timestamptz not null);
             insert into public.clock values ('2026-01-01 00:00:00+00');
             create or replace function syncline.now() returns timestamptz
             language sql stable parallel safe as 'select at from public.clock'",
        )
        .execute(&pool)
        .await
        .unwrap();
        let config = DatabaseConfig::direct(database.url(), 8);
        let connected = Database::connect(&config, "scheduler tests").await.unwrap();
        let life = Lifecycle::new(Duration::from_secs(1));
        let wake = Waker::start(connected.clone(), RUN_QUEUED, &life);
        let process = ProcessId::random();
        let mut db = connected.session().await.unwrap();
        let capacity = Some(Capacity { slots: 8, share: 8 });
        process::register(&mut db, process, ProcessRole::Worker, "test:1", capacity)
            .await
            .unwrap();
        let business = business::create(&mut db, "acme", "Acme").await.unwrap().id;
        let empty = json!({});
        for number in 0..connections.min(20) {
            let draft = ConnectionDraft {
                key: &format!("c{number:05}"),
                name: "a connection",
                business_id: business,
                platform: "g2a",
                config: &empty,
                base_url: None,
                streams: None,
                enabled: true,
                limits: &empty,
                retry: &empty,
            };
            connection::create(&mut db, &draft).await.unwrap();
        }
        sqlx::query(
            "insert into syncline.connection (business_id, key, name, platform)
             select $1, 'c' || lpad(n::text, 5, '0'), 'a connection', 'g2a' from generate_series(20, $2 - 1) n",
        )
        .bind(business.0)
        .bind(connections)
        .execute(&pool)
        .await
        .unwrap();
        drop(db);
        Self {
            database: connected,
            pool,
            process,
            wake,
            _database: database,
        }
    }

    pub(super) async fn db(&self) -> Session {
        self.database.session().await.unwrap()
    }

    /// Sets the database's clock.
    pub(super) async fn set_clock(&self, at: DateTime<Utc>) {
        sqlx::query("update public.clock set at = $1")
            .bind(at)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Creates a schedule whose first moment is the first after the clock's time.
    pub(super) async fn schedule(&self, draft: &ScheduleDraft<'_>) -> ScheduleId {
        let mut db = self.db().await;
        let id = schedule::create(&mut db, draft).await.unwrap();
        let now = syncline_shared::db::now(&mut db).await.unwrap();
        let made = self.find(id).await;
        let first = made.first_moment(now + TimeDelta::microseconds(1)).unwrap();
        schedule::set_next(&mut db, id, first).await.unwrap();
        id
    }

    pub(super) async fn find(&self, id: ScheduleId) -> Schedule {
        let found = schedule::find(&mut *self.db().await, &id.to_string()).await;
        found.unwrap().unwrap()
    }

    pub(super) async fn connection(&self, key: &str) -> ConnectionId {
        let found = connection::find(&mut *self.db().await, key).await.unwrap();
        found.unwrap().id
    }

    /// Decides all that is due, as one scheduler does.
    pub(super) async fn decide(&self) {
        while decide_some(&self.database, 500).await.unwrap().is_some() {}
    }

    /// The ticks of a schedule, oldest first.
    pub(super) async fn ticks(&self, id: ScheduleId) -> Vec<Tick> {
        let found = tick::list(&mut *self.db().await, id, &TickFilter::default(), 100_000).await;
        let mut ticks = found.unwrap();
        ticks.reverse();
        ticks
    }

    /// All batches, oldest first.
    pub(super) async fn batches(&self) -> Vec<BatchView> {
        let found = batch::list(&mut *self.db().await, &BatchFilter::default(), 1000).await;
        let mut batches = found.unwrap();
        batches.reverse();
        batches
    }

    /// Claims up to so many runs.
    pub(super) async fn claim(&self, limit: i64) -> Vec<ClaimedRun> {
        let claim = Claim {
            queue: SYNC_QUEUE,
            limit,
            rooms: &[],
            room: limit,
            heads: &Heads::default(),
            process: self.process,
        };
        run::claim(&mut *self.db().await, &claim).await.unwrap()
    }

    /// Ends claimed runs.
    pub(super) async fn finish(&self, runs: &[ClaimedRun], outcome: Outcome) {
        let ends: Vec<_> = runs
            .iter()
            .map(|run| Finish {
                outcome,
                attempt: AttemptOutcome::from(outcome),
                ..Finish::succeeded(run)
            })
            .collect();
        let ended = run::finish(&mut *self.db().await, &ends, "test:1")
            .await
            .unwrap();
        assert_eq!(ended.len(), runs.len());
    }

    /// Claims all that can be claimed, and ends it.
    pub(super) async fn work_off(&self, outcome: Outcome) -> usize {
        let mut done = 0;
        loop {
            let runs = self.claim(1000).await;
            if runs.is_empty() {
                return done;
            }
            done += runs.len();
            self.finish(&runs, outcome).await;
        }
    }

    /// Closes batches whose runs have ended.
    pub(super) async fn close(&self) {
        let mut closer = BatchCloser::new(
            self.database.clone(),
            Arc::new(Notify::new()),
            self.wake.clone(),
        );
        closer.pass().await.unwrap();
    }

    /// Goes on with fan-outs and backfills.
    pub(super) async fn fan_out(&self) {
        let mut service = FanOut::new(
            self.database.clone(),
            Arc::new(Notify::new()),
            self.wake.clone(),
        );
        service.pass().await.unwrap();
    }

    /// A number that the database answers.
    pub(super) async fn count(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}
