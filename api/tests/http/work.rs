//! Stands in for a worker: takes runs and ends them.

use serde_json::Value;
use syncline_shared::db::process::{Capacity, ProcessRole, register};
use syncline_shared::db::run::{Claim, ClaimedRun, Finish, Heads, claim, finish};
use syncline_shared::ids::ProcessId;
use syncline_shared::run::{AttemptOutcome, Outcome, Progress, RunError, SYNC_QUEUE, Spent};

use crate::support::App;

/// A run that was asked for.
pub(crate) async fn start(app: &App, body: Value) -> Value {
    app.post("/api/v1/runs", &body).await.expect(202)
}

/// A worker that is up; only such a one can claim.
pub(crate) async fn worker(app: &App) -> ProcessId {
    let id = ProcessId::random();
    let mut db = app.database.session().await.unwrap();
    let capacity = Capacity { slots: 1, share: 1 };
    register(&mut db, id, ProcessRole::Worker, "w:1", Some(capacity))
        .await
        .unwrap();
    id
}

pub(crate) fn one_for(process: ProcessId, heads: &Heads) -> Claim<'_> {
    Claim {
        queue: SYNC_QUEUE,
        limit: 1,
        rooms: &[],
        room: 1,
        heads,
        process,
    }
}

/// Takes the next run, as a worker of one slot.
pub(crate) async fn claim_one(app: &App) -> ClaimedRun {
    let process = worker(app).await;
    let mut db = app.database.session().await.unwrap();
    let mut claimed = claim(&mut db, &one_for(process, &Heads::default()))
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    claimed.remove(0)
}

/// Ends a run that read 40 records.
pub(crate) async fn end(app: &App, run: &ClaimedRun, outcome: Outcome, error: Option<RunError>) {
    let mut progress = Progress::default();
    let stream = progress.stream("products");
    (stream.pages, stream.counts.read, stream.counts.inserted) = (2, 40, 40);
    sqlx::query("update syncline.run set progress = $2 where id = $1")
        .bind(run.id.0)
        .bind(sqlx::types::Json(&progress))
        .execute(&app.pool)
        .await
        .unwrap();
    let end = Finish {
        id: run.id,
        token: run.token,
        outcome,
        attempt: AttemptOutcome::from(outcome),
        failures: 0,
        reason: None,
        error,
        spent: Some(Spent {
            calls: 2,
            points: 6,
            waited_ms: 4_200,
        }),
    };
    let mut db = app.database.session().await.unwrap();
    assert_eq!(finish(&mut db, &[end], "w:1").await.unwrap(), [run.id]);
}
