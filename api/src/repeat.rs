//! Repeating finished runs: which can be, and the enqueue that does it.

use std::collections::BTreeMap;
use std::time::Duration;

use syncline_engine::Catalog;
use syncline_shared::db::DbConnection;
use syncline_shared::db::batch::{self, LeftOut, NewBatch};
use syncline_shared::db::run::{FinishedRun, NewRun, RunTarget, enqueue, mark_retried};
use syncline_shared::ids::{BatchId, RunId};
use syncline_shared::run::{Outcome, PRIORITY_MANUAL, RunOrigin, SYNC_QUEUE};

use crate::error::ApiResult;

/// Why a finished run cannot be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A stable word for programs.
    pub code: &'static str,
    /// In words, with what to do.
    pub detail: String,
}

/// What was enqueued.
#[derive(Debug)]
pub(crate) struct Repeated {
    /// The batch of the new runs.
    pub batch_id: BatchId,
    /// The new runs.
    pub runs: Vec<RunId>,
}

/// Why this run cannot be repeated; `None`: it can.
pub(crate) fn refusal(run: &FinishedRun, catalog: &Catalog) -> Option<Refusal> {
    let (code, detail) = if run.outcome == Outcome::Succeeded {
        (
            "succeeded",
            "the run succeeded, so there is nothing to repeat; start a new run of its connection instead".to_owned(),
        )
    } else if let Some(by) = run.retried_by {
        (
            "retried",
            format!(
                "the run was retried already, by the run {by}; retry that one if it failed too"
            ),
        )
    } else {
        cannot_run(run, catalog)?
    };
    Some(Refusal { code, detail })
}

/// Why its connection cannot do the same again.
fn cannot_run(run: &FinishedRun, catalog: &Catalog) -> Option<(&'static str, String)> {
    let Some(key) = &run.connection_key else {
        return Some(("deleted", "its connection was deleted".to_owned()));
    };
    if run.connection_enabled != Some(true) {
        let detail = format!("its connection {key:?} is disabled; enable it first");
        return Some(("disabled", detail));
    }
    let Some(connector) = catalog.find(&run.platform) else {
        let detail = format!(
            "there is no connector for its platform {:?} any more; known: {}",
            run.platform,
            catalog.platforms()
        );
        return Some(("unknown-platform", detail));
    };
    let streams = run.streams.as_deref().unwrap_or_default();
    let missing = streams
        .iter()
        .find(|stream| connector.stream(stream).is_none())?;
    Some((
        "unknown-stream",
        format!(
            "platform {:?} has no stream {missing:?} any more; start a new run of its connection instead",
            run.platform
        ),
    ))
}

/// Enqueues runs like these, the oldest first, as one batch, and notes on each which run repeats it. The caller has locked them.
pub(crate) async fn enqueue_again(
    db: &mut DbConnection,
    finished: &[FinishedRun],
    left_out: &[LeftOut],
    requested_by: &str,
) -> ApiResult<Repeated> {
    let new_batch = NewBatch {
        runs: finished.len(),
        left_out,
        ..NewBatch::of_runs(requested_by)
    };
    let batch_id = batch::create(db, &new_batch).await?;
    let mut oldest_first: Vec<&FinishedRun> = finished.iter().collect();
    oldest_first.sort_by_key(|run| run.id);
    // An enqueue takes what its runs have in common.
    let mut alike: BTreeMap<_, Vec<&FinishedRun>> = BTreeMap::new();
    for run in oldest_first {
        let common = (run.kind.as_str(), run.streams.as_deref(), run.page);
        alike.entry(common).or_default().push(run);
    }
    let mut retries = Vec::with_capacity(finished.len());
    for runs in alike.values() {
        let Some(first) = runs.first() else { continue };
        let new = NewRun {
            queue: SYNC_QUEUE,
            batch_id,
            schedule_id: None,
            origin: RunOrigin::Manual,
            requested_by: Some(requested_by),
            kind: first.kind,
            streams: first.streams.as_deref(),
            page: first.page,
            priority: PRIORITY_MANUAL,
            delay: Duration::ZERO,
            range: None,
            time_limit_seconds: None,
        };
        let targets: Vec<RunTarget> = runs.iter().map(|run| target(run)).collect();
        for run in enqueue(db, &new, &targets).await? {
            retries.extend(run.retry_of.map(|finished| (finished, run.id)));
        }
    }
    mark_retried(db, &retries).await?;
    Ok(Repeated {
        batch_id,
        runs: retries.into_iter().map(|(_, new)| new).collect(),
    })
}

fn target(run: &FinishedRun) -> RunTarget {
    RunTarget {
        connection_id: run.connection_id,
        business_id: run.business_id,
        platform: run.platform.clone(),
        retry_of: Some(run.id),
        delay: Duration::ZERO,
    }
}
