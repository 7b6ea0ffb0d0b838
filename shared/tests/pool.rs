//! The pool gives out clean connections, whatever became of those who had them before.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail loudly, too")]

use sqlx::Connection;
use syncline_postgres::testing::{TestDatabase, empty_database};
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::Database;

async fn pool_of_one() -> (TestDatabase, Database) {
    let server = empty_database().await.unwrap();
    let config = DatabaseConfig::direct(server.url(), 1);
    let database = Database::connect(&config, "tests").await.unwrap();
    (server, database)
}

#[tokio::test]
async fn a_begin_that_is_cancelled_under_way_leaves_no_transaction_behind() {
    let (server, database) = pool_of_one().await;
    for _ in 0..20 {
        tokio::select! {
            biased;
            // Polled once or twice, which sends BEGIN, and dropped before the answer.
            _ = database.begin() => {}
            () = tokio::task::yield_now() => {}
        }
        let mut session = database.session().await.unwrap();
        sqlx::raw_sql("create table if not exists kept (id int)")
            .execute(&mut *session)
            .await
            .unwrap();
        session.end().await.unwrap();
        // Whoever looks from outside sees what the pool's user wrote: it was not written into a forgotten transaction.
        let mut outside = sqlx::PgConnection::connect(&server.url()).await.unwrap();
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
