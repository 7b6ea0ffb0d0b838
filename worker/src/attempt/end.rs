//! How an attempt ends: with its run, or by handing the run back. Pure.

use std::time::Duration;

use syncline_shared::db::run::{ClaimedRun, Finish, Release, ReleaseTo};
use syncline_shared::ids::{ConnectionId, RunId};
use syncline_shared::run::{
    AfterFailure, AttemptOutcome, FailureKind, Outcome, RetryPolicy, RunError, Spent, StreamStatus,
    WaitReason, after_failure,
};

use super::writer::RunProgress;
use crate::queue::{Asked, AttemptEnd};

/// The wait after a limit of which the platform did not say when it ends.
pub(super) const UNKNOWN_LIMIT_WAIT: Duration = Duration::from_secs(10);

/// Why an attempt stopped before all its streams were done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// The platform's limit: come again later, no failure.
    Limit {
        wait: Duration,
        detail: String,
        /// The budget, or the host that does not answer; `None`: the platform told the run, not its budget.
        key: Option<String>,
    },
    /// The process drains: hand back at once, no failure.
    Drain,
    /// It was asked to.
    Asked(Asked),
    /// The lease is gone: nothing may be written any more.
    Lost,
    /// A failure of the whole run.
    Failure {
        error: RunError,
        retry_after: Option<Duration>,
    },
}

/// What an attempt is known to have done when it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Failures that counted before this end.
    pub(crate) failures: i32,
    /// What it cost, where that is known here.
    pub(crate) spent: Option<Spent>,
    /// What the run's connection says of retries.
    pub(crate) policy: RetryPolicy,
}

/// The end of an attempt that stopped early. `draw` is uniform in [0, 1).
pub(super) fn stopped(run: &ClaimedRun, standing: Standing, stop: Stop, draw: f64) -> AttemptEnd {
    let wait_key = match &stop {
        Stop::Limit { key, .. } => key.clone(),
        _ => None,
    };
    let release = |attempt, to, reason: String| {
        AttemptEnd::Release(Release {
            wait_key: wait_key.clone(),
            id: run.id,
            token: run.token,
            attempt,
            to,
            reason: Some(reason),
            failures: standing.failures,
            error: None,
            spent: standing.spent,
        })
    };
    match stop {
        Stop::Limit { wait, detail, .. } => release(
            AttemptOutcome::Limited,
            ReleaseTo::Wait(WaitReason::Limit, wait),
            detail,
        ),
        Stop::Drain => release(
            AttemptOutcome::Drained,
            ReleaseTo::Front,
            "its worker was asked to stop".to_owned(),
        ),
        Stop::Asked(Asked::Pause(reason)) => release(
            AttemptOutcome::Paused,
            ReleaseTo::Wait(WaitReason::Pause, Duration::ZERO),
            reason,
        ),
        Stop::Asked(Asked::GiveWay) => release(
            AttemptOutcome::Yielded,
            ReleaseTo::Front,
            "a more urgent run of its connection was due".to_owned(),
        ),
        Stop::Asked(Asked::SliceOver) => release(
            AttemptOutcome::Yielded,
            ReleaseTo::Back,
            "its time slice was over, and others waited for a slot".to_owned(),
        ),
        Stop::Asked(Asked::Cancel(reason)) => AttemptEnd::Finish(
            Finish {
                id: run.id,
                token: run.token,
                outcome: Outcome::Cancelled,
                attempt: AttemptOutcome::Cancelled,
                failures: standing.failures,
                reason: Some(reason),
                error: None,
                spent: standing.spent,
            },
            run.connection_id,
        ),
        Stop::Asked(Asked::Stalled(idle)) => failed(
            Lease::of(run),
            standing,
            (stall_error(idle), None),
            AttemptOutcome::Stalled,
            draw,
        ),
        Stop::Asked(Asked::TimeOver(limit)) => {
            let message = format!(
                "its schedule's time limit of {limit} s is over; give the schedule a longer one, or fewer streams"
            );
            let error = RunError::new(FailureKind::Permanent, message);
            failed(
                Lease::of(run),
                standing,
                (error, None),
                AttemptOutcome::Retry,
                draw,
            )
        }
        Stop::Lost => AttemptEnd::Lost(run.id, run.token),
        Stop::Failure { error, retry_after } => failed(
            Lease::of(run),
            standing,
            (error, retry_after),
            AttemptOutcome::Retry,
            draw,
        ),
    }
}

