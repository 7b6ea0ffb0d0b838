//! How an attempt ends: with its run, or by handing the run back. Pure.

use std::time::Duration;

use syncline_shared::db::run::{ClaimedRun, Finish, Release};
use syncline_shared::run::{
    AttemptOutcome, Backoff, FailureKind, Outcome, RunError, StreamStatus, WaitReason,
};

use super::writer::RunProgress;
use crate::queue::AttemptEnd;

/// The wait after a limit of which the platform did not say when it ends.
pub(super) const UNKNOWN_LIMIT_WAIT: Duration = Duration::from_secs(10);

/// Why an attempt stopped before all its streams were done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// The platform's limit: come again later, no failure.
    Limit { wait: Duration, detail: String },
    /// The process drains: hand back at once, no failure.
    Drain,
    /// The lease is gone: nothing may be written any more.
    Lost,
    /// A failure of the whole run.
    Failure {
        error: RunError,
        retry_after: Option<Duration>,
    },
}

/// The end of an attempt that stopped early.
pub(super) fn stopped(
    run: &ClaimedRun,
    failures: i32,
    calls: i64,
    stop: Stop,
    draw: f64,
) -> AttemptEnd {
    let release = |attempt, wait, detail, failures, error| {
        AttemptEnd::Release(Release {
            id: run.id,
            token: run.token,
            attempt,
            wait,
            detail,
            failures,
            error,
            calls,
        })
    };
    match stop {
        Stop::Limit { wait, detail } => release(
            AttemptOutcome::Limited,
            Some((WaitReason::Limit, wait)),
            Some(detail),
            failures,
            None,
        ),
        Stop::Drain => release(AttemptOutcome::Drained, None, None, failures, None),
        Stop::Lost => AttemptEnd::Lost(run.id, run.token),
        Stop::Failure { error, retry_after } => {
            let failures = failures + 1;
            let retried = matches!(error.kind, FailureKind::Transient | FailureKind::Lost);
            if retried && failures < run.max_failures {
                let backoff = Backoff::default().wait(u32::try_from(failures).unwrap_or(1), draw);
                let wait = backoff.max(retry_after.unwrap_or_default());
                let detail = format!(
                    "failure {failures} of {}: {}",
                    run.max_failures, error.message
                );
                let wait = Some((WaitReason::Backoff, wait));
                release(
                    AttemptOutcome::Retry,
                    wait,
                    Some(detail),
                    failures,
                    Some(error),
                )
            } else {
                AttemptEnd::Finish(Finish {
                    id: run.id,
                    token: run.token,
                    outcome: Outcome::Failed,
                    attempt: AttemptOutcome::Failed,
                    failures,
                    error: Some(error),
                    calls,
                })
            }
        }
    }
}

/// The end of an attempt whose streams are all done or given up.
pub(super) fn completed(
    run: &ClaimedRun,
    progress: &RunProgress,
    calls: i64,
    stream_error: Option<RunError>,
) -> AttemptEnd {
    let streams = &progress.progress.0;
    let failed = streams
        .values()
        .filter(|stream| stream.status == StreamStatus::Failed)
        .count();
    let outcome = if failed > 0 && failed == streams.len() {
        Outcome::Failed
    } else if failed > 0 || progress.progress.total().failed > 0 {
        Outcome::Partial
    } else {
        Outcome::Succeeded
    };
    AttemptEnd::Finish(Finish {
        id: run.id,
        token: run.token,
        outcome,
        attempt: outcome.into(),
        failures: progress.failures,
        error: stream_error,
        calls,
    })
}

/// A run that was claimed but not begun.
pub(crate) fn handed_back(run: &ClaimedRun) -> Release {
    Release {
        id: run.id,
        token: run.token,
        attempt: AttemptOutcome::Drained,
        wait: None,
        detail: None,
        failures: run.failures,
        error: None,
        calls: 0,
    }
}

/// The end of an attempt that panicked: a failure like another, so that a run that kills its attempts does not circulate for
/// ever. How far its checkpoints came is not known here; the failures counted at its claim stand.
pub(crate) fn abnormal_end(run: &ClaimedRun, problem: &str) -> AttemptEnd {
    tracing::error!(run.id = %run.id, "the attempt at run {} ended abnormally: {problem}", run.id);
    let error = RunError::new(
        FailureKind::Transient,
        format!("the attempt ended abnormally, which is a fault in Syncline: {problem}"),
    );
    stopped(
        run,
        run.failures,
        0,
        Stop::Failure {
            error,
            retry_after: None,
        },
        0.5,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_shared::ids::{BusinessId, ConnectionId, RunId};
    use syncline_shared::run::{Progress, RunKind};

    fn run(max_failures: i32) -> ClaimedRun {
        ClaimedRun {
            id: RunId(uuid::Uuid::from_u128(1)),
            token: 3,
            attempt: 1,
            failures: 0,
            max_failures,
            connection_id: ConnectionId(uuid::Uuid::from_u128(2)),
            business_id: BusinessId(uuid::Uuid::from_u128(3)),
            platform: "g2a".to_owned(),
            kind: RunKind::Full,
            streams: None,
            page: None,
            checkpoint_sequence: 0,
            checkpoint: serde_json::Value::Null,
            progress: sqlx::types::Json(Progress::default()),
        }
    }

    fn failure(kind: FailureKind, retry_after: Option<Duration>) -> Stop {
        Stop::Failure {
            error: RunError::new(kind, "no luck"),
            retry_after,
        }
    }

    #[test]
    fn a_transient_failure_waits_at_least_as_long_as_the_platform_asks() {
        let stop = failure(FailureKind::Transient, Some(Duration::from_secs(90)));
        let AttemptEnd::Release(release) = stopped(&run(8), 0, 4, stop, 0.5) else {
            panic!("it is handed back");
        };
        assert_eq!(
            release.wait,
            Some((WaitReason::Backoff, Duration::from_secs(90)))
        );
        assert_eq!((release.failures, release.calls), (1, 4));
    }

    #[test]
    fn the_last_failure_ends_the_run() {
        let end = stopped(&run(3), 2, 0, failure(FailureKind::Transient, None), 0.5);
        assert!(matches!(
            end,
            AttemptEnd::Finish(Finish {
                outcome: Outcome::Failed,
                failures: 3,
                ..
            })
        ));
    }

    #[test]
    fn what_needs_a_person_is_not_tried_again() {
        let end = stopped(&run(8), 0, 0, failure(FailureKind::NeedsPerson, None), 0.5);
        assert!(matches!(
            end,
            AttemptEnd::Finish(Finish {
                outcome: Outcome::Failed,
                ..
            })
        ));
    }

    #[test]
    fn a_limit_counts_no_failure() {
        let stop = Stop::Limit {
            wait: Duration::from_secs(5),
            detail: "budget".to_owned(),
        };
        let AttemptEnd::Release(release) = stopped(&run(8), 2, 0, stop, 0.5) else {
            panic!("it is handed back");
        };
        assert_eq!(
            (release.attempt, release.failures),
            (AttemptOutcome::Limited, 2)
        );
    }
}
