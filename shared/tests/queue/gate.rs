//! One run a connection is ready or running; the others wait their turn and none is forgotten.

use std::time::Duration;

use syncline_shared::db::run;
use syncline_shared::run::{RunState, WaitReason};

use crate::world::World;

#[tokio::test]
async fn of_one_connections_runs_only_the_first_can_be_claimed() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    let thrice = [one.clone(), one.clone(), one.clone()].concat();
    let states: Vec<_> = world
        .enqueue(&thrice, Duration::ZERO)
        .await
        .iter()
        .map(|run| run.state)
        .collect();
    assert_eq!(
        states,
        [RunState::Queued, RunState::Blocked, RunState::Blocked]
    );
    assert_eq!(world.claim(10).await.len(), 1);
    assert_eq!(world.claim(10).await.len(), 0);
}

#[tokio::test]
async fn finishing_a_run_promotes_the_next_one_of_its_connection() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    let runs = world
        .enqueue(&[one.clone(), one].concat(), Duration::ZERO)
        .await;
    let first = world.claim(10).await.remove(0);
    assert!(world.finish(&first).await);
    assert_eq!(world.state(first.id).await, None);
    assert_eq!(world.state(runs[1].id).await, Some(RunState::Queued));
}

#[tokio::test]
async fn a_waiting_run_leaves_the_gate_to_the_next() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    let runs = world
        .enqueue(&[one.clone(), one].concat(), Duration::ZERO)
        .await;
    let first = world.claim(10).await.remove(0);
    let hour = Some((WaitReason::Limit, Duration::from_hours(1)));
    world.release(&first, hour).await.unwrap();
    assert_eq!(world.state(first.id).await, Some(RunState::Waiting));
    assert_eq!(world.state(runs[1].id).await, Some(RunState::Queued));
}

#[tokio::test]
async fn a_drained_run_keeps_the_gate() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    let runs = world
        .enqueue(&[one.clone(), one].concat(), Duration::ZERO)
        .await;
    let first = world.claim(10).await.remove(0);
    world.release(&first, None).await.unwrap();
    assert_eq!(world.state(first.id).await, Some(RunState::Queued));
    assert_eq!(world.state(runs[1].id).await, Some(RunState::Blocked));
}

#[tokio::test]
async fn a_wait_that_is_over_ends_behind_the_connections_running_run() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    let late = world
        .enqueue(&one, Duration::from_millis(1))
        .await
        .remove(0);
    assert_eq!(late.state, RunState::Waiting);
    let other = world.enqueue(&one, Duration::ZERO).await.remove(0);
    let running = world.claim(10).await.remove(0);
    assert_eq!(running.id, other.id);
    // The database's clock has passed the millisecond: transactions lie between.
    let (moved, queued) = run::move_due(&mut *world.db().await, 10).await.unwrap();
    assert_eq!((moved, queued), (1, 0));
    assert_eq!(world.state(late.id).await, Some(RunState::Blocked));
    assert!(world.finish(&running).await);
    assert_eq!(world.state(late.id).await, Some(RunState::Queued));
}

#[tokio::test]
async fn a_stranded_run_is_found_by_the_sweep() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    let runs = world
        .enqueue(&[one.clone(), one].concat(), Duration::ZERO)
        .await;
    // As if the second had been enqueued while the first was being finished.
    sqlx::query("delete from syncline.run where id = $1")
        .bind(runs[0].id)
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(world.state(runs[1].id).await, Some(RunState::Blocked));
    assert_eq!(
        run::promote_stranded(&mut *world.db().await).await.unwrap(),
        1
    );
    assert_eq!(world.state(runs[1].id).await, Some(RunState::Queued));
}

#[tokio::test]
async fn enqueues_that_race_for_a_gate_neither_fail_nor_both_win() {
    let world = World::new().await;
    let targets = world.business("acme", 20).await;
    let (left, right) = tokio::join!(
        world.enqueue(&targets, Duration::ZERO),
        world.enqueue(&targets, Duration::ZERO)
    );
    let queued = left
        .iter()
        .chain(&right)
        .filter(|run| run.state == RunState::Queued)
        .count();
    assert_eq!(left.len() + right.len(), 40);
    assert_eq!(queued, 20);
}
