//! Repeating finished runs: which can be, and the enqueue that does it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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
    /// The new run of each group, by the run that it says it repeats.
    pub runs: BTreeMap<RunId, RunId>,
}

/// Finished runs that one new run stands for: they read the same of the same connection.
#[derive(Debug)]
pub(crate) struct Alike {
    /// The newest; the new run says that it repeats this one.
    pub newest: FinishedRun,
    /// The others.
    pub older: Vec<RunId>,
}

/// Gathers runs that read the same: connection, kind, streams in whatever order, and page. The oldest newest one comes first.
pub(crate) fn alike(mut finished: Vec<FinishedRun>) -> Vec<Alike> {
    finished.sort_by_key(|run| Reverse(run.id));
    let mut groups: BTreeMap<_, Alike> = BTreeMap::new();
    for run in finished {
        let mut streams = run.streams.clone();
        if let Some(streams) = &mut streams {
            streams.sort_unstable();
            streams.dedup();
        }
        let read = (run.connection_id, run.kind.as_str(), streams, run.page);
        match groups.entry(read) {
            Entry::Vacant(place) => {
                place.insert(Alike {
                    newest: run,
                    older: Vec::new(),
                });
            }
            Entry::Occupied(mut group) => group.get_mut().older.push(run.id),
        }
    }
    let mut groups: Vec<Alike> = groups.into_values().collect();
    groups.sort_by_key(|group| group.newest.id);
    groups
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

/// Enqueues a run for each group, as one batch, and notes on the finished ones which run repeats them. The caller has locked them.
pub(crate) async fn enqueue_again(
    db: &mut DbConnection,
    groups: &[Alike],
    left_out: &[LeftOut],
    requested_by: &str,
) -> ApiResult<Repeated> {
    let new_batch = NewBatch {
        runs: groups.len(),
        left_out,
        ..NewBatch::of_runs(requested_by)
    };
    let batch_id = batch::create(db, &new_batch).await?;
    // An enqueue takes what its runs have in common.
    let mut enqueues: BTreeMap<_, Vec<&FinishedRun>> = BTreeMap::new();
    for Alike { newest, .. } in groups {
        let common = (newest.kind.as_str(), newest.streams.as_deref(), newest.page);
        enqueues.entry(common).or_default().push(newest);
    }
    let mut made = BTreeMap::new();
    for runs in enqueues.values() {
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
            made.extend(run.retry_of.map(|finished| (finished, run.id)));
        }
    }
    let mut retries = Vec::new();
    for Alike { newest, older } in groups {
        if let Some(new) = made.get(&newest.id) {
            retries.push((newest.id, *new));
            retries.extend(older.iter().map(|finished| (*finished, *new)));
        }
    }
    mark_retried(db, &retries).await?;
    Ok(Repeated {
        batch_id,
        runs: made,
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
