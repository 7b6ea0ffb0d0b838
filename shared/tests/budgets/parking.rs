//! Runs that would only find a budget empty.

use std::time::Duration;

use serde_json::json;
use syncline_shared::budget::{BudgetDefinition, Limits};
use syncline_shared::db::batch::{self, NewBatch};
use syncline_shared::db::budget::{list_budgets, note_draws, park_runs, resume_budget};
use syncline_shared::db::business;
use syncline_shared::db::connection::{self, ConnectionDraft};
use syncline_shared::db::platform;
use syncline_shared::db::run::{self, NewRun, RunTarget};
use syncline_shared::ids::RunId;
use syncline_shared::run::{PRIORITY_MANUAL, RunKind, RunOrigin, SYNC_QUEUE};
use uuid::Uuid;

use crate::world::{World, rolling};

const KEY: &str = "test/parked/";

struct Queue<'a> {
    world: &'a World,
    targets: Vec<RunTarget>,
}

/// A run as far as it matters here.
#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Seen {
    state: String,
    wait_reason: Option<String>,
    wait_key: Option<String>,
    /// In so many milliseconds.
    due_in: i64,
}

impl<'a> Queue<'a> {
    async fn new(world: &'a World, connections: usize) -> Self {
        let mut db = world.database.session().await.unwrap();
        let business = business::create(&mut db, "b", "b").await.unwrap();
        let empty = json!({});
        let mut targets = Vec::new();
        for number in 0..connections {
            let draft = ConnectionDraft {
                key: &format!("c{number}"),
                name: "a connection",
                business_id: business.id,
                platform: "test",
                config: &empty,
                base_url: None,
                streams: None,
                enabled: true,
                limits: &empty,
                retry: &empty,
            };
            targets.push(RunTarget {
                connection_id: connection::create(&mut db, &draft).await.unwrap(),
                business_id: business.id,
                platform: "test".to_owned(),
                retry_of: None,
                delay: Duration::ZERO,
            });
        }
        Self { world, targets }
    }

    /// A run of a connection, of these streams or of all.
    async fn enqueue(&self, connection: usize, streams: Option<&[&str]>) -> RunId {
        let mut db = self.world.database.session().await.unwrap();
        let batch = NewBatch {
            runs: 1,
            ..NewBatch::of_runs("test")
        };
        let streams: Option<Vec<String>> =
            streams.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let new = NewRun {
            queue: SYNC_QUEUE,
            batch_id: batch::create(&mut db, &batch).await.unwrap(),
            schedule_id: None,
            origin: RunOrigin::Manual,
            requested_by: Some("test"),
            kind: RunKind::Full,
            streams: streams.as_deref(),
            page: None,
            priority: PRIORITY_MANUAL,
            delay: Duration::ZERO,
            range: None,
            time_limit_seconds: None,
        };
        let target = &self.targets[connection..=connection];
        run::enqueue(&mut db, &new, target).await.unwrap()[0].id
    }

    async fn draws(&self, connection: usize, stream: &str) {
        let mut db = self.world.database.session().await.unwrap();
        let id = self.targets[connection].connection_id;
        note_draws(
            &mut db,
            id,
            stream,
            &[KEY.to_owned(), "test/other/".to_owned()],
        )
        .await
        .unwrap();
    }

    async fn park(&self) -> usize {
        self.park_but(false).await
    }

    async fn park_but(&self, spares_manual: bool) -> usize {
        let mut db = self.world.database.session().await.unwrap();
        park_runs(
            &mut db,
            KEY,
            Duration::from_secs(90),
            "used up",
            spares_manual,
        )
        .await
        .unwrap()
    }

    async fn see(&self, id: RunId) -> Seen {
        let mut db = self.world.database.session().await.unwrap();
        sqlx::query_as(
            "select state, wait_reason, wait_key,
                    (extract(epoch from due_at - syncline.now()) * 1000)::bigint as due_in
             from syncline.run where id = $1",
        )
        .bind(id.0)
        .fetch_one(&mut *db)
        .await
        .unwrap()
    }

    async fn states(&self, ids: &[RunId]) -> Vec<String> {
        let mut states = Vec::new();
        for id in ids {
            states.push(self.see(*id).await.state);
        }
        states
    }
}

#[tokio::test]
async fn queued_runs_that_draw_on_it_wait_until_there_is_room() {
    let world = World::new().await;
    let queue = Queue::new(&world, 3).await;
    queue.draws(0, "orders").await;
    queue.draws(0, "products").await;
    queue.draws(1, "orders").await;
    let drawing = queue.enqueue(0, Some(&["products", "stock"])).await;
    let all_streams = queue.enqueue(1, None).await;
    let elsewhere = queue.enqueue(2, None).await;
    assert_eq!(queue.park().await, 2);
    for id in [drawing, all_streams] {
        let waits = Seen {
            state: "waiting".to_owned(),
            wait_reason: Some("limit".to_owned()),
            wait_key: Some(KEY.to_owned()),
            due_in: 90_000,
        };
        assert_eq!(queue.see(id).await, waits);
    }
    assert_eq!(queue.see(elsewhere).await.state, "queued");
    assert_eq!(queue.park().await, 0);
}

#[tokio::test]
async fn runs_of_streams_that_were_not_seen_to_draw_on_it_stay() {
    let world = World::new().await;
    let queue = Queue::new(&world, 2).await;
    queue.draws(0, "orders").await;
    let stays = queue.enqueue(0, Some(&["stock"])).await;
    assert_eq!(queue.park().await, 0);
    assert_eq!(queue.see(stays).await.state, "queued");
    queue.draws(0, "stock").await;
    assert_eq!(queue.park().await, 1);
}

