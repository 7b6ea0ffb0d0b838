//! The lease token is the right to write: who holds an old one changes nothing.

use std::time::Duration;

use serde_json::json;
use syncline_shared::db::process::{self, ProcessRole};
use syncline_shared::db::run::{self, Checkpoint, ClaimedRun, Finish, ReleaseTo};
use syncline_shared::db::{DbError, DbResult, history};
use syncline_shared::ids::ProcessId;
use syncline_shared::run::{
    AttemptOutcome, Outcome, Progress, RunState, RunStatus, Spent, WaitReason,
};

use crate::world::World;

fn spent_by(sequence: i64) -> Spent {
    Spent {
        calls: sequence,
        points: sequence * 3,
        waited_ms: sequence * 100,
    }
}

async fn checkpoint(world: &World, run: &ClaimedRun, sequence: i64) -> DbResult<()> {
    let mut progress = Progress::default();
    progress.stream("products").pages = u64::try_from(sequence).unwrap();
    let checkpoint = Checkpoint {
        id: run.id,
        token: run.token,
        sequence,
        position: &json!({"products": {"position": {"page": sequence}}}),
        progress: &progress,
        spent: spent_by(sequence),
    };
    run::write_checkpoint(&mut *world.db().await, &checkpoint).await
}

#[tokio::test]
async fn a_finished_run_is_in_the_history_with_its_attempt() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    world.enqueue(&one, Duration::ZERO).await;
    let run = world.claim(1).await.remove(0);
    checkpoint(&world, &run, 1).await.unwrap();
    assert!(world.finish(&run).await);
    let mut db = world.db().await;
    let view = history::find_run(&mut db, run.id).await.unwrap().unwrap();
    assert_eq!(
        (view.status, view.progress.pages(), view.attempt),
        (RunStatus::Succeeded, 1, 1)
    );
    let attempts = history::list_attempts(&mut db, run.id).await.unwrap();
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Succeeded));
}

#[tokio::test]
async fn what_an_attempt_has_spent_is_known_from_its_last_checkpoint_on() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    world.enqueue(&one, Duration::ZERO).await;
    let spent = async |id| {
        let mut db = world.db().await;
        let attempts = history::list_attempts(&mut db, id).await.unwrap();
        let spent = attempts.iter().map(|attempt| Spent {
            calls: attempt.calls,
            points: attempt.points,
            waited_ms: attempt.waited_ms,
        });
        spent.collect::<Vec<_>>()
    };
    let run = world.claim(1).await.remove(0);
    assert_eq!(spent(run.id).await, [Spent::default()]);
    checkpoint(&world, &run, 1).await.unwrap();
    checkpoint(&world, &run, 2).await.unwrap();
    assert_eq!(spent(run.id).await, [spent_by(2)]);

    // Whoever ends it for a worker that was lost knows no more.
    world.release_to(&run, ReleaseTo::Front).await.unwrap();
    assert_eq!(spent(run.id).await, [spent_by(2)]);
    let run = world.claim(1).await.remove(0);
    assert_eq!(spent(run.id).await, [spent_by(2), Spent::default()]);
    checkpoint(&world, &run, 3).await.unwrap();
    let lost = Finish {
        outcome: Outcome::Failed,
        attempt: AttemptOutcome::Lost,
        spent: None,
        ..Finish::succeeded(&run)
    };
    let ended = run::finish(&mut *world.db().await, &[lost], "test:1").await;
    assert_eq!(ended.unwrap(), [run.id]);
    assert_eq!(spent(run.id).await, [spent_by(2), spent_by(3)]);
}

#[tokio::test]
async fn finishing_twice_is_success_and_changes_nothing() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    world.enqueue(&one, Duration::ZERO).await;
    let run = world.claim(1).await.remove(0);
    assert!(world.finish(&run).await);
    assert!(
        world.finish(&run).await,
        "the answer to the first may have been lost"
    );
}

#[tokio::test]
async fn a_late_writer_is_refused_everywhere() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    world.enqueue(&one, Duration::ZERO).await;
    let frozen = world.claim(1).await.remove(0);
    world.release(&frozen, None).await.unwrap();
    let current = world.claim(1).await.remove(0);
    assert!(current.token > frozen.token);

    assert!(matches!(
        checkpoint(&world, &frozen, 1).await,
        Err(DbError::Stale)
    ));
    assert!(!world.finish(&frozen).await);
    let hour = Some((WaitReason::Limit, Duration::from_hours(1)));
    assert!(matches!(
        world.release(&frozen, hour).await,
        Err(DbError::Stale)
    ));
    assert_eq!(world.state(current.id).await, Some(RunState::Running));
    checkpoint(&world, &current, 1).await.unwrap();
}

