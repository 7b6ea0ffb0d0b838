use chrono::TimeDelta;
use syncline_shared::db::schedule::{self, ScheduleDraft, SchedulePauseCause};
use syncline_shared::run::Outcome;
use syncline_shared::schedule::{
    CatchUp, CatchUpMode, Overlap, Policy, TickCause, TickOutcome, TriggerKind,
};

use super::world::{World, every, start, utc};

#[tokio::test]
async fn a_moment_fires_once_however_often_it_is_looked_at() {
    let world = World::new(1).await;
    let id = world.schedule(&every(60, &Policy::default())).await;
    world.decide().await;
    assert!(world.ticks(id).await.is_empty());
    world.set_clock(start() + TimeDelta::seconds(60)).await;
    for _ in 0..3 {
        world.decide().await;
    }
    let ticks = world.ticks(id).await;
    assert_eq!(ticks.len(), 1);
    assert_eq!(
        (ticks[0].nominal_at, ticks[0].outcome, ticks[0].cause),
        (
            start() + TimeDelta::seconds(60),
            TickOutcome::Fired,
            TickCause::Time
        )
    );
    let found = world.find(id).await;
    assert_eq!(
        (found.fired, found.next_at),
        (1, Some(start() + TimeDelta::seconds(120)))
    );
}

#[tokio::test]
async fn a_year_without_a_scheduler_is_one_gap_row_and_one_run() {
    let world = World::new(1).await;
    let id = world.schedule(&every(10, &Policy::default())).await;
    world.set_clock(utc("2027-01-01T00:00:05Z")).await;
    world.decide().await;
    let ticks = world.ticks(id).await;
    assert_eq!(ticks.len(), 2, "{ticks:#?}");
    assert_eq!(ticks[0].outcome, TickOutcome::Coalesced);
    assert_eq!(ticks[0].nominal_at, start() + TimeDelta::seconds(10));
    assert_eq!(ticks[0].moments + 1, 365 * 8640);
    assert_eq!(
        (ticks[1].nominal_at, ticks[1].outcome),
        (utc("2027-01-01T00:00:00Z"), TickOutcome::Fired)
    );
    assert_eq!(world.count("select count(*) from syncline.run").await, 1);
}

#[tokio::test]
async fn what_is_older_than_the_window_is_missed_and_all_means_up_to_the_cap() {
    let world = World::new(1).await;
    let policy = Policy {
        overlap: Overlap::QueueAll,
        catch_up: CatchUp {
            window_seconds: 3600,
            mode: CatchUpMode::All,
            cap: 3,
        },
        ..Policy::default()
    };
    let id = world.schedule(&every(600, &policy)).await;
    world.set_clock(start() + TimeDelta::hours(24)).await;
    world.decide().await;
    let ticks = world.ticks(id).await;
    let outcomes: Vec<_> = ticks.iter().map(|tick| tick.outcome).collect();
    let late = TickOutcome::Late;
    let missed = TickOutcome::Missed;
    assert_eq!(
        outcomes,
        [missed, missed, late, late, TickOutcome::Fired],
        "{ticks:#?}"
    );
    let moments: i64 = ticks.iter().map(|tick| tick.moments).sum();
    assert_eq!(moments, 144);
    // One after the other, and nothing twice: a run each.
    assert_eq!(world.count("select count(*) from syncline.run").await, 3);
}

#[tokio::test]
async fn a_clock_that_is_set_back_fires_nothing_again() {
    let world = World::new(1).await;
    let id = world.schedule(&every(60, &Policy::default())).await;
    world.set_clock(start() + TimeDelta::seconds(61)).await;
    world.decide().await;
    world.work_off(Outcome::Succeeded).await;
    world.set_clock(start() - TimeDelta::hours(5)).await;
    world.decide().await;
    let mut db = world.db().await;
    // As a person does who changes the schedule just then.
    let found = world.find(id).await;
    let first = found.first_moment(start() + TimeDelta::seconds(1)).unwrap();
    schedule::set_next(&mut db, id, first).await.unwrap();
    world.set_clock(start() + TimeDelta::seconds(62)).await;
    world.decide().await;
    assert_eq!(world.ticks(id).await.len(), 1);
    assert_eq!(
        world.find(id).await.next_at,
        Some(start() + TimeDelta::seconds(120))
    );
}

