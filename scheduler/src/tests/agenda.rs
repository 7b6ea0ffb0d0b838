use std::time::Duration;

use chrono::TimeDelta;
use syncline_shared::db::agenda::look;
use syncline_shared::db::notify::{RUN_QUEUED, Waker};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::schedule::Policy;

use super::world::{World, every, start};
use crate::agenda::Prompts;
use crate::tick::tick_on;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_schedule_that_is_due_does_not_hide_when_the_next_one_is() {
    let world = World::new(1).await;
    let policy = Policy::default();
    let mut soon = every(60, &policy);
    let later = start() + TimeDelta::seconds(60) + TimeDelta::milliseconds(250);
    (soon.key, soon.every_seconds, soon.anchor) = ("soon", Some(3600), Some(later));
    world.schedule(&every(60, &policy)).await;
    world.schedule(&soon).await;
    // The first is due, and stays so while another scheduler has it.
    world.set_clock(start() + TimeDelta::minutes(1)).await;
    let mut other = world.database.begin().await.unwrap();
    sqlx::query("select from syncline.schedule where key = 'tested' for update")
        .execute(&mut *other)
        .await
        .unwrap();
    let agenda = look(&mut *world.db().await).await.unwrap();
    assert!(agenda.has_due_schedules);
    assert_eq!(agenda.until_schedule, Some(0.25));
}

#[tokio::test]
async fn after_a_decision_it_is_looked_again_what_is_due_next() {
    let world = World::new(1).await;
    let policy = Policy::default();
    world.schedule(&every(60, &policy)).await;
    world.set_clock(start() + TimeDelta::minutes(1)).await;
    let life = Lifecycle::new(PATIENCE);
    let prompts = Prompts::default();
    let wake = Waker::start(world.database.clone(), RUN_QUEUED, &life);
    let ticking = tick_on(world.database.clone(), prompts.clone(), wake, life.clone());
    prompts.ticks.notify_one();
    tokio::select! {
        ended = ticking => panic!("it ended: {ended:?}"),
        looked = tokio::time::timeout(PATIENCE, prompts.look.notified()) => looked.unwrap(),
    }
    let agenda = look(&mut *world.db().await).await.unwrap();
    assert!(!agenda.has_due_schedules);
    assert_eq!(agenda.until_schedule, Some(60.0));
}
