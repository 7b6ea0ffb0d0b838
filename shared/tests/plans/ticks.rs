//! What is asked of a schedule's ticks and batches costs the same, however many it has had.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use syncline_shared::db::batch::{self, BatchFilter};
use syncline_shared::db::schedule::list_standings;
use syncline_shared::db::tick::{self, TickFilter};
use syncline_shared::db::{DbConnection, DbResult};
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

/// What each question costs, in buffers.
struct Costs {
    meter: Meter,
    schedule: ScheduleId,
    of: BTreeMap<&'static str, i64>,
}

impl Costs {
    /// Asks twice and counts the second time, so that nothing has to be looked up or cleaned up for the first time.
    async fn measure<T>(
        &mut self,
        name: &'static str,
        ask: impl AsyncFn(&mut DbConnection) -> DbResult<T>,
    ) -> T {
        ask(&mut self.meter.session).await.unwrap();
        let before = self.meter.read().await;
        let answer = ask(&mut self.meter.session).await.unwrap();
        self.of.insert(name, self.meter.read().await - before);
        answer
    }

    async fn lists_of_ticks(&mut self, now: DateTime<Utc>) {
        let schedule = self.schedule;
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
        for (name, filter, rows) in filters {
            let page = self
                .measure(name, async |db| tick::list(db, schedule, &filter, 50).await)
                .await;
            assert_eq!(page.len(), rows, "{name}");
        }
    }

    /// The third tick before now fired, nothing is at the second after it, and a gap covers five seconds.
    async fn instants(&mut self, now: DateTime<Utc>) {
        let schedule = self.schedule;
        for (name, seconds, outcome) in [
            ("an instant that fired", 30, Some(TickOutcome::Fired)),
            ("an instant of nothing", 29, None),
            ("an instant within a gap", 1_008, Some(TickOutcome::Missed)),
        ] {
            let at = now - chrono::TimeDelta::seconds(seconds);
            let found = self
                .measure(name, async |db| tick::find_covering(db, schedule, at).await)
                .await;
            assert_eq!(found.map(|tick| tick.outcome), outcome, "{name}");
        }
    }

    async fn standing(&mut self) {
        let schedule = self.schedule;
        let found = self
            .measure("how it is doing", async |db| {
                list_standings(db, &[schedule]).await
            })
            .await;
        assert_eq!((found[0].succeeded, found[0].ended), (100, 100));
    }

    async fn lists_of_batches(&mut self, middle: BatchId) {
        let schedule = self.schedule;
        let of_schedule = BatchFilter {
            schedule: Some(schedule),
            ..BatchFilter::default()
        };
        let batches = [
            ("batches", BatchFilter::default(), 50),
            (
                "batches after some",
                BatchFilter {
                    before: Some(middle),
                    ..BatchFilter::default()
                },
                50,
            ),
            (
                "batches of a schedule after some",
                BatchFilter {
                    before: Some(middle),
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
            let page = self
                .measure(name, async |db| batch::list(db, &filter, 50).await)
                .await;
            assert_eq!(page.len(), rows, "{name}");
        }
    }
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
    let middle: Uuid =
        sqlx::query_scalar("select id from syncline.batch order by id offset 5000 limit 1")
            .fetch_one(&mut db)
            .await
            .unwrap();
    let mut costs = Costs {
        meter: Meter::new(&database).await,
        schedule,
        of: BTreeMap::new(),
    };
    costs.lists_of_ticks(now).await;
    costs.instants(now).await;
    costs.standing().await;
    costs.lists_of_batches(BatchId(middle)).await;
    costs.of
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
