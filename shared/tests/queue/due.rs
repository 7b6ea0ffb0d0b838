//! Due times are kept to the millisecond: nothing runs a moment early.

use std::time::Duration;

use chrono::TimeDelta;
use syncline_shared::db::run;
use syncline_shared::run::{RunState, WaitReason};

use crate::clock;
use crate::world::World;

async fn move_due_at(world: &World, at: chrono::DateTime<chrono::Utc>) -> usize {
    clock::set(&world.pool, &at.to_rfc3339()).await;
    run::move_due(&mut *world.db().await, 10).await.unwrap().0
}

#[tokio::test]
async fn a_delayed_run_is_ready_at_its_millisecond_and_not_before() {
    let world = World::new().await;
    let began = clock::stop(&world.pool).await;
    let one = world.business("acme", 1).await;
    let delay = Duration::from_millis(1_700);
    let run = world.enqueue(&one, delay).await.remove(0);
    let early = began + TimeDelta::milliseconds(1_699);
    assert_eq!(move_due_at(&world, early).await, 0);
    assert!(world.claim(1).await.is_empty());
    let due = began + TimeDelta::milliseconds(1_700);
    assert_eq!(move_due_at(&world, due).await, 1);
    assert_eq!(world.claim(1).await[0].id, run.id);
}

#[tokio::test]
async fn what_is_to_be_tried_again_later_is_claimed_by_nobody_before() {
    let world = World::new().await;
    clock::stop(&world.pool).await;
    let two = world.business("acme", 2).await;
    world.enqueue(&two[..1], Duration::ZERO).await;
    for reason in [WaitReason::Limit, WaitReason::Backoff] {
        let run = world.claim(1).await.remove(0);
        let wait = Duration::from_millis(5_500);
        world.release(&run, Some((reason, wait))).await.unwrap();
        let healthy = world.enqueue(&two[1..], Duration::ZERO).await.remove(0);
        let claimed = world.claim(10).await;
        let claimed_ids: Vec<_> = claimed.iter().map(|run| run.id).collect();
        assert_eq!(claimed_ids, [healthy.id], "{reason}: only what is healthy");
        assert!(world.finish(&claimed[0]).await);
        let now = clock::read(&world.pool).await;
        assert_eq!(
            move_due_at(&world, now + TimeDelta::milliseconds(5_499)).await,
            0
        );
        assert_eq!(
            move_due_at(&world, now + TimeDelta::milliseconds(5_500)).await,
            1
        );
        assert_eq!(world.state(run.id).await, Some(RunState::Queued));
    }
}