#[tokio::test]
async fn a_stale_end_does_not_fail_its_neighbours() {
    let world = World::new().await;
    let two = world.business("acme", 2).await;
    world.enqueue(&two, Duration::ZERO).await;
    let runs = world.claim(2).await;
    let ends: Vec<_> = runs
        .iter()
        .enumerate()
        .map(|(index, run)| run::Finish {
            token: run.token - i64::from(index == 0),
            ..run::Finish::succeeded(run)
        })
        .collect();
    let kept = run::finish(&mut *world.db().await, &ends, "test:1")
        .await
        .unwrap();
    assert_eq!(kept, [runs[1].id]);
    assert_eq!(world.state(runs[0].id).await, Some(RunState::Running));
}

#[tokio::test]
async fn a_checkpoint_advances_once_and_forgives_failures() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    world.enqueue(&one, Duration::ZERO).await;
    let run = world.claim(1).await.remove(0);
    sqlx::query("update syncline.run set failures = 3 where id = $1")
        .bind(run.id)
        .execute(&world.pool)
        .await
        .unwrap();
    checkpoint(&world, &run, 1).await.unwrap();
    assert!(
        matches!(checkpoint(&world, &run, 1).await, Err(DbError::Stale)),
        "no number twice"
    );
    let mut db = world.db().await;
    let found = run::find_checkpoint(&mut db, run.id, run.token)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.0, found.1.pages()), (1, 1));
    let failures: i32 = sqlx::query_scalar("select failures from syncline.run where id = $1")
        .bind(run.id)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(failures, 0);
}

#[tokio::test]
async fn a_rescued_process_cannot_renew() {
    let world = World::new().await;
    let mut db = world.db().await;
    assert!(process::beat(&mut db, world.process).await.unwrap());
    let lease = Duration::from_secs(30);
    assert!(
        !process::mark_rescued(&mut db, world.process, lease)
            .await
            .unwrap(),
        "it was heard of"
    );
    sqlx::query("update syncline.process set seen_at = syncline.now() - interval '1 minute'")
        .execute(&world.pool)
        .await
        .unwrap();
    let silent = process::list_silent_workers(&mut db, ProcessId::random(), lease)
        .await
        .unwrap();
    let silent: Vec<_> = silent.iter().map(|worker| worker.id).collect();
    assert_eq!(silent, [world.process]);
    assert!(
        process::mark_rescued(&mut db, world.process, lease)
            .await
            .unwrap()
    );
    assert!(
        !process::mark_rescued(&mut db, world.process, lease)
            .await
            .unwrap(),
        "only one rescues"
    );
    assert!(!process::beat(&mut db, world.process).await.unwrap());
}

#[tokio::test]
async fn the_connections_of_a_worker_that_stopped_are_left_to_its_process() {
    let world = World::new().await;
    let mut db = world.db().await;
    let lease = Duration::from_secs(30);
    process::stop(&mut db, world.process).await.unwrap();
    let silent = process::list_silent_workers(&mut db, ProcessId::random(), lease)
        .await
        .unwrap();
    let silent: Vec<_> = silent
        .iter()
        .map(|worker| (worker.id, worker.application.as_deref()))
        .collect();
    assert_eq!(silent, [(world.process, None)]);
}

#[tokio::test]
async fn a_rescuer_ends_the_connections_of_others_and_never_those_of_its_own_process() {
    let world = World::new().await;
    let (mut db, mut beside_it) = (world.db().await, world.db().await);
    let own: String = sqlx::query_scalar("select current_setting('application_name')")
        .fetch_one(&mut *db)
        .await
        .unwrap();
    assert_eq!(process::end_connections(&mut db, &own).await.unwrap(), 0);
    process::beat(&mut beside_it, world.process).await.unwrap();

    let other = world.another_process().await;
    let mut cut_off = other.session().await.unwrap();
    let theirs: String = sqlx::query_scalar("select current_setting('application_name')")
        .fetch_one(&mut *cut_off)
        .await
        .unwrap();
    assert!(process::end_connections(&mut db, &theirs).await.unwrap() > 0);
    let ended = process::beat(&mut cut_off, world.process).await;
    assert!(ended.is_err(), "{ended:?}");
}

