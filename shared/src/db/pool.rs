//! Connections to the database, with the settings that the queue relies on.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::config::DatabaseConfig;

/// How long a process waits for a connection before it gives up.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a pool and one connection, so that a wrong address is told at once.
pub async fn connect(config: &DatabaseConfig, application: &str) -> anyhow::Result<PgPool> {
    let url = config.database_url.expose_secret();
    let options = PgConnectOptions::from_str(url)
        .ok()
        .filter(|_| url.starts_with("postgres://") || url.starts_with("postgresql://"))
        .context(
            "DATABASE_URL is not a Postgres address; allowed: postgres://user:password@host:port/database",
        )?
        .application_name(application)
        .options([
            // A custom plan made while no run was queued reads the whole table; the generic plan keeps to the indexes.
            ("plan_cache_mode", "force_generic_plan"),
            // A worker that dies or stalls in mid-transaction lets go of its locks before its runs are rescued.
            ("idle_in_transaction_session_timeout", "20s"),
            ("tcp_user_timeout", "20s"),
            ("jit", "off"),
        ]);
    let (host, port) = (options.get_host().to_owned(), options.get_port());
    let cannot_be_reached = || {
        format!(
            "the database at {host}:{port} cannot be reached; check DATABASE_URL and that Postgres is running"
        )
    };
    // A pool tries for as long as a connection may take, and then tells of the time that has passed, not of the cause.
    let probe = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options)).await;
    let probe = probe
        .with_context(|| format!("no answer within {} s", ACQUIRE_TIMEOUT.as_secs()))
        .with_context(cannot_be_reached)?
        .with_context(cannot_be_reached)?;
    probe.close().await.ok();
    PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A task may be cancelled while its BEGIN is under way. sqlx 0.9 then takes the connection for one without a
        // transaction, and whoever got it next would work inside a transaction that nobody commits.
        .after_release(|connection, _| {
            Box::pin(async move {
                // The begin keeps the server from noting at every release that there was nothing to roll back.
                connection.execute("begin; rollback").await?;
                Ok(true)
            })
        })
        .connect_with(options)
        .await
        .with_context(cannot_be_reached)
}
