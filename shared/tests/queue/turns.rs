//! Fair turns: a business with little to do does not wait behind one with much.

use std::time::Duration;

use crate::world::World;

#[tokio::test]
async fn a_late_comer_with_one_run_goes_before_the_rest_of_a_crowd() {
    let world = World::new().await;
    let crowd = world.business("crowd", 50).await;
    let single = world.business("single", 1).await;
    world.enqueue(&crowd, Duration::ZERO).await;
    world.enqueue(&single, Duration::ZERO).await;
    let first: Vec<_> = world
        .claim(2)
        .await
        .iter()
        .map(|run| run.business_id)
        .collect();
    assert!(
        first.contains(&single[0].business_id),
        "the single run is among the first two"
    );
}

#[tokio::test]
async fn runs_of_two_businesses_alternate() {
    let world = World::new().await;
    let left = world.business("left", 10).await;
    let right = world.business("right", 10).await;
    world.enqueue(&left, Duration::ZERO).await;
    world.enqueue(&right, Duration::ZERO).await;
    for _ in 0..10 {
        let pair: Vec<_> = world
            .claim(2)
            .await
            .iter()
            .map(|run| run.business_id)
            .collect();
        assert!(
            pair.contains(&left[0].business_id) && pair.contains(&right[0].business_id),
            "one of each: {pair:?}"
        );
    }
}

#[tokio::test]
async fn an_idle_business_does_not_save_up_turns() {
    let world = World::new().await;
    let busy = world.business("busy", 30).await;
    let idle = world.business("idle", 30).await;
    world.enqueue(&busy, Duration::ZERO).await;
    for run in world.claim(30).await {
        assert!(world.finish(&run).await);
    }
    world.enqueue(&busy, Duration::ZERO).await;
    world.enqueue(&idle, Duration::ZERO).await;
    let firsts: Vec<_> = world
        .claim(10)
        .await
        .iter()
        .map(|run| run.business_id)
        .collect();
    let of_busy = firsts
        .iter()
        .filter(|business| **business == busy[0].business_id)
        .count();
    assert!(
        (4..=6).contains(&of_busy),
        "half of the first ten each, not {of_busy}"
    );
}