#[tokio::test]
async fn a_process_that_restarts_under_its_old_name_does_not_keep_its_runs() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    world.enqueue(&one, Duration::ZERO).await;
    let held = world.claim(1).await.remove(0);
    let mut db = world.db().await;
    // Killed, and up again at once under the same host name and process id, as the first process of a container is.
    sqlx::query("update syncline.process set seen_at = syncline.now() - interval '1 minute'")
        .execute(&world.pool)
        .await
        .unwrap();
    let restarted = ProcessId::random();
    process::register(&mut db, restarted, ProcessRole::Worker, "test:1", None)
        .await
        .unwrap();
    assert!(process::beat(&mut db, restarted).await.unwrap());

    let lease = Duration::from_secs(30);
    let silent = process::list_silent_workers(&mut db, ProcessId::random(), lease)
        .await
        .unwrap();
    let silent: Vec<_> = silent.iter().map(|worker| worker.id).collect();
    assert_eq!(silent, [world.process]);
    let rescued = process::mark_rescued(&mut db, world.process, lease).await;
    assert!(rescued.unwrap());
    let left = run::list_leased(&mut db, world.process).await.unwrap();
    assert_eq!((left.len(), left[0].id), (1, held.id));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_nobody_from_the_rows_beside_it() {
    let world = World::new().await;
    let three = world.business("acme", 3).await;
    let runs = world.enqueue(&three, Duration::ZERO).await;
    sqlx::query(r#"update syncline.run set progress = '{"products": {"status": "of a later release"}}' where id = $1"#)
        .bind(runs[1].id)
        .execute(&world.pool)
        .await
        .unwrap();
    let claimed = world.claim(3).await;
    let unreadable: Vec<_> = claimed
        .iter()
        .filter_map(|run| Some((run.id, run.unreadable.as_deref()?)))
        .collect();
    assert_eq!((claimed.len(), unreadable.len()), (3, 1));
    assert_eq!(unreadable[0].0, runs[1].id);
    assert!(
        unreadable[0].1.contains("of a later release"),
        "{unreadable:?}"
    );
    // Nor from the rescue.
    let mut db = world.db().await;
    let leased = run::list_leased(&mut db, world.process).await.unwrap();
    assert_eq!(leased.len(), 3);
}

#[tokio::test]
async fn checkpoints_leave_the_indexes_alone() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    world.enqueue(&one, Duration::ZERO).await;
    let run = world.claim(1).await.remove(0);
    let mut transaction = world.database.begin().await.unwrap();
    for sequence in 1..=5 {
        let checkpoint = Checkpoint {
            id: run.id,
            token: run.token,
            sequence,
            position: &json!({"products": {"position": {"page": sequence}}}),
            progress: &Progress::default(),
            spent: Spent::default(),
        };
        run::write_checkpoint(&mut transaction, &checkpoint)
            .await
            .unwrap();
    }
    // Of this transaction: updates, and those of them that wrote to no index.
    let updates: (i64, i64) = sqlx::query_as(
        "select pg_stat_get_xact_tuples_updated('syncline.run'::regclass),
                pg_stat_get_xact_tuples_hot_updated('syncline.run'::regclass)",
    )
    .fetch_one(&mut *transaction)
    .await
    .unwrap();
    assert_eq!(updates, (5, 5));
}

#[tokio::test]
async fn claims_that_run_at_once_share_the_queue() {
    let world = World::new().await;
    let targets = world.business("acme", 60).await;
    world.enqueue(&targets, Duration::ZERO).await;
    let (first, second, third) = tokio::join!(world.claim(20), world.claim(20), world.claim(20));
    let mut ids: Vec<_> = first
        .iter()
        .chain(&second)
        .chain(&third)
        .map(|run| run.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 60);
}

/// Waits until somebody waits for a lock of this database.
async fn until_a_lock_is_waited_for(world: &World) {
    loop {
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        if waits {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_run_that_is_cancelled_just_as_it_ends_or_is_handed_back_does_not_stay_running() {
    let world = World::new().await;
    let two = world.business("acme", 2).await;
    world.enqueue(&two, Duration::ZERO).await;
    let runs = world.claim(2).await;

    let mut cancelling = world.database.begin().await.unwrap();
    run::cancel(&mut cancelling, runs[0].id, "anna", None)
        .await
        .unwrap();
    let finishing = world.finish(&runs[0]);
    let committing = async {
        until_a_lock_is_waited_for(&world).await;
        cancelling.commit().await.unwrap();
    };
    let (finished, ()) = tokio::join!(finishing, committing);
    assert!(finished, "its lease was good");
    assert_eq!(world.state(runs[0].id).await, None);

    let mut cancelling = world.database.begin().await.unwrap();
    run::cancel(&mut cancelling, runs[1].id, "anna", None)
        .await
        .unwrap();
    let releasing = world.release(&runs[1], None);
    let committing = async {
        until_a_lock_is_waited_for(&world).await;
        cancelling.commit().await.unwrap();
    };
    let (released, ()) = tokio::join!(releasing, committing);
    released.unwrap();
    assert_eq!(world.state(runs[1].id).await, Some(RunState::Queued));
}