/// The lease under which an attempt ends, and the connection that its run syncs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) run: RunId,
    pub(crate) token: i64,
    pub(crate) connection: ConnectionId,
}

impl Lease {
    pub(crate) fn of(run: &ClaimedRun) -> Self {
        Self {
            run: run.id,
            token: run.token,
            connection: run.connection_id,
        }
    }
}

/// The end of an attempt that failed: `retried` is how it is called if the run goes on.
fn failed(
    lease: Lease,
    standing: Standing,
    (error, retry_after): (RunError, Option<Duration>),
    retried: AttemptOutcome,
    draw: f64,
) -> AttemptEnd {
    let failures = standing.failures + 1;
    let most = standing.policy.max_failures();
    let next = after_failure(&standing.policy, error.kind, failures, retry_after, draw);
    let to = match next {
        AfterFailure::End => {
            let reason = if failures >= most && failures > 1 {
                format!(
                    "failure {failures} of {most} in a row, the last: {}",
                    error.message
                )
            } else {
                format!("{}: {}", error.kind, error.message)
            };
            return AttemptEnd::Finish(
                Finish {
                    id: lease.run,
                    token: lease.token,
                    outcome: Outcome::Failed,
                    attempt: AttemptOutcome::Failed,
                    failures,
                    reason: Some(reason),
                    error: Some(error),
                    spent: standing.spent,
                },
                lease.connection,
            );
        }
        AfterFailure::Again => ReleaseTo::Front,
        AfterFailure::After(wait) => ReleaseTo::Wait(WaitReason::Backoff, wait),
    };
    AttemptEnd::Release(Release {
        id: lease.run,
        wait_key: None,
        token: lease.token,
        attempt: retried,
        to,
        reason: Some(format!("failure {failures} of {most}: {}", error.message)),
        failures,
        error: Some(error),
        spent: standing.spent,
    })
}

fn stall_error(idle: Duration) -> RunError {
    RunError::new(
        FailureKind::Transient,
        format!(
            "the attempt made no progress for {} s and was ended",
            idle.as_secs()
        ),
    )
}

/// The end of an attempt that was asked to end, did not, and so loses its lease: a failure like another, so that a run whose attempts
/// always stand still does not circulate for ever.
pub(crate) fn stalled(lease: Lease, standing: Standing, idle: Duration, draw: f64) -> AttemptEnd {
    let error = RunError::new(
        FailureKind::Transient,
        format!(
            "the attempt made no progress for {} s and did not end when it was asked to",
            idle.as_secs()
        ),
    );
    failed(
        lease,
        standing,
        (error, None),
        AttemptOutcome::Stalled,
        draw,
    )
}

/// The end of an attempt whose streams are all done or given up.
pub(super) fn completed(
    run: &ClaimedRun,
    progress: &RunProgress,
    spent: Spent,
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
    AttemptEnd::Finish(
        Finish {
            id: run.id,
            token: run.token,
            outcome,
            attempt: outcome.into(),
            failures: progress.failures,
            reason: None,
            error: stream_error,
            spent: Some(spent),
        },
        run.connection_id,
    )
}

/// A run that was claimed but not begun.
pub(crate) fn handed_back(run: &ClaimedRun) -> Release {
    Release {
        id: run.id,
        wait_key: None,
        token: run.token,
        attempt: AttemptOutcome::Drained,
        to: ReleaseTo::Front,
        reason: Some("its worker was asked to stop before it began".to_owned()),
        failures: run.failures,
        error: None,
        spent: Some(Spent::default()),
    }
}

