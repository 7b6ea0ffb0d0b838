//! Nobody waits for long because others have much to do.
//!
//! A run's place in the queue is its turn plus its priority. Turns are counted for each business and priority, and begin after the
//! virtual time: the highest turn that was claimed. From this follow the bounds that these tests hold the claim to.

use std::time::Duration;

use syncline_shared::db::process::{self, Slots};
use syncline_shared::db::run::{ReleaseTo, RunTarget};
use syncline_shared::ids::{BusinessId, ConnectionId};
use syncline_shared::run::{SYNC_QUEUE, WaitReason};
use uuid::Uuid;

use crate::clock;
use crate::world::World;

const NOW: Duration = Duration::ZERO;

/// So many connections of a business that exist nowhere else: the queue does not ask.
fn crowd(of: &RunTarget, size: usize) -> Vec<RunTarget> {
    let one = || RunTarget {
        connection_id: ConnectionId(Uuid::new_v4()),
        ..of.clone()
    };
    std::iter::repeat_with(one).take(size).collect()
}

/// The businesses of the next runs, claimed and finished one by one: a fleet of one slot.
async fn next_one_by_one(world: &World, count: usize) -> Vec<BusinessId> {
    let mut businesses = Vec::new();
    for _ in 0..count {
        let run = world.claim(1).await.remove(0);
        assert!(world.finish(&run).await);
        businesses.push(run.business_id);
    }
    businesses
}

#[tokio::test]
async fn a_late_comer_is_next_however_many_runs_another_business_has_queued() {
    let world = World::new().await;
    let many = world.business("many", 1).await;
    let late = world.business("late", 1).await;
    world.enqueue(&crowd(&many[0], 10_000), NOW).await;
    next_one_by_one(&world, 20).await;
    world.enqueue(&late, NOW).await;
    let next = next_one_by_one(&world, 2).await;
    assert!(
        next.contains(&late[0].business_id),
        "its first run is one of the next two"
    );
}

#[tokio::test]
async fn twenty_thousand_runs_of_one_connection_alternate_with_others_for_the_only_slot() {
    let world = World::new().await;
    let crowded = world.business("crowded", 1).await.remove(0);
    let other = world.business("other", 1).await.remove(0);
    world.enqueue(&vec![crowded.clone(); 20_000], NOW).await;
    world.enqueue(&crowd(&other, 40), NOW).await;
    let next = next_one_by_one(&world, 80).await;
    for pair in next.windows(3) {
        assert!(
            pair.contains(&crowded.business_id) && pair.contains(&other.business_id),
            "never three in a row of one: {next:?}"
        );
    }
}

#[tokio::test]
async fn a_crowded_connection_takes_one_slot_and_leaves_the_others_to_its_own_business() {
    let world = World::new().await;
    let two = world.business("acme", 1).await.remove(0);
    world.enqueue(&vec![two.clone(); 5_000], NOW).await;
    let others = crowd(&two, 10);
    world.enqueue(&others, NOW).await;
    let mut served = 0;
    for _ in 0..10 {
        for run in world.claim(2).await {
            served += usize::from(run.connection_id != two.connection_id);
            assert!(world.finish(&run).await);
        }
    }
    assert_eq!(served, others.len(), "one of each pair");
}

#[tokio::test]
async fn a_run_of_low_priority_is_overtaken_a_bounded_number_of_times() {
    const URGENT: i16 = 10;
    const LOW: i16 = 60;
    const RIVALS: usize = 3;
    // A rival has one run for each turn, and runs whose turn is higher by more than the difference of the priorities come after.
    let bound = RIVALS * usize::try_from(LOW - URGENT).unwrap() + 1;

    let world = World::new().await;
    let low = world.business("low", 1).await;
    let mut rivals = Vec::new();
    for number in 0..RIVALS {
        let rival = world.business(&format!("rival-{number}"), 1).await;
        world.enqueue_at(&crowd(&rival[0], 5), NOW, URGENT).await;
        rivals.extend(rival);
    }
    world.enqueue_at(&low, NOW, LOW).await;
    let mut claims = 0;
    loop {
        let run = world.claim(1).await.remove(0);
        claims += 1;
        assert!(world.finish(&run).await);
        if run.business_id == low[0].business_id {
            break;
        }
        assert!(claims < bound, "overtaken {claims} times");
        // The stream never ends: whoever was served comes back at once.
        let of = rivals.iter().find(|of| of.business_id == run.business_id);
        world.enqueue_at(&crowd(of.unwrap(), 1), NOW, URGENT).await;
    }
    assert!(claims > RIVALS * 5, "priority means something: {claims}");
}

