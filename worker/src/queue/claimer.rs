//! The claim task: keeps the slots filled.
//!
//! It claims as many runs as there are free places, and sleeps until a place is free, a wake-up arrives, or the poll interval
//! is over. Runs are not claimed ahead of a free slot: a claimed run that waits in a process is out of everybody else's reach.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use syncline_shared::db::{DbResult, notify, run};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::SYNC_QUEUE;
use tokio::sync::Notify;

use super::Leases;
use super::buffer::Buffer;

/// The fallback when a wake-up is lost, or cannot be had.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Before a database that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Claims until the process drains.
pub(super) async fn claim_on(
    pool: PgPool,
    leases: Arc<Leases>,
    buffer: Buffer,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let queued = Arc::new(Notify::new());
    life.spawn(
        "run listener",
        listen_on(pool.clone(), queued.clone(), life.clone()),
    );
    let draining = life.draining();
    while !draining.is_cancelled() {
        let places = leases.free_places();
        if places == 0 {
            tokio::select! {
                () = leases.place_freed() => {}
                () = draining.cancelled() => break,
            }
            continue;
        }
        let pause = match claim(&pool, &leases, &buffer, places).await {
            // A full claim: there may be more.
            Ok(claimed) if claimed == places => continue,
            Ok(_) => POLL_EVERY,
            Err(error) => {
                tracing::warn!(%error, "claiming failed: {error}");
                adopt(&pool, &leases, &buffer).await;
                RETRY_AFTER
            }
        };
        tokio::select! {
            () = queued.notified() => {}
            () = leases.place_freed() => {}
            () = tokio::time::sleep(pause) => {}
            () = draining.cancelled() => break,
        }
    }
    Ok(())
}

async fn claim(pool: &PgPool, leases: &Leases, buffer: &Buffer, places: usize) -> DbResult<usize> {
    let mut db = pool.acquire().await?;
    let process = leases.process();
    let limit = i64::try_from(places).unwrap_or(i64::MAX);
    let mut runs = run::claim(&mut db, SYNC_QUEUE, limit, process, leases.name()).await?;
    let claimed = runs.len();
    runs.retain(|run| leases.enter(run, process));
    buffer.push(runs);
    Ok(claimed)
}

/// Finds runs that were claimed by a statement whose answer was lost, and takes them up.
async fn adopt(pool: &PgPool, leases: &Leases, buffer: &Buffer) {
    let process = leases.process();
    let found = async {
        let mut db = pool.acquire().await?;
        run::list_leased(&mut db, process).await
    };
    // If this fails as well, the next failed claim, or at last the rescue, finds them.
    let Ok(mut runs) = found.await else { return };
    runs.retain(|run| !leases.holds(run.id, run.token) && leases.enter(run, process));
    if !runs.is_empty() {
        tracing::info!(
            runs = runs.len(),
            "took up {} runs whose claim's answer was lost",
            runs.len()
        );
        buffer.push(runs);
    }
}

/// Turns wake-ups of the database into wake-ups of the claim task. Reconnects for as long as it lives.
async fn listen_on(pool: PgPool, queued: Arc<Notify>, life: Lifecycle) -> anyhow::Result<()> {
    while !life.draining().is_cancelled() {
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(notify::RUN_QUEUED).await?;
            // Whatever was queued before the LISTEN took effect.
            queued.notify_one();
            loop {
                listener.recv().await?;
                queued.notify_one();
            }
        };
        let ended: sqlx::Result<()> = tokio::select! {
            ended = listening => ended,
            () = life.draining().cancelled() => return Ok(()),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "listening for runs failed, polling instead: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY_AFTER) => {}
            () = life.draining().cancelled() => {}
        }
    }
    Ok(())
}
