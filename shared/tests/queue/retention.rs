//! What is old goes, and nothing else: months of history, batches and ticks, and runs that have grown too old.

use std::time::Duration;

use sqlx::PgPool;
use syncline_shared::db::run::{self, LogLevel, LogLine};
use syncline_shared::db::{DbConnection, history, process};
use syncline_shared::ids::RunId;
use syncline_shared::run::{RunState, RunStatus, WaitReason};

use crate::clock;
use crate::world::World;

const DAY: Duration = Duration::from_hours(24);

async fn partitions(pool: &PgPool, parent: &str) -> Vec<String> {
    sqlx::query_scalar(
        "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = ('syncline.' || $1)::regclass order by 1",
    )
    .bind(parent)
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn count(pool: &PgPool, table: &'static str) -> i64 {
    let query = format!("select count(*) from syncline.{table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// A run that was created, ran, logged a line and ended at an instant.
async fn run_at(world: &World, at: &str) -> RunId {
    clock::set(&world.pool, at).await;
    let key = at.to_lowercase().replace(':', "-");
    let one = world.business(&key, 1).await;
    world.enqueue(&one, Duration::ZERO).await;
    let run = world.claim(1).await.remove(0);
    let line = LogLine {
        at: clock::read(&world.pool).await,
        level: LogLevel::Info,
        stream: None,
        message: "read".to_owned(),
    };
    run::append_log(&mut *world.db().await, run.id, run.token, 1, &[line])
        .await
        .unwrap();
    assert!(world.finish(&run).await);
    run.id
}

async fn partition_of(world: &World, id: RunId) -> String {
    sqlx::query_scalar("select c.relname::text from syncline.run_history h join pg_class c on c.oid = h.tableoid where h.id = $1")
        .bind(id)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn partitions_are_made_ahead_once_and_take_the_runs_of_their_month() {
    let world = World::new().await;
    clock::stop(&world.pool).await;
    clock::set(&world.pool, "2031-11-20T12:00:00Z").await;
    let mut db = world.db().await;
    assert_eq!(history::keep_partitions(&mut db, 3).await.unwrap(), 12);
    assert_eq!(history::keep_partitions(&mut db, 3).await.unwrap(), 0);
    for parent in ["run_history", "attempt", "run_log"] {
        let made = partitions(&world.pool, parent).await;
        for month in ["2031_11", "2031_12", "2032_01", "2032_02"] {
            assert!(made.contains(&format!("{parent}_{month}")), "{made:?}");
        }
    }
    for (at, partition) in [
        ("2031-11-30T23:59:59.999Z", "2031_11"),
        ("2031-12-01T00:00:00Z", "2031_12"),
        ("2032-03-01T00:00:00Z", "default"),
    ] {
        let id = run_at(&world, at).await;
        let expected = format!("run_history_{partition}");
        assert_eq!(partition_of(&world, id).await, expected);
    }
}

#[tokio::test]
async fn old_months_are_dropped_whole_and_nothing_else_is_touched() {
    let world = World::new().await;
    clock::stop(&world.pool).await;
    // Those that the migrations made, in the years before.
    let early = partitions(&world.pool, "run_log").await.len() - 1;
    // June is missing, so its runs are in the default partition.
    for month in ["2031-04-01Z", "2031-05-01Z", "2031-07-01Z"] {
        clock::set(&world.pool, month).await;
        let made = history::keep_partitions(&mut *world.db().await, 0).await;
        assert_eq!(made.unwrap(), 3);
    }
    let april = run_at(&world, "2031-04-30T23:00:00Z").await;
    let may = run_at(&world, "2031-05-01T00:00:00Z").await;
    let june = run_at(&world, "2031-06-01T00:00:00Z").await;
    let late_june = run_at(&world, "2031-06-29T00:00:00Z").await;
    let july = run_at(&world, "2031-07-02T00:00:00Z").await;
    let waiting = world.business("waiting", 1).await;
    clock::set(&world.pool, "2031-04-02T00:00:00Z").await;
    let unfinished = world.enqueue(&waiting, DAY * 400).await.remove(0);
    let connections = count(&world.pool, "connection").await;
    let batches = count(&world.pool, "batch").await;

    clock::set(&world.pool, "2031-07-11T00:00:00Z").await;
    let dropped = history::drop_old(&mut *world.db().await, DAY * 30).await;
    // April and May of three tables; the cut is 11 June.
    assert_eq!(usize::try_from(dropped.unwrap()).unwrap(), 3 * (early + 2));
    let kept: Vec<RunId> = sqlx::query_scalar("select id from syncline.run_history order by id")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert_eq!(kept, [late_june, july], "not {april}, {may}, {june}");
    for table in ["attempt", "run_log"] {
        assert_eq!(count(&world.pool, table).await, 2, "{table}");
    }
    let left = partitions(&world.pool, "run_history").await;
    assert!(left.contains(&"run_history_2031_07".to_owned()));
    assert!(left.contains(&"run_history_default".to_owned()));
    assert!(!left.contains(&"run_history_2031_05".to_owned()));
    assert_eq!(world.state(unfinished.id).await, Some(RunState::Waiting));
    assert_eq!(count(&world.pool, "connection").await, connections);
    assert_eq!(count(&world.pool, "batch").await, batches);
    let again = history::drop_old(&mut *world.db().await, DAY * 30).await;
    assert_eq!(again.unwrap(), 0);
}

#[tokio::test]
async fn batches_go_when_they_are_old_and_no_run_of_theirs_is_left() {
    let world = World::new().await;
    clock::stop(&world.pool).await;
    clock::set(&world.pool, "2031-01-01T00:00:00Z").await;
    let one = world.business("acme", 1).await;
    for _ in 0..5 {
        world.enqueue(&one, Duration::ZERO).await;
    }
    let run = world.claim(1).await.remove(0);
    assert!(world.finish(&run).await);
    clock::set(&world.pool, "2031-03-01T00:00:00Z").await;
    world.enqueue(&one, Duration::ZERO).await;
    let mut db = world.db().await;
    let prune = async |db: &mut DbConnection, limit| {
        history::prune_batches(db, DAY * 30, limit).await.unwrap()
    };
    assert_eq!(prune(&mut db, 10).await, 1, "that of the finished run");
    for _ in 0..4 {
        let run = world.claim(1).await.remove(0);
        assert!(world.finish(&run).await);
    }
    assert_eq!(prune(&mut db, 3).await, 3, "no more than asked for");
    assert_eq!(prune(&mut db, 3).await, 1);
    assert_eq!(prune(&mut db, 3).await, 0);
    assert_eq!(count(&world.pool, "batch").await, 1, "the young one");
}

#[tokio::test]
async fn a_run_that_is_too_old_ends_unless_it_is_being_executed() {
    let world = World::new().await;
    clock::stop(&world.pool).await;
    clock::set(&world.pool, "2031-01-01T00:00:00Z").await;
    let three = world.business("acme", 3).await;
    let old = world.enqueue(&three, Duration::ZERO).await;
    let behind = world.enqueue(&three[1..2], Duration::ZERO).await.remove(0);
    let claimed = world.claim(2).await;
    let hour = Some((WaitReason::Limit, Duration::from_hours(1)));
    world.release(&claimed[0], hour).await.unwrap();
    clock::set(&world.pool, "2031-01-07T00:00:00Z").await;
    let young = world.enqueue(&three[2..], Duration::ZERO).await.remove(0);
    clock::set(&world.pool, "2031-01-09T00:00:00Z").await;
    let mut db = world.db().await;
    // Of the four old ones one is being executed.
    assert_eq!(run::expire(&mut db, DAY * 7).await.unwrap(), 3);
    assert_eq!(world.state(claimed[1].id).await, Some(RunState::Running));
    assert_eq!(
        world.state(young.id).await,
        Some(RunState::Queued),
        "it takes the gate of the one before"
    );
    let ended = old.iter().map(|run| run.id).chain([behind.id]);
    for id in ended.filter(|id| *id != claimed[1].id) {
        let view = history::find_run(&mut db, id).await.unwrap().unwrap();
        assert_eq!(view.status, RunStatus::Failed);
        let error = view.last_error.unwrap();
        assert!(error.message.contains("longest age"), "{}", error.message);
    }
    assert!(process::beat(&mut db, world.process).await.unwrap());
    world.release(&claimed[1], None).await.unwrap();
    assert_eq!(run::expire(&mut db, DAY * 7).await.unwrap(), 1);
}