#[tokio::test]
async fn a_platform_gets_no_more_than_its_room_while_another_waits() {
    let world = World::new().await;
    let both = world.business_on("acme", &["g2a", "meta"]).await;
    world.enqueue(&crowd(&both[0], 30), NOW).await;
    world.enqueue(&crowd(&both[1], 2), NOW).await;
    let of = |platform: &str, runs: &[syncline_shared::db::run::ClaimedRun]| {
        runs.iter().filter(|run| run.platform == platform).count()
    };
    let claimed = world.claim_within(10, 4).await;
    assert_eq!((of("g2a", &claimed), of("meta", &claimed)), (4, 2));
    let claimed = world.claim_within(10, 4).await;
    assert_eq!(of("g2a", &claimed), 10, "nobody else wants the slots now");
}

#[tokio::test]
async fn slots_are_counted_as_a_run_of_its_platform_finds_them() {
    let world = World::new().await;
    let all = world.business_on("acme", &["g2a", "g2a", "meta"]).await;
    world.enqueue(&all, NOW).await;
    let count = async |platform| {
        let mut db = world.db().await;
        let minute = Duration::from_mins(1);
        process::count_slots(&mut db, minute, SYNC_QUEUE, platform)
            .await
            .unwrap()
    };
    let nothing_taken = Slots {
        workers: 1,
        total: 8,
        taken: 0,
        share: 8,
        taken_by_platform: 0,
        others_are_ready: true,
    };
    assert_eq!(count("g2a").await, nothing_taken);
    // One of each platform.
    assert_eq!(world.claim_within(2, 1).await.len(), 2);
    let each = Slots {
        taken: 2,
        taken_by_platform: 1,
        ..nothing_taken
    };
    assert_eq!(count("meta").await, each);
    let alone = Slots {
        others_are_ready: false,
        ..each
    };
    assert_eq!(count("g2a").await, alone, "only its own are left");
}

#[tokio::test]
async fn a_yielded_run_goes_behind_every_business_that_waits_and_a_drained_one_does_not() {
    for (to, expected) in [(ReleaseTo::Back, 2), (ReleaseTo::Front, 0)] {
        let world = World::new().await;
        let long = world.business("long", 1).await;
        let others = [
            world.business("left", 2).await,
            world.business("right", 2).await,
        ]
        .concat();
        world.enqueue(&long, NOW).await;
        world.enqueue(&others, NOW).await;
        // The first of each business have the same turn; the second ones wait.
        let firsts = world.claim(3).await;
        let run = firsts
            .iter()
            .find(|run| run.business_id == long[0].business_id);
        world.release_to(run.unwrap(), to).await.unwrap();
        let next = world.claim(3).await;
        let position = next
            .iter()
            .position(|run| run.business_id == long[0].business_id);
        assert_eq!(position, Some(expected), "{to:?}");
    }
}

#[tokio::test]
async fn a_drained_run_is_the_first_of_its_turn_again() {
    let world = World::new().await;
    clock::stop(&world.pool).await;
    for key in ["first", "second", "third"] {
        let one = world.business(key, 1).await;
        world.enqueue(&one, NOW).await;
        clock::advance(&world.pool, 10).await;
    }
    let first = world.claim(1).await.remove(0);
    world.release_to(&first, ReleaseTo::Front).await.unwrap();
    let next = world.claim(1).await.remove(0);
    assert_eq!(next.id, first.id, "all have the same turn, it came first");
}

#[tokio::test]
async fn a_run_that_waited_for_long_does_not_overtake_everybody() {
    let world = World::new().await;
    let old = world.business("old", 1).await;
    let busy = world.business("busy", 1).await;
    world.enqueue(&[old[0].clone(), old[0].clone()], NOW).await;
    let first = world.claim(1).await.remove(0);
    world.enqueue(&crowd(&busy[0], 30), NOW).await;
    next_one_by_one(&world, 20).await;
    let hour = ReleaseTo::Wait(WaitReason::Limit, Duration::from_hours(1));
    world.release_to(&first, hour).await.unwrap();
    let next = next_one_by_one(&world, 2).await;
    assert!(
        next.contains(&busy[0].business_id),
        "the run behind it takes a turn of now, not of then"
    );
}
