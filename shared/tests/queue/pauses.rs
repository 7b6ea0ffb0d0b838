//! What rests and what is set free again, by the scope of a pause; and what is told of it.

use std::time::Duration;

use syncline_shared::db::pause::{self, PauseCause, PauseTarget};
use syncline_shared::db::run::{self, RunTarget};
use syncline_shared::ids::RunId;
use syncline_shared::run::RunState;

use crate::world::World;

async fn pause(world: &World, target: &PauseTarget, note: &str) {
    let mut db = world.db().await;
    pause::pause(&mut db, target, PauseCause::Person, Some(note), "anna")
        .await
        .unwrap();
}

async fn resume(world: &World, target: &PauseTarget) {
    let resumed = pause::resume(&mut *world.db().await, target).await.unwrap();
    assert!(resumed, "{target:?} was paused");
}

/// One run a connection, all held back.
async fn held(world: &World, targets: &[RunTarget]) -> Vec<RunId> {
    let enqueued = world.enqueue(targets, Duration::ZERO).await;
    assert!(enqueued.iter().all(|run| run.state == RunState::Waiting));
    targets
        .iter()
        .map(|target| {
            let of_target = |run: &&run::EnqueuedRun| run.connection_id == target.connection_id;
            enqueued.iter().find(of_target).unwrap().id
        })
        .collect()
}

async fn free(world: &World) -> usize {
    let mut db = world.db().await;
    run::free_paused(&mut db, 100).await.unwrap().0
}

#[tokio::test]
async fn a_lifted_pause_frees_its_scope_and_leaves_what_rests_for_another_reason() {
    let world = World::new().await;
    let acme = world.business_on("acme", &["a", "b", "c"]).await;
    let bolt = world.business_on("bolt", &["a", "b", "c"]).await;
    let targets = [acme, bolt].concat();
    let platform = PauseTarget::Platform("b".to_owned());
    let business = PauseTarget::Business(targets[0].business_id);
    let connection = PauseTarget::Connection(targets[5].connection_id);
    let everything = PauseTarget::Everything;
    for target in [&everything, &platform, &business, &connection] {
        pause(&world, target, "why").await;
    }
    let runs = held(&world, &targets).await;
    assert_eq!(free(&world).await, 0);

    let queued = async |world: &World| {
        let mut queued = Vec::new();
        for (index, id) in runs.iter().enumerate() {
            if world.state(*id).await == Some(RunState::Queued) {
                queued.push(index);
            }
        }
        queued
    };
    // Of acme's a, b, c and bolt's a, b, c only bolt's a rests for no other reason.
    resume(&world, &everything).await;
    assert_eq!(free(&world).await, 1);
    assert_eq!(queued(&world).await, [3]);
    resume(&world, &business).await;
    assert_eq!(free(&world).await, 2);
    assert_eq!(queued(&world).await, [0, 2, 3]);
    resume(&world, &platform).await;
    assert_eq!(free(&world).await, 2);
    assert_eq!(queued(&world).await, [0, 1, 2, 3, 4]);
    resume(&world, &connection).await;
    assert_eq!(free(&world).await, 1);
    assert_eq!(free(&world).await, 0);
}

#[tokio::test]
async fn the_view_tells_a_pause_as_it_stands_now() {
    let world = World::new().await;
    let one = world.business("acme", 1).await;
    let connection = PauseTarget::Connection(one[0].connection_id);
    pause(&world, &connection, "the shop moves").await;
    let id = held(&world, &one).await.remove(0);
    let told = async || -> String {
        sqlx::query_scalar("select wait_detail from syncline.runs where id = $1")
            .bind(id)
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    let first = "its connection is paused by anna: the shop moves";
    assert_eq!(told().await, first);
    pause(&world, &connection, "the shop has burnt down").await;
    assert_eq!(
        told().await,
        "its connection is paused by anna: the shop has burnt down"
    );
    pause(&world, &PauseTarget::Everything, "holidays").await;
    assert_eq!(told().await, "everything is paused by anna: holidays");
    // Lifted, and not set free yet: what it has waited for.
    resume(&world, &PauseTarget::Everything).await;
    resume(&world, &connection).await;
    assert_eq!(told().await, first);
}
