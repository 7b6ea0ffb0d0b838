//! What went wrong lately: one line a connection, its latest trouble first.

use std::collections::HashSet;

use chrono::{DateTime, Duration, Utc};
use syncline_shared::db::history::{RunFilter, RunView, list_runs};
use syncline_shared::db::{DbConnection, DbResult};
use syncline_shared::run::RunStatus;

use super::run_row::RunRow;

/// How far back is looked.
const HOURS: i64 = 24;
/// Troubled runs that are looked at; a connection that fails every minute must not hide the others for long.
const LOOKED_AT: i64 = 200;
/// Connections that are shown.
const SHOWN: usize = 5;

/// Troubles of the last 24 hours.
#[derive(Debug)]
pub(super) struct Troubles {
    /// The latest of each connection, newest first.
    pub lines: Vec<Trouble>,
    /// Connections in trouble besides those.
    pub more: usize,
}

/// A connection in trouble.
#[derive(Debug)]
pub(super) struct Trouble {
    /// Its latest run that failed, ended in part or is retrying.
    pub run: RunRow,
    /// How many more such runs it had.
    pub others: usize,
}

/// Reads what failed, ended in part or is being retried.
pub(super) async fn read(db: &mut DbConnection, now: DateTime<Utc>) -> DbResult<Troubles> {
    let filter = RunFilter {
        statuses: Some(vec![
            RunStatus::Retrying,
            RunStatus::Failed,
            RunStatus::Partial,
        ]),
        created_from: now.checked_sub_signed(Duration::hours(HOURS)),
        ..RunFilter::default()
    };
    let found = list_runs(db, &filter, LOOKED_AT).await?;
    Ok(group(found, now))
}

fn group(found: Vec<RunView>, now: DateTime<Utc>) -> Troubles {
    let mut seen = HashSet::new();
    let mut latest = Vec::new();
    let mut all = Vec::new();
    for run in found {
        all.push(run.connection_id);
        if seen.insert(run.connection_id) {
            latest.push(run);
        }
    }
    let more = latest.len().saturating_sub(SHOWN);
    latest.truncate(SHOWN);
    let lines = latest.into_iter().map(|run| {
        let others = all.iter().filter(|id| **id == run.connection_id).count() - 1;
        Trouble {
            run: RunRow::new(run, now),
            others,
        }
    });
    Troubles {
        lines: lines.collect(),
        more,
    }
}
