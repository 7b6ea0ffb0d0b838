//! Ticks: due schedules become tick rows, batches and runs, and move on, in one transaction.
//!
//! Schedules' rows are locked from the first statement to the COMMIT; other schedulers pass over them. Should two ever decide the
//! same due moment, the tick's unique constraint lets one of them through.

mod decide;
mod dependents;
mod record;

use std::time::Duration;

use syncline_shared::db::notify::Waker;
use syncline_shared::db::{self, Database, DbError, DbResult, answered_within, schedule};
use syncline_shared::lifecycle::Lifecycle;

use crate::agenda::Prompts;
use decide::decide;
pub(crate) use dependents::follow;

/// Schedules that one transaction decides at most.
const AT_ONCE: i64 = 500;
/// Ticks of targets with very many connections take a while; longer than this, the connection is taken for silent.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);
/// A schedule that cannot be decided is tried again after so long.
const POSTPONED_BY: Duration = Duration::from_secs(30);

/// Decides due ticks, whenever some are due, until the life drains.
pub(crate) async fn tick_on(
    database: Database,
    prompts: Prompts,
    wake: Waker,
    life: Lifecycle,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = prompts.ticks.notified() => {}
            () = life.draining().cancelled() => return Ok(()),
        }
        let mut at_once = AT_ONCE;
        while !life.draining().is_cancelled() {
            match answered_within(DECIDED_WITHIN, decide_some(&database, at_once)).await {
                Ok(None) => break,
                Ok(Some(done)) => {
                    prompts.look.notify_one();
                    if done.runs > 0 {
                        wake.wake();
                    }
                    if done.has_more {
                        prompts.fan_outs.notify_one();
                    }
                }
                // One that fails must not keep the others from being decided: from here on each is on its own.
                Err(error) if at_once > 1 && is_about_content(&error) => {
                    tracing::warn!(%error, "deciding ticks together failed, deciding them one by one: {error}");
                    at_once = 1;
                }
                Err(error) if is_about_content(&error) => {
                    tracing::error!(%error, "deciding a tick failed, trying it again in {} s: {error}", POSTPONED_BY.as_secs());
                    if postpone_first(&database).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "deciding ticks failed, trying again: {error}");
                    break;
                }
            }
        }
    }
}

/// True if the database answered, and refused.
fn is_about_content(error: &DbError) -> bool {
    !error.is_transient()
}

/// What was decided.
pub(crate) struct Done {
    runs: usize,
    /// True if a target has more connections than one transaction takes.
    has_more: bool,
}

/// Decides the schedules that have been due for longest. `None`: nothing is due, or others are at it.
pub(crate) async fn decide_some(database: &Database, at_once: i64) -> DbResult<Option<Done>> {
    let mut transaction = database.begin().await?;
    let due = schedule::lock_due(&mut transaction, at_once).await?;
    if due.is_empty() {
        return Ok(None);
    }
    let now = db::now(&mut transaction).await?;
    let done = decide(&mut transaction, &due, now).await?;
    transaction.commit().await?;
    Ok(Some(done))
}

async fn postpone_first(database: &Database) -> DbResult<()> {
    let mut transaction = database.begin().await?;
    if let Some(first) = schedule::lock_due(&mut transaction, 1).await?.first() {
        tracing::error!(schedule.id = %first.id, "schedule {} could not be decided", first.key);
        schedule::postpone(&mut transaction, first.id, POSTPONED_BY).await?;
    }
    Ok(transaction.commit().await?)
}
