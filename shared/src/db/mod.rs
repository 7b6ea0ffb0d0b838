//! All SQL of the control tables, one function a question. Each takes a connection, so that it joins any transaction.
//!
//! Statements are checked at compile time against the migrations. Time is read in SQL by `syncline.now()`.

pub mod access;
pub mod agenda;
pub mod backfill;
pub mod batch;
pub mod budget;
pub mod business;
pub mod connection;
mod error;
pub mod history;
pub mod idempotency;
mod migrate;
pub mod notify;
pub mod overview;
pub mod pause;
pub mod platform;
mod pool;
pub mod process;
pub mod run;
pub mod schedule;
mod session;
pub mod status;
pub mod stream_state;
pub mod tick;
pub mod token_refresh;

pub use error::{DbError, DbResult};
pub use migrate::{check_schema, migrate};
pub use pool::{Database, answered, answered_within};
pub use session::{DbConnection, Session, Transaction};

/// The database's clock.
pub async fn now(db: &mut DbConnection) -> DbResult<chrono::DateTime<chrono::Utc>> {
    Ok(sqlx::query_scalar!(r#"select syncline.now() as "now!""#)
        .fetch_one(db)
        .await?)
}
