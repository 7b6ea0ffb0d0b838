//! Wake-ups: a NOTIFY without payload, sent after the commit that gives cause for it.
//!
//! Postgres takes a global lock to commit a transaction that notifies, so wake-ups are merged: the first is sent at once,
//! those that follow within the quiet time become one at its end. None is swallowed. Listeners poll as well, so a lost
//! wake-up costs a second, never a run.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Notify;

use super::DbResult;
use crate::lifecycle::Lifecycle;

/// A wake-up for workers: something is queued.
pub const RUN_QUEUED: &str = "syncline_run";
/// A wake-up for schedulers: a schedule has changed.
pub const SCHEDULE_CHANGED: &str = "syncline_schedule";

const QUIET: Duration = Duration::from_millis(20);

/// Sends wake-ups on one channel. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker {
    wanted: Arc<Notify>,
}

impl Waker {
    /// Starts the task that sends.
    pub fn start(pool: PgPool, channel: &'static str, life: &Lifecycle) -> Self {
        let wanted = Arc::new(Notify::new());
        let sender = wanted.clone();
        let stopping = life.stopping().clone();
        let draining = life.draining().clone();
        life.spawn("wake-up", async move {
            loop {
                tokio::select! {
                    () = sender.notified() => {}
                    () = draining.cancelled() => break,
                }
                if let Err(error) = send(&pool, channel).await {
                    tracing::warn!(channel, %error, "a wake-up could not be sent: {error}");
                }
                tokio::select! {
                    () = tokio::time::sleep(QUIET) => {}
                    () = stopping.cancelled() => break,
                }
            }
            Ok(())
        });
        Self { wanted }
    }

    /// Asks for a wake-up. Call it after the commit.
    pub fn wake(&self) {
        self.wanted.notify_one();
    }
}

/// Sends one wake-up now.
pub async fn send(pool: &PgPool, channel: &str) -> DbResult<()> {
    sqlx::query!("select pg_notify($1, '')", channel)
        .execute(pool)
        .await?;
    Ok(())
}
