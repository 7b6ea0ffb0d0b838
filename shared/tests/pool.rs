//! The pool gives out clean connections, whatever became of those who had them before.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail loudly, too")]

use secrecy::SecretString;
use sqlx::{Connection, PgPool};
use syncline_postgres::testing::{TestDatabase, empty_database};
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db;

async fn pool_of_one() -> (TestDatabase, PgPool) {
    let database = empty_database().await.unwrap();
    let config = DatabaseConfig {
        database_url: SecretString::from(database.url()),
        database_connections: 1,
    };
    let pool = db::connect(&config, "tests").await.unwrap();
    (database, pool)
}

#[tokio::test]
async fn a_begin_that_is_cancelled_under_way_leaves_no_transaction_behind() {
    let (database, pool) = pool_of_one().await;
    for _ in 0..20 {
        let mut connection = pool.acquire().await.unwrap();
        tokio::select! {
            biased;
            // Polled once, which sends BEGIN, and dropped before the answer.
            _ = connection.begin() => {}
            () = std::future::ready(()) => {}
        }
        drop(connection);
        sqlx::raw_sql("create table if not exists kept (id int)")
            .execute(&pool)
            .await
            .unwrap();
        // Whoever looks from outside sees what the pool's user wrote: it was not written into a forgotten transaction.
        let mut outside = sqlx::PgConnection::connect(&database.url()).await.unwrap();
        let open: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'",
        )
        .fetch_one(&mut outside)
        .await
        .unwrap();
        let kept: bool = sqlx::query_scalar("select to_regclass('kept') is not null")
            .fetch_one(&mut outside)
            .await
            .unwrap();
        assert_eq!((open, kept), (0, true));
        outside.close().await.unwrap();
    }
}
