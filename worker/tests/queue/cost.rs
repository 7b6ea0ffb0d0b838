//! What a worker asks of the database while nothing happens.

use std::sync::Arc;
use std::time::Duration;

use syncline_shared::db::run::ClaimedRun;
use tokio::sync::Semaphore;

use crate::fleet::{Do, crowd, number, start, succeeded, until, until_ended};
use crate::world::World;

/// Transactions of the whole database, by the second, over five heartbeats.
async fn transactions_a_second(world: &World) -> i64 {
    let commits = "select xact_commit from pg_stat_database where datname = current_database()";
    let seen = "select (extract(epoch from max(seen_at)) * 1000)::bigint from syncline.process where slots = 200";
    // Another database's connection would not be counted, but cannot see this one's tables: two questions a second are the test's own.
    let (began, before) = (number(world, seen).await, number(world, commits).await);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let passed = number(world, seen).await - began;
        if passed >= 5_000 {
            return (number(world, commits).await - before) * 1_000 / passed;
        }
    }
}

#[tokio::test]
async fn two_hundred_attempts_under_way_cost_a_few_statements_a_second_as_none_do() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let waits_at = gate.clone();
    let worker = start(
        &world,
        200,
        Do(move |run: ClaimedRun| {
            let gate = waits_at.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                succeeded(&run)
            }
        }),
    );
    until("the worker to be up", async || {
        number(
            &world,
            "select count(*) from syncline.process where slots = 200",
        )
        .await
            == 1
    })
    .await;
    let idle = transactions_a_second(&world).await;
    let many = crowd(&world, "many", 200).await;
    world.enqueue(&many, Duration::ZERO).await;
    until("all to be under way", async || {
        let running = "select count(*) from syncline.run where state = 'running'";
        number(&world, running).await == 200
    })
    .await;
    let busy = transactions_a_second(&world).await;
    // A heartbeat, a poll, a look for orders and the test's own; one heartbeat an attempt would be two hundred.
    assert!(idle <= 10 && busy <= 12, "{idle} idle, {busy} busy");
    gate.add_permits(200);
    until_ended(&world, 200).await;
    worker.stop().await;
}
