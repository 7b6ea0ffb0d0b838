//! Slots: as many runs at once as there are, each once, its end on record at once, and none held by what waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use syncline_shared::db::run::{ClaimedRun, Release, ReleaseTo};
use syncline_shared::run::{AttemptOutcome, RunState, Spent, WaitReason};
use syncline_worker::AttemptEnd;
use tokio::sync::Semaphore;

use crate::fleet::{Do, Executions, crowd, start, succeeded, until, until_ended};
use crate::world::World;

#[tokio::test]
async fn ends_are_on_record_while_a_long_run_goes_on_and_no_run_is_executed_twice() {
    let world = World::new().await;
    let long = world.business("long", 1).await;
    let long_run = world.enqueue(&long, Duration::ZERO).await.remove(0).id;
    let short = crowd(&world, "short", 50).await;
    world.enqueue(&short, Duration::ZERO).await;
    let (gate, executions) = (Arc::new(Semaphore::new(0)), Executions::default());
    let (waits_at, noted) = (gate.clone(), executions.clone());
    let worker = start(
        &world,
        2,
        Do(move |run: ClaimedRun| {
            let (gate, executions) = (waits_at.clone(), noted.clone());
            async move {
                executions.note(&run);
                if run.id == long_run {
                    drop(gate.acquire().await.unwrap());
                }
                succeeded(&run)
            }
        }),
    );
    until_ended(&world, 50).await;
    assert_eq!(world.state(long_run).await, Some(RunState::Running));
    gate.add_permits(1);
    until_ended(&world, 51).await;
    assert_eq!(executions.repeated(), []);
    worker.stop().await;
}

#[tokio::test]
async fn as_many_runs_are_executed_at_once_as_there_are_slots() {
    let world = World::new().await;
    let many = crowd(&world, "many", 60).await;
    world.enqueue(&many, Duration::ZERO).await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, highest) = (now.clone(), most.clone());
    let worker = start(
        &world,
        3,
        Do(move |run: ClaimedRun| {
            let (now, most) = (counter.clone(), highest.clone());
            async move {
                let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(at_once, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                succeeded(&run)
            }
        }),
    );
    until_ended(&world, 60).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    worker.stop().await;
}

#[tokio::test]
async fn failing_runs_wait_outside_the_queue_and_hold_nobody_back() {
    let world = World::new().await;
    let failing = crowd(&world, "failing", 20).await;
    let healthy = crowd(&world, "healthy", 5).await;
    let bad = world.enqueue(&failing, Duration::ZERO).await;
    world.enqueue(&healthy, Duration::ZERO).await;
    let executions = Executions::default();
    let noted = executions.clone();
    let is_failing = failing[0].business_id;
    let worker = start(
        &world,
        1,
        Do(move |run: ClaimedRun| {
            let executions = noted.clone();
            async move {
                executions.note(&run);
                if run.business_id != is_failing {
                    return succeeded(&run);
                }
                AttemptEnd::Release(Release {
                    id: run.id,
                    token: run.token,
                    attempt: AttemptOutcome::Retry,
                    to: ReleaseTo::Wait(WaitReason::Backoff, Duration::from_hours(1)),
                    reason: None,
                    failures: run.failures + 1,
                    error: None,
                    spent: Some(Spent::default()),
                    wait_key: None,
                })
            }
        }),
    );
    until_ended(&world, 5).await;
    assert_eq!(executions.repeated(), [], "an hour has not passed");
    for run in bad.iter().filter(|run| executions.of(run.id) == 1) {
        until("its failure to be on record", async || {
            world.state(run.id).await == Some(RunState::Waiting)
        })
        .await;
    }
    worker.stop().await;
}

/// A worker that slept for its poll interval between two claims would need five minutes.
#[tokio::test]
async fn three_hundred_runs_for_one_slot_are_worked_off_without_a_wake_up_from_anybody() {
    let world = World::new().await;
    let many = crowd(&world, "many", 300).await;
    world.enqueue(&many, Duration::ZERO).await;
    let worker = start(
        &world,
        1,
        Do(|run: ClaimedRun| async move { succeeded(&run) }),
    );
    until_ended(&world, 300).await;
    worker.stop().await;
}
