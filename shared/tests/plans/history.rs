//! Pages of the history and look-ups by id cost the same, however much has been finished.
//!
//! What is counted is what the product's own functions touch, by the server's count of buffers of the tables of `syncline`.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use syncline_postgres::testing::TestDatabase;
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::history::{RunFilter, find_run, list_runs};
use syncline_shared::db::{Database, Session};
use syncline_shared::ids::{BusinessId, ConnectionId, RunId, ScheduleId};
use syncline_shared::run::RunStatus;
use uuid::Uuid;

use crate::explain::run;
use crate::fill;

/// Entries of a page, unless a caller asks for another number.
const PAGE: i64 = 50;

/// Counts the buffers of what a session does.
pub(crate) struct Meter {
    pub(crate) session: Session,
    outside: PgConnection,
}

impl Meter {
    pub(crate) async fn new(database: &TestDatabase) -> Self {
        let config = DatabaseConfig::direct(database.url(), 2);
        let product = Database::connect(&config, "plan tests").await.unwrap();
        Self {
            session: product.session().await.unwrap(),
            outside: PgConnection::connect(&database.url()).await.unwrap(),
        }
    }

    /// What has been touched so far.
    pub(crate) async fn read(&mut self) -> i64 {
        sqlx::raw_sql("select pg_stat_force_next_flush()")
            .execute(&mut *self.session)
            .await
            .unwrap();
        fill::number(
            &mut self.outside,
            "select sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0))::bigint
             from pg_statio_user_tables where schemaname = 'syncline'",
        )
        .await
    }

    async fn page(&mut self, filter: &RunFilter) -> (usize, i64) {
        // The second time, so that nothing has to be looked up or cleaned up for the first time.
        let mut costs = (0, 0);
        for _ in 0..2 {
            let before = self.read().await;
            let page = list_runs(&mut self.session, filter, PAGE).await.unwrap();
            costs = (page.len(), self.read().await - before);
        }
        costs
    }

    async fn run(&mut self, id: RunId) -> i64 {
        let mut cost = 0;
        // Generic plans are used from the first time on.
        for _ in 0..2 {
            let before = self.read().await;
            assert!(find_run(&mut self.session, id).await.unwrap().is_some());
            cost = self.read().await - before;
        }
        cost
    }
}

async fn ask<T>(db: &mut PgConnection, text: &'static str) -> T
where
    T: for<'a> sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(text).fetch_one(db).await.unwrap()
}

/// Each documented filter, alone and together with the status, and the page after the first.
async fn filters(db: &mut PgConnection) -> Vec<(&'static str, RunFilter)> {
    let business = BusinessId(ask::<Uuid>(db, "select md5('business0')::uuid").await);
    let connection = ConnectionId(ask::<Uuid>(db, "select md5('connection0')::uuid").await);
    let schedule = ScheduleId(ask::<Uuid>(db, "select md5('schedule0')::uuid").await);
    let before = RunId(
        ask::<Uuid>(
            db,
            "select syncline.run_id_floor(syncline.now() - interval '40 days')",
        )
        .await,
    );
    let from: DateTime<Utc> = ask(db, "select syncline.now() - interval '100 days'").await;
    let until: DateTime<Utc> = ask(db, "select syncline.now() - interval '30 days'").await;
    let all = RunFilter::default();
    let with = |statuses: &[RunStatus], filter: &RunFilter| RunFilter {
        statuses: Some(statuses.to_vec()),
        ..filter.clone()
    };
    let of_business = RunFilter {
        business: Some(business),
        ..all.clone()
    };
    let of_connection = RunFilter {
        connection: Some(connection),
        ..all.clone()
    };
    let of_schedule = RunFilter {
        schedule: Some(schedule),
        ..all.clone()
    };
    let of_platform = RunFilter {
        platform: Some("x".to_owned()),
        ..all.clone()
    };
    let failed = [RunStatus::Failed];
    let wrong = [RunStatus::Failed, RunStatus::Partial, RunStatus::Cancelled];
    vec![
        ("all", all.clone()),
        ("failed", with(&failed, &all)),
        ("cancelled", with(&[RunStatus::Cancelled], &all)),
        ("what went wrong", with(&wrong, &all)),
        ("succeeded", with(&[RunStatus::Succeeded], &all)),
        ("of a business", of_business.clone()),
        ("of a connection", of_connection.clone()),
        ("of a schedule", of_schedule.clone()),
        ("of a platform", of_platform.clone()),
        (
            "succeeded of a business",
            with(&[RunStatus::Succeeded], &of_business),
        ),
        (
            "succeeded of a platform",
            with(&[RunStatus::Succeeded], &of_platform),
        ),
        (
            "of a connection and its platform",
            RunFilter {
                platform: of_platform.platform.clone(),
                ..of_connection.clone()
            },
        ),
        (
            "created in some months",
            RunFilter {
                created_from: Some(from),
                created_before: Some(until),
                ..all.clone()
            },
        ),
        (
            "the next page",
            RunFilter {
                before: Some(before),
                ..all.clone()
            },
        ),
        (
            "the next page of a business",
            RunFilter {
                before: Some(before),
                ..of_business
            },
        ),
    ]
}

