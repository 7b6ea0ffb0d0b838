//! Wake-ups: a NOTIFY without payload, sent after the commit that gives cause for it.
//!
//! Postgres takes a global lock to commit a transaction that notifies, so wake-ups are merged: the first is sent at once,
//! those that follow within the quiet time become one at its end. None is swallowed. Listeners poll as well, so a lost
//! wake-up costs a second, never a run. A listener asks its server from time to time whether it is still there: a connection
//! whose other end has vanished without a word would stay silent for ever.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::{Database, DbResult};
use crate::lifecycle::Lifecycle;

/// A wake-up for workers: something is queued.
pub const RUN_QUEUED: &str = "syncline_run";
/// A wake-up for schedulers: a schedule has changed.
pub const SCHEDULE_CHANGED: &str = "syncline_schedule";
/// A wake-up for workers: a run under way is to be cancelled, or something was paused.
pub const ORDERS_CHANGED: &str = "syncline_order";

/// A wake-up for workers: a platform told something of a budget, or a host has stopped to answer.
pub const BUDGET_CHANGED: &str = "syncline_budget";

const QUIET: Duration = Duration::from_millis(3);
/// A listener's server is asked so often whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// An answer that takes longer does not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Before a listener is connected anew.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// Sends wake-ups on one channel. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker {
    wanted: Arc<Notify>,
}

impl Waker {
    /// Starts the task that sends.
    pub fn start(database: Database, channel: &'static str, life: &Lifecycle) -> Self {
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
                if let Err(error) = send(&database, channel).await {
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
pub async fn send(database: &Database, channel: &str) -> DbResult<()> {
    let mut db = database.session().await?;
    sqlx::query!("select pg_notify($1, '')", channel)
        .execute(&mut *db)
        .await?;
    db.end().await
}

/// Turns the wake-ups of a channel into calls of `wake`, one more after each connect for what was missed before it. Connects
/// anew for as long as the life lasts; without a direct way to the database it returns at once, and the caller's polling is all
/// there is.
pub async fn listen_on(
    database: Database,
    channel: &'static str,
    wake: Arc<Notify>,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let listening = async {
        loop {
            let ended = async {
                let Some(mut listener) = database.listen(channel).await? else {
                    return DbResult::Ok(());
                };
                wake.notify_one();
                loop {
                    listener.next().await?;
                    wake.notify_one();
                }
            };
            match ended.await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(channel, %error, "listening failed, polling instead: {error}");
                }
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = life.draining().cancelled() => {}
    }
    Ok(())
}

/// Wake-ups of one channel, over a connection of its own.
#[derive(Debug)]
pub struct Listener {
    inner: PgListener,
    /// Listens on the channel again, which changes nothing where the server is still there.
    question: String,
    asked: Instant,
}

impl Listener {
    pub(super) async fn connect(options: &PgConnectOptions, channel: &str) -> DbResult<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ANSWER_WITHIN)
            .connect_lazy_with(options.clone());
        let mut inner = PgListener::connect_with(&pool).await?;
        // A lost connection is an error here, so that the caller knows that wake-ups may have been missed.
        inner.eager_reconnect(false);
        timeout(ANSWER_WITHIN, inner.listen(channel))
            .await
            .map_err(|_| silent())??;
        Ok(Self {
            inner,
            question: format!("listen \"{channel}\""),
            asked: Instant::now(),
        })
    }

    /// Returns at the next wake-up; fails when the connection is lost or its server silent.
    pub async fn next(&mut self) -> DbResult<()> {
        loop {
            let ask_at = self.asked + ASK_EVERY;
            tokio::select! {
                heard = self.inner.try_recv() => {
                    return match heard? {
                        Some(_) => Ok(()),
                        None => Err(silent()),
                    };
                }
                () = tokio::time::sleep_until(ask_at) => {}
            }
            timeout(
                ANSWER_WITHIN,
                self.inner
                    .execute(sqlx::AssertSqlSafe(self.question.as_str())),
            )
            .await
            .map_err(|_| silent())??;
            self.asked = Instant::now();
        }
    }
}

fn silent() -> super::DbError {
    super::DbError::Sqlx(sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the server no longer answers on the listening connection",
    )))
}
