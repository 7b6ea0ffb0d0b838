//! The Postgres that is measured on: an embedded one, unless an empty database is named.

use anyhow::Context;
use syncline_postgres::{Embedded, EmbeddedConfig, StopMode};
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::{self, Database};

/// Settings of the embedded server: none of them trades durability for speed.
const SETTINGS: [(&str, &str); 6] = [
    ("shared_buffers", "1GB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "30min"),
    ("synchronous_commit", "on"),
    ("autovacuum", "on"),
    // Counts calls of functions.
    ("track_functions", "pl"),
];

/// Measures on the named database, or on an embedded server that is gone afterwards, over so many connections. The schema is migrated.
pub(super) async fn with<T>(
    database_url: Option<&str>,
    connections: u32,
    measure: impl AsyncFnOnce(&Database, &str) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let measure = async |url: &str| {
        let config = DatabaseConfig::direct(url, connections);
        let database = Database::connect(&config, "syncline bench").await?;
        db::migrate(&database).await?;
        let result = measure(&database, url).await;
        database.close().await;
        result
    };
    if let Some(url) = database_url {
        return measure(url).await;
    }
    let folder = tempfile::tempdir().context("no temporary folder could be made")?;
    let mut config = EmbeddedConfig::new(folder.path().join("postgres"));
    for (name, value) in SETTINGS {
        config = config.setting(name, value);
    }
    let postgres = Embedded::start(config).await?;
    let result = async {
        postgres.ensure_database("bench").await?;
        measure(&postgres.url("bench")).await
    };
    let result = result.await;
    postgres.stop(StopMode::Fast).await?;
    result
}
