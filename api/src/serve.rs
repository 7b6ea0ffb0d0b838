//! Serves until the process drains, and says in the database that it is there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use syncline_shared::clock::SystemClock;
use syncline_shared::db::process::{self, ProcessRole};
use syncline_shared::db::{Database, DbResult, answered};
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::telemetry::process_name;
use tokio::net::TcpListener;

use crate::config::ApiConfig;
use crate::routes::router;
use crate::state::AppState;

/// A database that has gone away must not keep the process from ending.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves HTTP on `listener` until `life` drains; then answers what is under way and returns. Fails if a secret is too short,
/// a manifest has problems, or the database does not answer at the start.
pub async fn run(
    config: ApiConfig,
    database: Database,
    life: Lifecycle,
    listener: TcpListener,
) -> anyhow::Result<()> {
    let state = AppState::new(&config, database.clone(), &life, Arc::new(SystemClock))?;
    let id = ProcessId::random();
    register(&database, id)
        .await
        .context("the API could not register itself in the database")?;
    let every = config.lease.heartbeat_every();
    life.spawn(
        "API heartbeat",
        beat(database.clone(), id, every, life.clone()),
    );

    let address = listener
        .local_addr()
        .context("the address of HTTP is unknown")?;
    tracing::info!(address = %address, "the API serves http://{address}");
    let drained = life.draining().clone().cancelled_owned();
    let serving = axum::serve(listener, router(state)).with_graceful_shutdown(drained);
    tokio::select! {
        result = async { serving.await } => result.context("HTTP ended")?,
        () = life.stopping().cancelled() => tracing::warn!("the API stops with requests under way"),
    }
    tracing::info!("the API has stopped");
    Ok(())
}

async fn register(database: &Database, id: ProcessId) -> DbResult<()> {
    let mut db = database.session().await?;
    process::register(&mut db, id, ProcessRole::Api, &process_name(), None).await?;
    db.end().await
}

async fn beat(
    database: Database,
    id: ProcessId,
    every: Duration,
    life: Lifecycle,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = life.draining().cancelled() => break,
        }
        let beaten = async {
            let mut db = database.session().await?;
            process::beat(&mut db, id).await?;
            db.end().await
        };
        if let Err(error) = answered(beaten).await {
            tracing::warn!(%error, "a heartbeat of the API was not written: {error}");
        }
    }
    let goodbye = async {
        let mut db = database.session().await?;
        process::stop(&mut db, id).await?;
        db.end().await
    };
    match tokio::time::timeout(GOODBYE, goodbye).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the API could not say goodbye: {error}"),
        Err(_) => tracing::warn!("the API could not say goodbye: the database does not answer"),
    }
    Ok(())
}
