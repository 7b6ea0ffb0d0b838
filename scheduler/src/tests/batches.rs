use chrono::TimeDelta;
use syncline_shared::db::run::end_overdue;
use syncline_shared::db::schedule::{ScheduleDraft, SchedulePauseCause};
use syncline_shared::run::Outcome;
use syncline_shared::schedule::Policy;

use super::world::{World, every, start};

#[tokio::test]
async fn a_batch_ends_with_its_last_run_and_counts_what_became_of_each() {
    let world = World::new(4).await;
    world.schedule(&every(60, &Policy::default())).await;
    world.set_clock(start() + TimeDelta::minutes(1)).await;
    world.decide().await;
    let runs = world.claim(4).await;
    for (index, outcome) in [Outcome::Succeeded, Outcome::Partial, Outcome::Failed]
        .into_iter()
        .enumerate()
    {
        world.finish(&runs[index..=index], outcome).await;
        world.close().await;
        assert!(world.batches().await[0].ended_at.is_none());
    }
    sqlx::query("update syncline.run set progress = '{\"posts\": {\"status\": \"done\", \"read\": 20, \"inserted\": 5, \"updated\": 10, \"unchanged\": 4, \"failed\": 1}}'")
        .execute(&world.pool)
        .await
        .unwrap();
    world.set_clock(start() + TimeDelta::minutes(3)).await;
    world.finish(&runs[3..], Outcome::Cancelled).await;
    world.close().await;
    let ended = world.batches().await.remove(0);
    assert_eq!(ended.outcome, Some(Outcome::Partial));
    assert_eq!(
        (
            ended.succeeded,
            ended.partial,
            ended.failed,
            ended.cancelled
        ),
        (1, 1, 1, 1)
    );
    let records = ended.records.unwrap().0;
    assert_eq!(
        (
            records.read,
            records.inserted,
            records.updated,
            records.unchanged,
            records.failed
        ),
        (20, 5, 10, 4, 1)
    );
    assert_eq!(ended.ended_at, Some(start() + TimeDelta::minutes(3)));
}

#[tokio::test]
async fn a_schedule_pauses_itself_after_so_many_failed_batches_in_a_row() {
    let world = World::new(1).await;
    let policy = Policy {
        pause_after_failures: Some(2),
        ..Policy::default()
    };
    let id = world.schedule(&every(60, &policy)).await;
    let (failed, well) = (Outcome::Failed, Outcome::Succeeded);
    for (minute, outcome) in (1..).zip([failed, well, failed, failed, failed]) {
        world.set_clock(start() + TimeDelta::minutes(minute)).await;
        world.decide().await;
        world.work_off(outcome).await;
        world.close().await;
    }
    let found = world.find(id).await;
    assert_eq!(found.pause_cause, Some(SchedulePauseCause::Failures));
    assert!(
        found
            .pause_note
            .is_some_and(|note| note.starts_with("2 batches in a row failed"))
    );
    assert_eq!(world.ticks(id).await.len(), 4);
}

#[tokio::test]
async fn a_waiting_run_ends_when_its_time_limit_is_over() {
    let world = World::new(1).await;
    let policy = Policy::default();
    let draft = ScheduleDraft {
        time_limit_seconds: Some(100),
        ..every(3600, &policy)
    };
    world.schedule(&draft).await;
    world.set_clock(start() + TimeDelta::hours(1)).await;
    world.decide().await;
    let run = world.claim(1).await.remove(0);
    assert_eq!(
        (run.time_limit_seconds, run.seconds_left),
        (Some(100), Some(100.0))
    );
    // As after a failure, before its next attempt.
    sqlx::query(
        "update syncline.run set state = 'waiting', wait_reason = 'backoff', lease_process = null, attempt_started_at = null,
             due_at = syncline.now() + interval '1 hour'",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    assert_eq!(end_overdue(&mut *world.db().await).await.unwrap(), 0);
    world
        .set_clock(start() + TimeDelta::hours(1) + TimeDelta::seconds(101))
        .await;
    assert_eq!(end_overdue(&mut *world.db().await).await.unwrap(), 1);
    world.close().await;
    assert_eq!(world.batches().await[0].outcome, Some(Outcome::Failed));
}