/// Buffers by question, with so many finished runs.
async fn costs(count: u32) -> BTreeMap<&'static str, i64> {
    let (database, mut db) = fill::database().await;
    fill::neighbours(&mut db).await;
    fill::history(&mut db, count).await;
    run(&mut db, "vacuum (analyze)").await;
    let mut meter = Meter::new(&database).await;
    let mut costs = BTreeMap::new();
    for (name, filter) in filters(&mut db).await {
        let (rows, cost) = meter.page(&filter).await;
        assert_eq!(rows, 50, "a whole page: {name}");
        costs.insert(name, cost);
    }
    let id = RunId(
        ask::<Uuid>(
            &mut db,
            "select id from syncline.run_history where platform = 'x' order by id desc offset 60 limit 1",
        )
        .await,
    );
    costs.insert("one run", meter.run(id).await);
    costs
}

fn assert_same(few: &BTreeMap<&str, i64>, many: &BTreeMap<&str, i64>) {
    let mut problems = Vec::new();
    for (name, few) in few {
        let many = many[name];
        println!("{name}: {few} buffers, then {many}");
        if many * 5 > few * 6 {
            problems.push(format!("{name}: {few} buffers, then {many}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test]
async fn pages_of_the_history_cost_the_same_with_twenty_times_as_many_runs() {
    assert_same(&costs(10_000).await, &costs(200_000).await);
}

#[tokio::test]
#[ignore = "fills a database with ten million runs"]
async fn proof_that_pages_of_the_history_cost_the_same_with_ten_million_runs() {
    let began = std::time::Instant::now();
    assert_same(&costs(10_000).await, &costs(10_000_000).await);
    assert!(began.elapsed() < Duration::from_mins(25));
}

#[tokio::test]
async fn a_filter_for_what_has_not_ended_never_touches_the_history() {
    let (database, mut db) = fill::database().await;
    fill::history(&mut db, 10_000).await;
    fill::runs(&mut db, "queued", 1, 100).await;
    run(&mut db, "vacuum (analyze)").await;
    let mut meter = Meter::new(&database).await;
    let scans = "select sum(seq_scan + coalesce(idx_scan, 0))::bigint from pg_stat_user_tables
                 where relname like 'run_history%'";
    meter.read().await;
    let before = fill::number(&mut db, scans).await;
    for status in [
        RunStatus::Queued,
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Retrying,
    ] {
        let filter = RunFilter {
            statuses: Some(vec![status]),
            ..RunFilter::default()
        };
        let (rows, _) = meter.page(&filter).await;
        assert_eq!(rows, if status == RunStatus::Queued { 50 } else { 0 });
    }
    meter.read().await;
    assert_eq!(fill::number(&mut db, scans).await, before);
}
