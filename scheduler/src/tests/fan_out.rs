use chrono::TimeDelta;
use syncline_shared::db::backfill::{self, NewBackfill};
use syncline_shared::db::run::DataRange;
use syncline_shared::run::Outcome;
use syncline_shared::schedule::Policy;

use super::world::{World, every, start};

#[tokio::test]
async fn a_target_of_thousands_is_enqueued_in_chunks_and_each_connection_once() {
    let world = World::new(2_500).await;
    sqlx::query("update syncline.connection set enabled = false where key in ('c00003', 'c02400')")
        .execute(&world.pool)
        .await
        .unwrap();
    world.schedule(&every(60, &Policy::default())).await;
    world.set_clock(start() + TimeDelta::minutes(1)).await;
    world.decide().await;
    let first = world.batches().await.remove(0);
    assert_eq!((first.runs, first.has_more), (999, true));
    // It does not end before it is whole, although all its runs have.
    world.work_off(Outcome::Succeeded).await;
    world.close().await;
    assert!(world.batches().await[0].ended_at.is_none());
    world.fan_out().await;
    let whole = world.batches().await.remove(0);
    assert_eq!((whole.runs, whole.has_more), (2_498, false));
    let left_out: Vec<_> = whole
        .left_out
        .iter()
        .map(|one| one.connection.as_str())
        .collect();
    assert_eq!(left_out, ["c00003", "c02400"]);
    world.work_off(Outcome::Succeeded).await;
    world.close().await;
    let ended = world.batches().await.remove(0);
    assert_eq!(
        (ended.outcome, ended.succeeded),
        (Some(Outcome::Succeeded), 2_498)
    );
    let twice = "select count(*) - count(distinct connection_id) from syncline.run_history";
    assert_eq!(world.count(twice).await, 0);
}

#[tokio::test]
async fn spread_holds_runs_back_each_by_its_own_time() {
    let world = World::new(50).await;
    let policy = Policy {
        spread_seconds: 600,
        ..Policy::default()
    };
    world.schedule(&every(3600, &policy)).await;
    world.set_clock(start() + TimeDelta::hours(1)).await;
    world.decide().await;
    let different = "select count(distinct due_at) from syncline.run where state = 'waiting'
                     and due_at < syncline.now() + interval '600 s' and due_at >= syncline.now()";
    assert!(world.count(different).await > 45);
}

#[tokio::test]
async fn a_backfill_goes_through_its_range_one_run_after_the_other() {
    let world = World::new(1).await;
    let streams = ["posts".to_owned()];
    let new = NewBackfill {
        connection_id: world.connection("c00000").await,
        streams: &streams,
        range: DataRange {
            from: start() - TimeDelta::days(10),
            to: start(),
        },
        step_seconds: 4 * 86_400,
        priority: 90,
        note: None,
        requested_by: "ana",
    };
    let id = backfill::create(&mut *world.db().await, &new)
        .await
        .unwrap();
    let mut ranges = Vec::new();
    for _ in 0..5 {
        world.fan_out().await;
        // Again, as another scheduler does: there is one at a time.
        world.fan_out().await;
        let runs = world.claim(10).await;
        world.close().await;
        ranges.extend(
            runs.iter()
                .map(|run| (run.range_from.unwrap(), run.range_to.unwrap())),
        );
        world.finish(&runs, Outcome::Succeeded).await;
    }
    let day = |days| start() - TimeDelta::days(days);
    assert_eq!(
        ranges,
        [(day(10), day(6)), (day(6), day(2)), (day(2), day(0))]
    );
    world.close().await;
    let found = backfill::find(&mut *world.db().await, id)
        .await
        .unwrap()
        .unwrap();
    assert!(found.ended_at.is_some() && found.next_from.is_none());
    let batch = world.batches().await.remove(0);
    assert_eq!((batch.runs, batch.succeeded), (3, 3));
}

#[tokio::test]
async fn a_cancelled_backfill_makes_no_further_run() {
    let world = World::new(1).await;
    let streams = ["posts".to_owned()];
    let new = NewBackfill {
        connection_id: world.connection("c00000").await,
        streams: &streams,
        range: DataRange {
            from: start() - TimeDelta::days(10),
            to: start(),
        },
        step_seconds: 86_400,
        priority: 90,
        note: Some("a test"),
        requested_by: "ana",
    };
    let id = backfill::create(&mut *world.db().await, &new)
        .await
        .unwrap();
    world.fan_out().await;
    assert_eq!(world.work_off(Outcome::Succeeded).await, 1);
    assert!(
        backfill::cancel(&mut *world.db().await, id, "bob")
            .await
            .unwrap()
    );
    assert!(
        !backfill::cancel(&mut *world.db().await, id, "bob")
            .await
            .unwrap()
    );
    world.fan_out().await;
    assert_eq!(world.work_off(Outcome::Succeeded).await, 0);
    world.close().await;
    assert!(world.batches().await[0].ended_at.is_some());
}
