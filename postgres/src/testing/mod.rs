//! Databases for tests: one server for all test processes, a fresh database for each test.
//!
//! The first test process starts the server (folder `target/test-postgres`), the others find it running; it is
//! left running for the next run until `cargo xtask test` or [`stop_shared`] stops it. A test's database is cloned
//! from a template that was migrated once for each state of the migrations folder, which takes tens of
//! milliseconds. Databases of killed tests are swept by the tests that come after.
//!
//! A test that kills or restarts its server takes a [`PrivateServer`] instead.
//!
//! Variables: `SYNCLINE_TEST_POSTGRES_DIR` moves the folder, `SYNCLINE_TEST_FSYNC=off` trades durability for speed
//! (a killed server loses nothing by it, only a machine that loses power).

mod database;
mod private;
mod shared;
mod template;

use std::path::PathBuf;

pub use database::{TestDatabase, database, empty_database, named_database};
pub use private::PrivateServer;
pub use shared::{Stopped, TestServer, shared_dir, stop_shared};

use crate::{EmbeddedConfig, EmbeddedError};

/// A failure to provide a database for a test.
#[derive(Debug, thiserror::Error)]
pub enum TestingError {
    /// The server could not be had.
    #[error(transparent)]
    Server(#[from] EmbeddedError),
    /// A statement failed.
    #[error("test database: could not {doing}: {source}")]
    Sql {
        /// What was being done.
        doing: String,
        /// The database's answer.
        source: sqlx::Error,
    },
    /// The migrations cannot be read or do not apply.
    #[error("test database: migrations in {}: {source}", folder.display())]
    Migrations {
        /// The migrations folder.
        folder: PathBuf,
        /// What is wrong with them.
        source: sqlx::migrate::MigrateError,
    },
    /// A file of the migrations cannot be read.
    #[error("test database: could not read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl TestingError {
    fn sql(doing: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Sql { doing, source }
    }
}

/// Many clients, little memory for each, and no surprise from background work in the middle of a test.
fn test_config(data_dir: PathBuf) -> EmbeddedConfig {
    let fsync = match std::env::var("SYNCLINE_TEST_FSYNC").as_deref() {
        Ok("off") => "off",
        _ => "on",
    };
    EmbeddedConfig::new(data_dir)
        .setting("max_connections", "300")
        .setting("shared_buffers", "256MB")
        .setting("fsync", fsync)
        // A clone is written to the log instead of forcing a checkpoint.
        .setting("max_wal_size", "4GB")
        .setting("log_min_duration_statement", "1s")
}