/// The end of an attempt that panicked: a failure like another, so that a run that kills its attempts does not circulate for
/// ever. How far its checkpoints came is not known here; the failures counted at its claim stand, and what the last one says of its cost.
pub(crate) fn abnormal_end(run: &ClaimedRun, problem: &str) -> AttemptEnd {
    tracing::error!(run.id = %run.id, "the attempt at run {} ended abnormally: {problem}", run.id);
    let error = RunError::new(
        FailureKind::Transient,
        format!("the attempt ended abnormally, which is a fault in Syncline: {problem}"),
    );
    let standing = Standing {
        failures: run.failures,
        spent: None,
        policy: RetryPolicy::default(),
    };
    let stop = Stop::Failure {
        error,
        retry_after: None,
    };
    stopped(run, standing, stop, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::claimed_run;

    fn run() -> ClaimedRun {
        ClaimedRun {
            token: 3,
            ..claimed_run()
        }
    }

    fn standing(failures: i32, max_failures: i32) -> Standing {
        Standing {
            failures,
            spent: Some(Spent {
                calls: 4,
                ..Spent::default()
            }),
            policy: RetryPolicy {
                max_failures: Some(max_failures),
                ..RetryPolicy::default()
            },
        }
    }

    fn failure(kind: FailureKind, retry_after: Option<Duration>) -> Stop {
        Stop::Failure {
            error: RunError::new(kind, "no luck"),
            retry_after,
        }
    }

    fn released(stop: Stop) -> Release {
        match stopped(&run(), standing(2, 8), stop, 0.5) {
            AttemptEnd::Release(release) => release,
            other => panic!("it is handed back, not {other:?}"),
        }
    }

    #[test]
    fn a_transient_failure_waits_at_least_as_long_as_the_platform_asks() {
        let release = released(failure(
            FailureKind::Transient,
            Some(Duration::from_secs(90)),
        ));
        assert_eq!(
            release.to,
            ReleaseTo::Wait(WaitReason::Backoff, Duration::from_secs(90))
        );
        assert_eq!(release.failures, 3);
        assert_eq!(release.spent.unwrap().calls, 4);
    }

    #[test]
    fn the_last_failure_ends_the_run() {
        let stop = failure(FailureKind::Transient, None);
        let end = stopped(&run(), standing(2, 3), stop, 0.5);
        assert!(matches!(
            end,
            AttemptEnd::Finish(
                Finish {
                    outcome: Outcome::Failed,
                    failures: 3,
                    ..
                },
                _
            )
        ));
    }

    #[test]
    fn what_needs_a_person_is_not_tried_again() {
        let stop = failure(FailureKind::NeedsPerson, None);
        let end = stopped(&run(), standing(0, 8), stop, 0.5);
        assert!(matches!(
            end,
            AttemptEnd::Finish(
                Finish {
                    outcome: Outcome::Failed,
                    ..
                },
                _
            )
        ));
    }

    #[test]
    fn only_errors_and_standstills_count_as_failures() {
        let waits = [
            Stop::Drain,
            Stop::Limit {
                wait: Duration::from_secs(5),
                detail: "budget".to_owned(),
                key: None,
            },
            Stop::Asked(Asked::Pause("night".to_owned())),
            Stop::Asked(Asked::GiveWay),
            Stop::Asked(Asked::SliceOver),
        ];
        for stop in waits {
            let release = released(stop.clone());
            assert_eq!(release.failures, 2, "{stop:?}");
            assert!(release.reason.is_some(), "{stop:?}");
        }
        let stop = Stop::Asked(Asked::Stalled(Duration::from_mins(10)));
        let release = released(stop);
        assert_eq!(
            (release.attempt, release.failures),
            (AttemptOutcome::Stalled, 3)
        );
    }

    #[test]
    fn a_slice_that_is_over_goes_to_the_end_of_the_queue_a_drain_does_not() {
        assert_eq!(released(Stop::Asked(Asked::SliceOver)).to, ReleaseTo::Back);
        assert_eq!(released(Stop::Drain).to, ReleaseTo::Front);
    }

    #[test]
    fn a_cancelled_run_ends_with_the_reason() {
        let stop = Stop::Asked(Asked::Cancel("cancelled by anna".to_owned()));
        let end = stopped(&run(), standing(0, 8), stop, 0.5);
        let AttemptEnd::Finish(finish, _) = end else {
            panic!("it ends");
        };
        assert_eq!(finish.outcome, Outcome::Cancelled);
        assert_eq!(finish.reason.as_deref(), Some("cancelled by anna"));
    }
}
