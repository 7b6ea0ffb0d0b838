use chrono::TimeDelta;
use syncline_shared::run::Outcome;
use syncline_shared::schedule::{Overlap, Policy, TickOutcome};

use super::world::{World, every, start};

/// Three ticks while the first run is running. Answers the unfinished runs after it, and the outcomes.
async fn three_ticks(overlap: Overlap) -> (World, Vec<TickOutcome>) {
    let world = World::new(1).await;
    let policy = Policy {
        overlap,
        ..Policy::default()
    };
    let id = world.schedule(&every(60, &policy)).await;
    for minute in 1..=3 {
        world.set_clock(start() + TimeDelta::minutes(minute)).await;
        world.decide().await;
        if minute == 1 {
            assert_eq!(world.claim(1).await.len(), 1);
        }
    }
    let outcomes = world
        .ticks(id)
        .await
        .iter()
        .map(|tick| tick.outcome)
        .collect();
    (world, outcomes)
}

const UNFINISHED: &str = "select count(*) from syncline.run";
const FIRED: TickOutcome = TickOutcome::Fired;
const SKIPPED: TickOutcome = TickOutcome::Skipped;

#[tokio::test]
async fn skip_makes_no_run_beside_an_unfinished_one() {
    let (world, outcomes) = three_ticks(Overlap::Skip).await;
    assert_eq!(outcomes, [FIRED, SKIPPED, SKIPPED]);
    assert_eq!(world.count(UNFINISHED).await, 1);
}

#[tokio::test]
async fn queue_one_lets_one_wait() {
    let (world, outcomes) = three_ticks(Overlap::QueueOne).await;
    assert_eq!(outcomes, [FIRED, FIRED, SKIPPED]);
    assert_eq!(world.count(UNFINISHED).await, 2);
}

#[tokio::test]
async fn queue_all_lets_all_wait() {
    let (world, outcomes) = three_ticks(Overlap::QueueAll).await;
    assert_eq!(outcomes, [FIRED, FIRED, FIRED]);
    assert_eq!(world.count(UNFINISHED).await, 3);
}

#[tokio::test]
async fn cancel_running_replaces_what_is_unfinished() {
    let (world, outcomes) = three_ticks(Overlap::CancelRunning).await;
    assert_eq!(outcomes, [FIRED, FIRED, FIRED]);
    // The first is asked to end, the second was waiting for it and has ended, the third waits.
    let asked = "select count(*) from syncline.run where state = 'running' and cancel_requested_at is not null";
    assert_eq!(world.count(asked).await, 1);
    assert_eq!(world.count(UNFINISHED).await, 2);
    let ended = "select count(*) from syncline.run_history where outcome = 'cancelled'";
    assert_eq!(world.count(ended).await, 1);
}

#[tokio::test]
async fn runs_of_other_origin_do_not_count_as_overlap() {
    let world = World::new(1).await;
    let policy = Policy::default();
    let id = world.schedule(&every(60, &policy)).await;
    sqlx::query(
        "insert into syncline.run (queue, state, batch_id, connection_id, business_id, platform, origin, kind, priority, fair_turn, due_at)
         select 'sync', 'queued', gen_random_uuid(), id, business_id, platform, 'manual', 'full', 20, 1, syncline.now()
         from syncline.connection",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    world.set_clock(start() + TimeDelta::minutes(1)).await;
    world.decide().await;
    assert_eq!(world.ticks(id).await[0].outcome, FIRED);
    assert_eq!(world.work_off(Outcome::Succeeded).await, 2);
}
