//! The databases of tests: shared, migrated, apart from one another, and gone afterwards.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of tests may fail loudly, too"
)]

use std::fs;

use sqlx::{Connection, PgConnection};
use syncline_postgres::StopMode;
use syncline_postgres::testing::{
    PrivateServer, TestServer, TestingError, database, empty_database,
};

#[tokio::test]
async fn each_test_gets_a_migrated_database_of_its_own() {
    let migrations = tempfile::tempdir().unwrap();
    let sql = "create table thing (id int primary key); insert into thing values (1);";
    fs::write(migrations.path().join("1_thing.sql"), sql).unwrap();
    let (one, other) = tokio::join!(database(migrations.path()), database(migrations.path()));
    let (one, other) = (one.unwrap(), other.unwrap());

    let mut in_one = PgConnection::connect(&one.url()).await.unwrap();
    sqlx::query("insert into thing values (2)")
        .execute(&mut in_one)
        .await
        .unwrap();
    let mut in_other = PgConnection::connect(&other.url()).await.unwrap();
    let things: Vec<i32> = sqlx::query_scalar("select id from thing")
        .fetch_all(&mut in_other)
        .await
        .unwrap();
    assert_eq!(things, [1]);

    // Dropped with a client still inside.
    let name = one.name().to_owned();
    drop(one);
    assert!(!exists(&name).await);
    assert!(exists(other.name()).await);

    // A changed folder is another template.
    fs::write(
        migrations.path().join("2_more.sql"),
        "insert into thing values (9)",
    )
    .unwrap();
    let changed = database(migrations.path()).await.unwrap();
    let mut in_changed = PgConnection::connect(&changed.url()).await.unwrap();
    let things: Vec<i32> = sqlx::query_scalar("select id from thing")
        .fetch_all(&mut in_changed)
        .await
        .unwrap();
    assert_eq!(things, [1, 9]);
}

#[tokio::test]
async fn a_broken_migration_is_named_and_not_taken_for_a_template() {
    let migrations = tempfile::tempdir().unwrap();
    fs::write(
        migrations.path().join("1_broken.sql"),
        "create tabel thing ()",
    )
    .unwrap();
    for _ in 0..2 {
        let refused = database(migrations.path()).await.unwrap_err();
        assert!(
            matches!(refused, TestingError::Migrations { .. }),
            "{refused}"
        );
        assert!(refused.to_string().contains("tabel"), "{refused}");
    }
}

#[tokio::test]
async fn databases_of_ended_processes_are_swept() {
    let server = TestServer::shared().await.unwrap();
    let mut admin = PgConnection::connect(&server.url("postgres"))
        .await
        .unwrap();
    // No process can have this number.
    let orphan = "test_2147483646_1_00000000";
    sqlx::raw_sql("create database test_2147483646_1_00000000")
        .execute(&mut admin)
        .await
        .unwrap();
    // This process has been through its own sweep, so another one is asked to come by.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_test_database_is_empty_at_first"])
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(!exists(orphan).await);
}

#[tokio::test]
async fn a_test_database_is_empty_at_first() {
    let fresh = empty_database().await.unwrap();
    let mut connection = PgConnection::connect(&fresh.url()).await.unwrap();
    let query = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    let tables: i64 = sqlx::query_scalar(query)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn a_private_server_can_be_restarted_and_is_gone_afterwards() {
    let mut private = PrivateServer::start(&[("work_mem", "5MB")]).await.unwrap();
    private
        .server_mut()
        .restart(StopMode::Immediate)
        .await
        .unwrap();
    let mut connection = PgConnection::connect(&private.server().url("postgres"))
        .await
        .unwrap();
    let work_mem: String = sqlx::query_scalar("show work_mem")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(work_mem, "5MB");
    let (url, folder) = (
        private.server().url("postgres"),
        private.server().folder().to_path_buf(),
    );
    drop(private);
    assert!(!folder.exists());
    assert!(PgConnection::connect(&url).await.is_err());
}

#[tokio::test]
async fn a_private_server_can_be_away_for_a_time_and_comes_back_on_its_port() {
    let mut private = PrivateServer::start(&[]).await.unwrap();
    let url = private.server().url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("create table kept (n int)")
        .execute(&mut connection)
        .await
        .unwrap();
    private.stop(StopMode::Fast).await.unwrap();
    assert!(PgConnection::connect(&url).await.is_err());
    private.start_again().await.unwrap();
    assert_eq!(private.server().url("postgres"), url);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("select n from kept")
        .fetch_all(&mut connection)
        .await
        .unwrap();
}

async fn exists(name: &str) -> bool {
    let server = TestServer::shared().await.unwrap();
    let mut admin = PgConnection::connect(&server.url("postgres"))
        .await
        .unwrap();
    let query = "select exists (select from pg_database where datname = $1)";
    sqlx::query_scalar(query)
        .bind(name)
        .fetch_one(&mut admin)
        .await
        .unwrap()
}
