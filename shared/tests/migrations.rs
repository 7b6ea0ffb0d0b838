//! Installing and upgrading: without special rights, beside other applications, with runs in the queue, and from several processes at once.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use syncline_postgres::testing::{TestDatabase, empty_database};
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::process::{self, Capacity, ProcessRole};
use syncline_shared::db::run::{self, Claim, ClaimedRun, Finish, Heads};
use syncline_shared::db::{Database, check_schema, history, migrate};
use syncline_shared::ids::ProcessId;
use syncline_shared::run::SYNC_QUEUE;

async fn connect(url: &str) -> Database {
    let config = DatabaseConfig::direct(url, 4);
    Database::connect(&config, "migration tests").await.unwrap()
}

async fn tell<'c>(db: impl sqlx::PgExecutor<'c>, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
        .execute(db)
        .await
        .unwrap();
}

/// A run without a connection or a business: the queue does not ask.
const A_RUN: &str = "insert into syncline.run (queue, state, batch_id, connection_id, business_id, platform, origin, kind, priority,
                                               fair_turn, due_at)
                     select 'sync', 'queued', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'g2a', 'manual', 'full', 50, 1,
                            syncline.now()";

/// Takes all that is queued, and ends it well.
async fn work_off(database: &Database) -> Vec<ClaimedRun> {
    let mut db = database.session().await.unwrap();
    let process = ProcessId::random();
    let capacity = Some(Capacity { slots: 8, share: 8 });
    process::register(&mut db, process, ProcessRole::Worker, "test:1", capacity)
        .await
        .unwrap();
    let claim = Claim {
        queue: SYNC_QUEUE,
        limit: 100,
        rooms: &[],
        room: 100,
        heads: &Heads::default(),
        process,
    };
    let runs = run::claim(&mut db, &claim).await.unwrap();
    let ends: Vec<_> = runs.iter().map(Finish::succeeded).collect();
    let ended = run::finish(&mut db, &ends, "test:1").await.unwrap();
    assert_eq!(ended.len(), runs.len());
    runs
}

/// A role that may do nothing but log in and create schemas in this database, and the database's address for it.
async fn plain_role(database: &TestDatabase) -> (String, String) {
    let mut admin = PgConnection::connect(&database.url()).await.unwrap();
    let role = format!("plain_{}", database.name());
    tell(
        &mut admin,
        &format!(
            "drop role if exists {role};
             create role {role} login password 'plain-password' nosuperuser nocreatedb nocreaterole noreplication;
             grant create on database {} to {role}",
            database.name()
        ),
    )
    .await;
    let options = PgConnectOptions::from_str(&database.url()).unwrap();
    let (host, port) = (options.get_host(), options.get_port());
    let url = format!(
        "postgres://{role}:plain-password@{host}:{port}/{}",
        database.name()
    );
    (role, url)
}

#[tokio::test]
async fn a_plain_role_installs_and_runs_it_without_any_extension() {
    let at = empty_database().await.unwrap();
    let (role, url) = plain_role(&at).await;
    let database = connect(&url).await;
    migrate(&database).await.unwrap();
    let mut db = database.session().await.unwrap();
    for _ in 0..3 {
        tell(&mut *db, A_RUN).await;
    }
    assert_eq!(work_off(&database).await.len(), 3);
    // What housekeeping does: partitions, and the end of connections that are left of a silent process.
    history::keep_partitions(&mut db, 6).await.unwrap();
    let left = process::end_connections(&mut db, "nobody's").await;
    assert_eq!(left.unwrap(), 0);
    let extensions: Vec<String> = sqlx::query_scalar("select extname::text from pg_extension")
        .fetch_all(&mut *db)
        .await
        .unwrap();
    assert_eq!(extensions, ["plpgsql"], "that is there from the start");
    drop(db);
    database.close().await;
    let mut admin = PgConnection::connect(&at.url()).await.unwrap();
    tell(
        &mut admin,
        &format!("drop owned by {role} cascade; drop role {role}"),
    )
    .await;
}

#[tokio::test]
async fn an_application_beside_it_keeps_its_own_record_of_migrations() {
    let at = empty_database().await.unwrap();
    let database = connect(&at.url()).await;
    let mut db = PgConnection::connect(&at.url()).await.unwrap();
    tell(
        &mut db,
        "create table public._sqlx_migrations (
             version bigint primary key, description text not null, installed_on timestamptz not null default now(),
             success boolean not null, checksum bytea not null, execution_time bigint not null);
         insert into public._sqlx_migrations values (20200101000000, 'theirs', now(), true, 'x', 1);
         create table public.run (theirs text)",
    )
    .await;
    let theirs = async |db: &mut PgConnection| -> Vec<String> {
        sqlx::query_scalar("select m::text from public._sqlx_migrations m")
            .fetch_all(db)
            .await
            .unwrap()
    };
    let before = theirs(&mut db).await;
    migrate(&database).await.unwrap();
    migrate(&database).await.unwrap();
    check_schema(&database).await.unwrap();
    assert_eq!(theirs(&mut db).await, before);
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert_eq!(tables, ["_sqlx_migrations", "run"]);
}

#[tokio::test]
async fn an_upgrade_keeps_the_runs_that_wait_and_they_are_worked_off_after_it() {
    let at = empty_database().await.unwrap();
    let database = connect(&at.url()).await;
    // The schema before its latest migration.
    let mut before: Migrator = sqlx::migrate!("../migrations");
    let mut steps = before.migrations.into_owned();
    steps.pop();
    before.migrations = steps.into();
    before.dangerous_set_table_name("syncline._migrations");
    before.create_schema("syncline");
    let mut db = PgConnection::connect(&at.url()).await.unwrap();
    before.run(&mut db).await.unwrap();
    let problem = check_schema(&database).await.unwrap_err().to_string();
    assert!(
        problem.contains("lacks 1 migrations; run: syncline migrate"),
        "{problem}"
    );
    for _ in 0..5 {
        tell(&mut db, A_RUN).await;
    }
    migrate(&database).await.unwrap();
    check_schema(&database).await.unwrap();
    assert_eq!(work_off(&database).await.len(), 5);
}

#[tokio::test]
async fn migrations_that_are_started_at_once_wait_for_each_other() {
    let at = empty_database().await.unwrap();
    let (one, two) = (connect(&at.url()).await, connect(&at.url()).await);
    let (first, second) = tokio::join!(migrate(&one), migrate(&two));
    first.unwrap();
    second.unwrap();
    check_schema(&one).await.unwrap();
}
