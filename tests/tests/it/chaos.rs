//! Chaos, in a minute and at length. What is done and what must hold is in the support library (`tests/src/chaos.rs`).
//!
//! A failure names its seed: `SYNCLINE_CHAOS_SEED=<seed>` brings the same faults back in the same order.

use std::env;
use std::time::Duration;

use syncline_tests::chaos::rage;
use syncline_tests::chaos::schedulers::rage_at_schedulers;
use syncline_tests::chaos::script::Holds;
use syncline_tests::chaos::timetable::{Size, Timetable};
use syncline_tests::{Cluster, Fleet};

#[tokio::test]
async fn chaos_for_a_minute() {
    let recovery = Duration::from_secs(80);
    rage(Duration::from_mins(1), Holds::SHORT, recovery).await;
}

#[tokio::test]
async fn chaos_of_schedulers_leaves_every_moment_in_exactly_one_tick() {
    let size = Size {
        schedules: 50,
        one_unforgiving_in: 5,
    };
    let (length, recovery) = (Duration::from_secs(45), Duration::from_mins(1));
    rage_at_schedulers(length, size, 2, Holds::SHORT, recovery).await;
}

#[tokio::test]
async fn what_chaos_of_schedulers_would_do_wrong_is_seen() {
    let cluster = Cluster::builder().products(15).accounts(1).start().await;
    let fleet = Fleet::connect(&cluster, 1, 1).await;
    let size = Size {
        schedules: 2,
        one_unforgiving_in: 2,
    };
    let timetable = Timetable::write(&cluster, &fleet, size, Duration::from_secs(6)).await;
    timetable
        .wait_until_over(&cluster, Duration::from_mins(1))
        .await;
    assert_eq!(timetable.judge(&cluster).await, [""; 0]);
    let mistakes = [
        ("a moment without a tick", "delete from syncline.tick where ctid = (select min(ctid) from syncline.tick)"),
        (
            "a moment in two ticks",
            "insert into syncline.tick (schedule_id, nominal_at, last_nominal_at, moments, outcome, reason)
             select schedule_id, nominal_at - interval '1 us', nominal_at, 2, 'missed', 'test' from syncline.tick limit 1",
        ),
        (
            "a moment that does not fire",
            "update syncline.tick set outcome = 'skipped', reason = 'test', batch_id = null
             where schedule_id = (select id from syncline.schedule where key = 'often-0')",
        ),
        ("a tick with two batches", "insert into syncline.batch (origin, schedule_id, nominal_at, target, runs, ended_at, outcome, records)
             select origin, schedule_id, nominal_at, target, runs, ended_at, outcome, records from syncline.batch limit 1"),
        ("a run too few", "delete from syncline.run_history where id = (select id from syncline.run_history limit 1)"),
        ("a run that failed", "update syncline.run_history set outcome = 'failed'"),
    ];
    for (mistake, statement) in mistakes {
        let mut db = cluster.connect_to_database().await;
        sqlx::raw_sql("begin").execute(&mut db).await.unwrap();
        let made = sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
        assert!(made.rows_affected() > 0, "{mistake}");
        let found = timetable.judge_on(&mut db).await;
        assert!(!found.is_empty(), "{mistake} is not seen");
    }
}

#[tokio::test]
#[ignore = "a soak: takes ten minutes and more"]
async fn soak_chaos() {
    let recovery = Duration::from_mins(10);
    rage(minutes(), Holds::LONG, recovery).await;
}

#[tokio::test]
#[ignore = "a soak: takes ten minutes and more"]
async fn soak_schedulers() {
    let size = Size {
        schedules: 2_000,
        one_unforgiving_in: 40,
    };
    let recovery = Duration::from_mins(10);
    rage_at_schedulers(minutes(), size, 40, Holds::LONG, recovery).await;
}

/// Ten minutes, or as many as `SYNCLINE_CHAOS_MINUTES` says.
fn minutes() -> Duration {
    Duration::from_mins(env::var("SYNCLINE_CHAOS_MINUTES").map_or(10, |text| {
        text.parse()
            .unwrap_or_else(|error| panic!("SYNCLINE_CHAOS_MINUTES is {text:?}: {error}"))
    }))
}
