//! A worker that was asked to stop.

use std::sync::Arc;
use std::time::Duration;

use syncline_shared::db::process;
use syncline_shared::db::run::ClaimedRun;
use syncline_shared::ids::ProcessId;
use syncline_shared::run::RunState;
use tokio::sync::Semaphore;

use crate::fleet::{Do, LEASE, number, start, succeeded, until, until_ended};
use crate::world::World;

#[tokio::test]
async fn leases_are_renewed_for_as_long_as_a_drain_waits_for_an_attempt() {
    let world = World::new().await;
    let two = world.business("acme", 2).await;
    let runs = world.enqueue(&two, Duration::ZERO).await;
    let gate = Arc::new(Semaphore::new(0));
    let waits_at = gate.clone();
    let worker = start(
        &world,
        1,
        Do(move |run: ClaimedRun| {
            let gate = waits_at.clone();
            async move {
                drop(gate.acquire().await.unwrap());
                succeeded(&run)
            }
        }),
    );
    until("the first run to begin", async || {
        world.state(runs[0].id).await == Some(RunState::Running)
    })
    .await;
    worker.drain();
    let seen = "select (extract(epoch from max(seen_at)) * 1000)::bigint from syncline.process where slots = 1";
    let before = number(&world, seen).await;
    let lease = i64::try_from(LEASE.as_millis()).unwrap();
    until("heartbeats for two leases", async || {
        number(&world, seen).await > before + 2 * lease
    })
    .await;
    let mut db = world.db().await;
    let silent = process::list_silent_workers(&mut db, ProcessId::random(), LEASE)
        .await
        .unwrap();
    assert!(
        silent.iter().all(|worker| worker.id == world.process),
        "only the test's own process, which never beats: {silent:?}"
    );
    gate.add_permits(1);
    until_ended(&world, 1).await;
    worker.stop().await;
    // Nothing new was begun.
    let second: (i32, i32) =
        sqlx::query_as("select attempt, failures from syncline.run where id = $1")
            .bind(runs[1].id)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(second, (0, 0));
    assert_eq!(world.state(runs[1].id).await, Some(RunState::Queued));
}