#[tokio::test]
async fn once_fires_once_and_max_runs_ends_a_schedule() {
    let world = World::new(1).await;
    let policy = Policy::default();
    let once = ScheduleDraft {
        key: "once",
        trigger: TriggerKind::Once,
        every_seconds: None,
        anchor: None,
        run_at: Some(start() + TimeDelta::minutes(5)),
        ..every(1, &policy)
    };
    let once = world.schedule(&once).await;
    let thrice = Policy {
        max_runs: Some(3),
        ..Policy::default()
    };
    let thrice = world.schedule(&every(60, &thrice)).await;
    for minute in 1..10 {
        world.set_clock(start() + TimeDelta::minutes(minute)).await;
        world.decide().await;
        world.work_off(Outcome::Succeeded).await;
    }
    assert_eq!(world.ticks(once).await.len(), 1);
    assert_eq!(world.ticks(thrice).await.len(), 3);
    for id in [once, thrice] {
        assert_eq!(world.find(id).await.due_at, None);
    }
}

#[tokio::test]
async fn a_paused_schedule_has_no_ticks_and_a_resumed_one_none_of_the_meantime() {
    let world = World::new(1).await;
    let id = world.schedule(&every(60, &Policy::default())).await;
    let mut db = world.db().await;
    let by = SchedulePauseCause::Person;
    assert!(
        schedule::pause(&mut db, id, by, "ana", Some("holidays"))
            .await
            .unwrap()
    );
    assert!(!schedule::pause(&mut db, id, by, "bob", None).await.unwrap());
    world.set_clock(start() + TimeDelta::hours(3)).await;
    world.decide().await;
    let found = world.find(id).await;
    assert_eq!(found.paused_by.as_deref(), Some("ana"));
    assert!(world.ticks(id).await.is_empty());
    assert!(schedule::resume(&mut db, id).await.unwrap());
    let now = start() + TimeDelta::hours(3) + TimeDelta::seconds(1);
    let first = world.find(id).await.first_moment(now).unwrap();
    schedule::set_next(&mut db, id, first).await.unwrap();
    world
        .set_clock(start() + TimeDelta::hours(3) + TimeDelta::seconds(60))
        .await;
    world.decide().await;
    let ticks = world.ticks(id).await;
    assert_eq!((ticks.len(), ticks[0].moments), (1, 1), "{ticks:#?}");
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_rests_and_says_why_while_others_go_on() {
    let world = World::new(1).await;
    let broken = world.schedule(&every(60, &Policy::default())).await;
    let policy = Policy::default();
    let sound = ScheduleDraft {
        key: "sound",
        ..every(60, &policy)
    };
    let sound = world.schedule(&sound).await;
    sqlx::query(
        "update syncline.schedule set policy = '{\"of_a_later_release\": 1}' where id = $1",
    )
    .bind(broken.0)
    .execute(&world.pool)
    .await
    .unwrap();
    world.set_clock(start() + TimeDelta::seconds(60)).await;
    world.decide().await;
    let found = world.find(broken).await;
    assert!(
        found
            .problem
            .is_some_and(|problem| problem.contains("of_a_later_release"))
    );
    assert_eq!(found.due_at, None);
    assert_eq!(world.ticks(broken).await[0].outcome, TickOutcome::Skipped);
    assert_eq!(world.ticks(sound).await[0].outcome, TickOutcome::Fired);
}

#[tokio::test]
async fn calls_of_an_inbound_trigger_within_the_debounce_time_make_one_tick() {
    let world = World::new(1).await;
    let policy = Policy::default();
    let draft = ScheduleDraft {
        trigger: TriggerKind::Manual,
        every_seconds: None,
        anchor: None,
        debounce_seconds: 30,
        trigger_secret: Some(b"hash"),
        ..every(1, &policy)
    };
    let id = world.schedule(&draft).await;
    let mut db = world.db().await;
    for second in [0, 10, 29] {
        world.set_clock(start() + TimeDelta::seconds(second)).await;
        let called = schedule::call_trigger(&mut db, b"hash").await.unwrap();
        assert_eq!(called.unwrap().1, Some(start() + TimeDelta::seconds(30)));
        world.decide().await;
    }
    assert!(
        schedule::call_trigger(&mut db, b"other")
            .await
            .unwrap()
            .is_none()
    );
    world.set_clock(start() + TimeDelta::seconds(30)).await;
    world.decide().await;
    world.decide().await;
    let ticks = world.ticks(id).await;
    assert_eq!((ticks.len(), ticks[0].cause), (1, TickCause::Trigger));
    assert_eq!(world.find(id).await.fired, 0);
}
