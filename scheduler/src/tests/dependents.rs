use chrono::TimeDelta;
use syncline_shared::db::schedule::list_followed;
use syncline_shared::run::Outcome;
use syncline_shared::schedule::{AfterOutcome, Policy, TickCause, TickOutcome};

use super::world::{World, after, every, start};

#[tokio::test]
async fn schedules_follow_batches_that_succeeded_or_all_that_ended() {
    let world = World::new(2).await;
    let policy = Policy::default();
    let first = world.schedule(&every(60, &policy)).await;
    let (ended, succeeded) = (AfterOutcome::Ended, AfterOutcome::Succeeded);
    let always = world
        .schedule(&after("always", first, ended, &policy))
        .await;
    let if_well = world
        .schedule(&after("if-well", first, succeeded, &policy))
        .await;
    let third = world
        .schedule(&after("third", if_well, succeeded, &policy))
        .await;
    for (minute, outcome) in [(1, Outcome::Failed), (2, Outcome::Succeeded)] {
        world.set_clock(start() + TimeDelta::minutes(minute)).await;
        world.decide().await;
        world.work_off(outcome).await;
        world.close().await;
        world.work_off(Outcome::Succeeded).await;
        world.close().await;
        world.work_off(Outcome::Succeeded).await;
        world.close().await;
    }
    let outcomes = async |id| {
        let ticks = world.ticks(id).await;
        assert!(ticks.iter().all(|tick| tick.cause == TickCause::After));
        ticks.iter().map(|tick| tick.outcome).collect::<Vec<_>>()
    };
    let (fired, skipped) = (TickOutcome::Fired, TickOutcome::Skipped);
    assert_eq!(outcomes(always).await, [fired, fired]);
    assert_eq!(outcomes(if_well).await, [skipped, fired]);
    assert_eq!(outcomes(third).await, [fired]);
    let reason = world.ticks(if_well).await[0].reason.clone();
    assert!(reason.is_some_and(|reason| reason.contains("ended as failed")));
}

#[tokio::test]
async fn a_chain_of_schedules_is_followed_over_any_number_of_steps() {
    let world = World::new(1).await;
    let policy = Policy::default();
    let ended = AfterOutcome::Ended;
    let one = world.schedule(&every(60, &policy)).await;
    let two = world.schedule(&after("two", one, ended, &policy)).await;
    let three = world.schedule(&after("three", two, ended, &policy)).await;
    let mut db = world.db().await;
    let chain = list_followed(&mut db, three).await.unwrap();
    let ids: Vec<_> = chain.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [three, two, one]);
    assert_eq!(list_followed(&mut db, one).await.unwrap().len(), 1);
}