#[tokio::test]
async fn running_runs_stay() {
    let world = World::new().await;
    let queue = Queue::new(&world, 1).await;
    queue.draws(0, "orders").await;
    let running = queue.enqueue(0, None).await;
    let blocked = queue.enqueue(0, None).await;
    {
        let mut db = world.database.session().await.unwrap();
        sqlx::query(
            "update syncline.run set state = 'running', lease_process = $2, attempt_started_at = syncline.now()
             where id = $1",
        )
        .bind(running.0)
        .bind(Uuid::from_u128(1))
        .execute(&mut *db)
        .await
        .unwrap();
    }
    assert_eq!(queue.park().await, 0);
    assert_eq!(
        queue.states(&[running, blocked]).await,
        ["running", "blocked"]
    );
}

#[tokio::test]
async fn blocked_runs_are_let_in_one_after_the_other() {
    let world = World::new().await;
    let queue = Queue::new(&world, 2).await;
    queue.draws(0, "orders").await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(queue.enqueue(0, None).await);
    }
    assert_eq!(queue.states(&runs).await, ["queued", "blocked", "blocked"]);
    assert_eq!(queue.park().await, 1);
    assert_eq!(queue.states(&runs).await, ["waiting", "queued", "blocked"]);
    assert_eq!(queue.park().await, 1);
    assert_eq!(queue.states(&runs).await, ["waiting", "waiting", "queued"]);
    assert_eq!(queue.park().await, 1);
    assert_eq!(queue.states(&runs).await, ["waiting", "waiting", "waiting"]);
}

#[tokio::test]
async fn waiting_runs_are_counted_and_are_due_when_a_person_ends_the_wait() {
    let world = World::new().await;
    world
        .take(&[(world.budget("parked", vec![rolling(5, 1_000)]), 1)], 1)
        .await;
    let queue = Queue::new(&world, 2).await;
    queue.draws(0, "orders").await;
    queue.draws(1, "orders").await;
    let first = queue.enqueue(0, None).await;
    queue.enqueue(1, None).await;
    assert_eq!(queue.park().await, 2);
    let mut db = world.database.session().await.unwrap();
    let states = list_budgets(&mut db, None, "", 10).await.unwrap();
    assert_eq!((states[0].key.as_str(), states[0].waiting_runs), (KEY, 2));
    assert_eq!(resume_budget(&mut db, KEY).await.unwrap(), Some(2));
    assert_eq!(queue.see(first).await.due_in, 0);
}

#[tokio::test]
async fn runs_that_a_person_started_are_spared_where_a_part_is_kept_for_them() {
    let world = World::new().await;
    let queue = Queue::new(&world, 1).await;
    queue.draws(0, "orders").await;
    let by_hand = queue.enqueue(0, None).await;
    assert_eq!(queue.park_but(true).await, 0);
    assert_eq!(queue.see(by_hand).await.state, "queued");
    assert_eq!(queue.park_but(false).await, 1);
}

#[tokio::test]
async fn a_connection_that_draws_on_another_account_is_not_parked_for_the_one_before() {
    let world = World::new().await;
    let queue = Queue::new(&world, 1).await;
    let of_account = |scope: &str| BudgetDefinition {
        scope: scope.to_owned(),
        ..world.budget("parked", vec![rolling(5, 1_000)])
    };
    let other = of_account("other");
    for budget in [of_account(""), other.clone()] {
        assert_eq!(world.take(&[(budget, 1)], 1).await.granted(), 1);
    }
    queue.draws(0, "orders").await;
    queue.enqueue(0, None).await;
    let mut db = world.database.session().await.unwrap();
    let connection = queue.targets[0].connection_id;
    note_draws(&mut db, connection, "orders", &[other.key()])
        .await
        .unwrap();
    drop(db);
    assert_eq!(queue.park().await, 0);
}

#[tokio::test]
async fn runs_that_wait_look_again_when_their_limits_change() {
    let world = World::new().await;
    let queue = Queue::new(&world, 2).await;
    for number in 0..2 {
        queue.draws(number, "orders").await;
    }
    let runs = [queue.enqueue(0, None).await, queue.enqueue(1, None).await];
    assert_eq!(queue.park().await, 2);
    let due = async || {
        let mut due = Vec::new();
        for run in &runs {
            due.push(queue.see(*run).await.due_in == 0);
        }
        due
    };
    let mut db = world.database.session().await.unwrap();
    let limits = json!({"parked": {"limit": 9, "per_seconds": 1}});
    let empty = json!({});
    let draft = |limits| ConnectionDraft {
        key: "c1",
        name: "a connection",
        business_id: queue.targets[1].business_id,
        platform: "test",
        config: &empty,
        base_url: None,
        streams: None,
        enabled: true,
        limits,
        retry: &empty,
    };
    let second = queue.targets[1].connection_id;
    connection::update(&mut db, second, &draft(&empty))
        .await
        .unwrap();
    assert_eq!(due().await, [false, false]);
    connection::update(&mut db, second, &draft(&limits))
        .await
        .unwrap();
    assert_eq!(due().await, [false, true]);
    platform::set_limits(&mut db, "test", &Limits::default())
        .await
        .unwrap();
    platform::set_limits(&mut db, "test", &Limits::read(&limits))
        .await
        .unwrap();
    assert_eq!(due().await, [true, true]);
}
