//! What is asked of a schedule's ticks and batches costs the same, however many it has had.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use syncline_shared::db::batch::{self, BatchFilter};
use syncline_shared::db::schedule::list_standings;
use syncline_shared::db::tick::{self, TickFilter};
use syncline_shared::ids::{BatchId, ScheduleId};
use syncline_shared::schedule::TickOutcome;
use uuid::Uuid;

use crate::explain::run;
use crate::fill;
use crate::history::Meter;

/// A schedule that fired every ten seconds until now, but for one tick in a hundred that was skipped and one gap in a hundred; each with
/// a batch.
async fn fill_ticks(db: &mut PgConnection, count: u32) -> ScheduleId {
    run(
        db,
        "insert into syncline.schedule (key, name, trigger, every_seconds, anchor, target)
         values ('often', 'often', 'interval', 10, '2026-01-01', 'everything')",
    )
    .await;
    let ticks = format!(
        "insert into syncline.tick (schedule_id, nominal_at, last_nominal_at, moments, outcome, reason, batch_id)
         select s.id, t.at, t.at + case when n % 100 = 1 then interval '5 seconds' else interval '0' end,
                case when n % 100 = 1 then 2 else 1 end,
                case when n % 100 = 0 then 'skipped' when n % 100 = 1 then 'missed' else 'fired' end,
                case when n % 100 < 2 then 'because' end,
                case when n % 100 >= 2 then md5(n::text)::uuid end
         from syncline.schedule s, generate_series(1, {count}) n,
              lateral (select date_trunc('minute', now()) - n * interval '10 seconds' as at) t"
    );
    run(db, &ticks).await;
    let batches = format!(
        "insert into syncline.batch (id, origin, schedule_id, nominal_at, runs, created_at, ended_at, outcome, records)
         select overlay(syncline.run_id_floor(now() - n * interval '10 seconds')::text placing lpad(to_hex(n), 12, '0') from 25)::uuid,
                'schedule', s.id, now(), 0, now(), now(), 'succeeded', '{{}}'
         from syncline.schedule s, generate_series(1, {count}) n"
    );
    run(db, &batches).await;
    let id: Uuid = sqlx::query_scalar("select id from syncline.schedule")
        .fetch_one(db)
        .await
        .unwrap();
    ScheduleId(id)
}

async fn costs(count: u32) -> BTreeMap<&'static str, i64> {
    let (database, mut db) = fill::database().await;
    let schedule = fill_ticks(&mut db, count).await;
    run(&mut db, "vacuum (analyze)").await;
    let now: DateTime<Utc> =
        sqlx::query_scalar("select max(nominal_at) + interval '10 seconds' from syncline.tick")
            .fetch_one(&mut db)
            .await
            .unwrap();
    let ago = |seconds: i64| Some(now - chrono::TimeDelta::seconds(seconds));
    let of = |outcome| TickFilter {
        outcome: Some(outcome),
        ..TickFilter::default()
    };
    let filters = [
        ("the latest", TickFilter::default(), 50),
        ("fired", of(TickOutcome::Fired), 50),
        ("skipped", of(TickOutcome::Skipped), 50),
        ("none of them", of(TickOutcome::Late), 0),
        (
            "since some minutes",
            TickFilter {
                from: ago(205),
                ..TickFilter::default()
            },
            20,
        ),
        (
            "the page after some",
            TickFilter {
                before: ago(5_000),
                ..TickFilter::default()
            },
            50,
        ),
    ];
    let mut meter = Meter::new(&database).await;
    let mut costs = BTreeMap::new();
    for (name, filter, rows) in filters {
        // The second time, so that nothing has to be looked up or cleaned up for the first time.
        for _ in 0..2 {
            let before = meter.read().await;
            let page = tick::list(&mut meter.session, schedule, &filter, 50)
                .await
                .unwrap();
            assert_eq!(page.len(), rows, "{name}");
            costs.insert(name, meter.read().await - before);
        }
    }
    // The third tick before now fired, nothing is at the second after it, and a gap covers five seconds.
    for (name, seconds, outcome) in [
        ("an instant that fired", 30, Some(TickOutcome::Fired)),
        ("an instant of nothing", 29, None),
        ("an instant within a gap", 1_008, Some(TickOutcome::Missed)),
    ] {
        for _ in 0..2 {
            let before = meter.read().await;
            let at = now - chrono::TimeDelta::seconds(seconds);
            let found = tick::find_covering(&mut meter.session, schedule, at)
                .await
                .unwrap();
            assert_eq!(found.map(|tick| tick.outcome), outcome, "{name}");
            costs.insert(name, meter.read().await - before);
        }
    }
    for _ in 0..2 {
        let before = meter.read().await;
        let found = list_standings(&mut meter.session, &[schedule])
            .await
            .unwrap();
        assert_eq!((found[0].succeeded, found[0].ended), (100, 100));
        costs.insert("how it is doing", meter.read().await - before);
    }
    let middle: Uuid =
        sqlx::query_scalar("select id from syncline.batch order by id offset 5000 limit 1")
            .fetch_one(&mut db)
            .await
            .unwrap();
    let of_schedule = BatchFilter {
        schedule: Some(schedule),
        ..BatchFilter::default()
    };
    let batches = [
        ("batches", BatchFilter::default(), 50),
        (
            "batches after some",
            BatchFilter {
                before: Some(BatchId(middle)),
                ..BatchFilter::default()
            },
            50,
        ),
        (
            "batches of a schedule after some",
            BatchFilter {
                before: Some(BatchId(middle)),
                ..of_schedule
            },
            50,
        ),
        (
            "batches that have ended",
            BatchFilter {
                ended: Some(true),
                ..of_schedule
            },
            50,
        ),
        (
            "batches that have not",
            BatchFilter {
                ended: Some(false),
                ..BatchFilter::default()
            },
            0,
        ),
        (
            "batches of a schedule that have not",
            BatchFilter {
                ended: Some(false),
                ..of_schedule
            },
            0,
        ),
    ];
    for (name, filter, rows) in batches {
        for _ in 0..2 {
            let before = meter.read().await;
            let page = batch::list(&mut meter.session, &filter, 50).await.unwrap();
            assert_eq!(page.len(), rows, "{name}");
            costs.insert(name, meter.read().await - before);
        }
    }
    costs
}

#[tokio::test]
async fn what_is_asked_of_ticks_costs_the_same_with_twenty_times_as_many() {
    let (few, many) = (costs(10_000).await, costs(200_000).await);
    let mut problems = Vec::new();
    for (name, few) in few {
        let many = many[name];
        println!("{name}: {few} buffers, then {many}");
        // An index of twenty times as many entries is a level or two higher, and some questions look into two.
        if many > few + few / 5 + 4 {
            problems.push(format!("{name}: {few} buffers, then {many}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
