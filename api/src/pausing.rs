//! Setting and lifting pauses.
//!
//! The pause's own row is committed first; from then on nothing new is queued in its scope. What is queued already follows in
//! chunks, each a transaction of its own, so that no lock is held for long. The task that does it belongs to the process, not to the
//! request: a caller who hangs up does not leave half of it undone. Both are harmless when repeated.

use std::time::Duration;

use serde::Serialize;
use syncline_shared::db::notify::Waker;
use syncline_shared::db::pause::{self, Pause, PauseCause, PauseTarget};
use syncline_shared::db::run::{free_paused, hold_paused};
use syncline_shared::db::{Database, DbResult, answered};
use syncline_shared::lifecycle::Lifecycle;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// Runs moved in one transaction.
const CHUNK: u32 = 1000;
/// A caller hears of the outcome within this time; what is not done by then goes on.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came of a request to pause or to resume.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PauseChange {
    /// True if it is paused now.
    pub paused: bool,
    /// False if it was so already.
    pub changed: bool,
    /// How many runs were set to waiting, or set free; null if that is still going on.
    pub runs: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Hold,
    Free,
}

/// Pauses. Who paused it first stays on record, with the new note.
pub(crate) async fn pause(
    state: &AppState,
    target: &PauseTarget,
    note: Option<&str>,
    by: &str,
) -> ApiResult<PauseChange> {
    let mut db = state.database.begin().await?;
    let changed = pause::pause(&mut db, target, PauseCause::Person, note, by).await?;
    db.commit().await?;
    // Workers hand back what they execute.
    state.orders_changed.wake();
    Ok(PauseChange {
        paused: true,
        changed,
        runs: move_runs(state, Step::Hold).await?,
    })
}

/// Resumes.
pub(crate) async fn resume(state: &AppState, target: &PauseTarget) -> ApiResult<PauseChange> {
    let mut db = state.database.begin().await?;
    let changed = pause::resume(&mut db, target).await?;
    db.commit().await?;
    Ok(PauseChange {
        paused: false,
        changed,
        runs: move_runs(state, Step::Free).await?,
    })
}

/// Everything that rests.
pub(crate) async fn list(state: &AppState) -> ApiResult<Vec<Pause>> {
    let mut db = state.database.session().await?;
    Ok(pause::list_pauses(&mut db).await?)
}

async fn move_runs(state: &AppState, step: Step) -> ApiResult<Option<u64>> {
    let (tell, told) = oneshot::channel();
    let database = state.database.clone();
    let waker = state.runs_queued.clone();
    let life = state.life.clone();
    state.life.spawn("pause", async move {
        let moved = move_all(&database, step, &waker, &life).await;
        if let Err(error) = &moved {
            // Housekeeping does the rest.
            tracing::warn!(%error, "runs of a pause were not all moved: {error}");
        }
        tell.send(moved).ok();
        Ok(())
    });
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Ok(moved)) => Ok(Some(moved?)),
        Ok(Err(_)) => Err(ApiError::Unavailable("the process is stopping")),
        Err(_) => Ok(None),
    }
}

async fn move_all(
    database: &Database,
    step: Step,
    waker: &Waker,
    life: &Lifecycle,
) -> DbResult<u64> {
    let mut moved = 0;
    while !life.draining().is_cancelled() {
        let chunk = answered(move_chunk(database, step)).await?;
        moved += chunk;
        if matches!(step, Step::Free) {
            waker.wake();
        }
        if chunk < u64::from(CHUNK) {
            break;
        }
    }
    Ok(moved)
}

async fn move_chunk(database: &Database, step: Step) -> DbResult<u64> {
    let mut db = database.begin().await?;
    let moved = match step {
        Step::Hold => hold_paused(&mut db, CHUNK.into()).await?,
        Step::Free => u64::try_from(free_paused(&mut db, CHUNK.into()).await?.0).unwrap_or(0),
    };
    db.commit().await?;
    Ok(moved)
}
