//! Handlers that panic, and handlers that block their thread.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use syncline_shared::db::run::ClaimedRun;
use syncline_shared::run::{RunState, WaitReason};

use crate::fleet::{Do, number, start, succeeded, until, until_ended};
use crate::world::World;

#[tokio::test]
async fn a_panic_costs_its_run_a_failure_and_nobody_else_anything() {
    let world = World::new().await;
    let bad = world.business("bad", 1).await;
    let good = world.business("good", 4).await;
    let bad_run = world.enqueue(&bad, Duration::ZERO).await.remove(0).id;
    world.enqueue(&good, Duration::ZERO).await;
    let worker = start(
        &world,
        1,
        Do(move |run: ClaimedRun| async move {
            assert!(run.id != bad_run, "this handler panics on purpose");
            succeeded(&run)
        }),
    );
    until_ended(&world, 4).await;
    until("the panic to be on record", async || {
        world.state(bad_run).await == Some(RunState::Waiting)
    })
    .await;
    let (failures, reason, error): (i32, WaitReason, String) = sqlx::query_as(
        "select failures, wait_reason, last_error ->> 'message' from syncline.run where id = $1",
    )
    .bind(bad_run)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!((failures, reason), (1, WaitReason::Backoff));
    assert!(error.contains("ended abnormally"), "{error}");
    assert!(worker.is_up());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_stops_neither_heartbeats_nor_other_runs() {
    let world = World::new().await;
    let blocker = world.business("blocker", 1).await;
    let others = world.business("others", 12).await;
    let blocking = world.enqueue(&blocker, Duration::ZERO).await.remove(0).id;
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let worker = start(
        &world,
        2,
        Do(move |run: ClaimedRun| {
            let held = held.clone();
            async move {
                if run.id == blocking {
                    held.lock().unwrap().recv().unwrap();
                }
                succeeded(&run)
            }
        }),
    );
    until("the thread to be blocked", async || {
        world.state(blocking).await == Some(RunState::Running)
    })
    .await;
    world.enqueue(&others, Duration::ZERO).await;
    until_ended(&world, 12).await;
    // A whole lease of heartbeats since.
    let seen = "select (extract(epoch from max(seen_at)) * 1000)::bigint from syncline.process where slots = 2";
    let before = number(&world, seen).await;
    until("heartbeats for a lease", async || {
        number(&world, seen).await > before + 3_000
    })
    .await;
    assert_eq!(world.state(blocking).await, Some(RunState::Running));
    release.send(()).unwrap();
    until_ended(&world, 13).await;
    worker.stop().await;
}
