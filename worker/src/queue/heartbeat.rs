//! The process's heartbeat: one statement for all its attempts.

use std::sync::Arc;

use syncline_shared::db::{Database, DbResult, process};
use syncline_shared::lifecycle::Lifecycle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Leases;

/// Beats until the process stops. It goes on while the process drains: its attempts still need their leases.
pub(super) async fn beat_on(
    database: Database,
    leases: Arc<Leases>,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let mut due = interval(leases.heartbeat_every());
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = life.stopping().cancelled() => return Ok(()),
        }
        // Trust counts from before the statement was sent.
        let sent = Instant::now();
        match timeout(leases.heartbeat_every() * 2, beat(&database, &leases)).await {
            Ok(Ok(true)) => leases.renewed(sent),
            Ok(Ok(false)) => {
                let lost = leases.lost();
                tracing::warn!(
                    runs = lost,
                    "this process was silent for too long; its {lost} runs were given to others; going on as {}",
                    leases.process()
                );
                if let Err(error) = leases.register(&database).await {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "registering anew failed: {error:#}"
                    );
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "heartbeat failed: {error}"),
            Err(_) => tracing::warn!("heartbeat failed: the database does not answer"),
        }
    }
}

async fn beat(database: &Database, leases: &Leases) -> DbResult<bool> {
    let mut db = database.session().await?;
    let beaten = process::beat(&mut db, leases.process()).await?;
    db.end().await?;
    Ok(beaten)
}
