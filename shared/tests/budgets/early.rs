//! Permits that begin a little later than they are asked for.

use std::time::Duration;

use syncline_shared::budget::BudgetDefinition;
use syncline_shared::db::budget::{Correction, Cost, Settled};

use crate::world::{Given, World, asker, concurrent, rolling, sent};

/// Somebody asks for permits of a point, and would wait for their beginning.
async fn ask(
    world: &World,
    who: u128,
    budget: &BudgetDefinition,
    want: u32,
    early_ms: u64,
    settled: &[Cost],
) -> Given {
    let budgets = [(budget.clone(), 1)];
    world
        .ask_early(asker(who, 1), &budgets, want, 30, early_ms, settled)
        .await
}

#[tokio::test]
async fn who_comes_shortly_before_there_is_room_is_given_it_from_then_on() {
    let world = World::new().await;
    let budget = world.budget("requests", vec![rolling(5, 1_000)]);
    let began = world.now_ms().await;
    let first = ask(&world, 1, &budget, 5, 0, &[]).await;
    world.advance(1_000).await;
    let told = [sent(&budget, &first, began, 5)];
    let wait = ask(&world, 1, &budget, 1, 0, &told).await.wait_ms();
    assert!((50..=80).contains(&wait), "{wait}");
    let early = wait.unsigned_abs();
    assert_eq!(
        ask(&world, 1, &budget, 1, early - 1, &[]).await.wait_ms(),
        wait
    );

    let given = ask(&world, 1, &budget, 3, early, &[]).await.begins();
    assert_eq!(
        (given.len(), given[0].permits, given[0].begins_in),
        (1, 3, Duration::from_millis(early))
    );
    // No request leaves later than that: it counts from the end of its lease.
    assert_eq!(given[0].charge.at, began + 1_000 + wait + 30);
    // Two are left of that time, and none is left then.
    assert_eq!(ask(&world, 1, &budget, 9, early, &[]).await.granted(), 2);
    assert!(ask(&world, 1, &budget, 1, early, &[]).await.wait_ms() > wait);
    world.advance(wait).await;
    assert!(ask(&world, 1, &budget, 1, early, &[]).await.wait_ms() >= 1_000);
}

#[tokio::test]
async fn what_is_kept_for_those_who_wait_longer_is_not_given() {
    let world = World::new().await;
    let budget = world.budget("requests", vec![rolling(2, 1_000)]);
    let began = world.now_ms().await;
    let first = ask(&world, 1, &budget, 2, 0, &[]).await;
    world.advance(1_000).await;
    let told = [sent(&budget, &first, began, 2)];
    for who in [2, 3] {
        ask(&world, who, &budget, 1, 0, &told[..usize::from(who == 2)])
            .await
            .wait_ms();
    }
    // There will be room for the two who wait, and for nobody else.
    assert!(ask(&world, 4, &budget, 1, 100, &[]).await.wait_ms() > 0);
    let second = ask(&world, 2, &budget, 1, 100, &[]).await.begins();
    let third = ask(&world, 3, &budget, 1, 100, &[]).await.begins();
    assert_eq!((second[0].permits, third[0].permits), (1, 1));
    assert_eq!(second[0].begins_in, third[0].begins_in);
}

#[tokio::test]
async fn of_several_each_begins_when_there_is_room_for_it() {
    let world = World::new().await;
    let budget = world.budget("requests", vec![rolling(4, 1_000)]);
    let mut told = Vec::new();
    for _ in 0..3 {
        let now = world.now_ms().await;
        let given = ask(&world, 1, &budget, 1, 0, &told).await;
        told = vec![sent(&budget, &given, now, 1)];
        world.advance(20).await;
    }
    world.advance(960).await;
    // One is free now, the others one after the other.
    let given = ask(&world, 1, &budget, 4, 100, &told).await.begins();
    let begins: Vec<_> = given
        .iter()
        .map(|one| (one.permits, one.begins_in.as_millis()))
        .collect();
    let [(1, 0), (1, first), (1, second), (1, third)] = begins[..] else {
        panic!("{begins:?}")
    };
    assert!((30..=60).contains(&first), "{begins:?}");
    assert_eq!((second - first, third - second), (20, 20));
    let ends: Vec<_> = given.iter().map(|one| one.charge.at).collect();
    assert_eq!(ends[3] - ends[0], i64::try_from(third).unwrap());
}

#[tokio::test]
async fn what_is_free_of_a_permits_points_is_no_permit() {
    let world = World::new().await;
    let budget = world.budget("points", vec![rolling(5, 1_000)]);
    let mut told = Vec::new();
    for points in [2, 3] {
        let now = world.now_ms().await;
        let given = ask(&world, 1, &budget, points, 0, &told).await;
        told = vec![sent(&budget, &given, now, i64::from(points))];
        world.advance(500).await;
    }
    world.advance(20).await;
    // Soon two points are free, and one costs three.
    let dear = [(budget.clone(), 3)];
    let refused = world.ask_early(asker(2, 1), &dear, 1, 30, 100, &told).await;
    assert!(refused.wait_ms() > 400, "{refused:?}");
    let cheap = ask(&world, 2, &budget, 5, 100, &[]).await.begins();
    assert_eq!((cheap.len(), cheap[0].permits), (1, 2), "{cheap:?}");
}

#[tokio::test]
async fn permits_of_one_budget_change_nothing_of_another_that_is_settled_with_them() {
    let world = World::new().await;
    let asked = world.budget("asked", vec![rolling(5, 1_000)]);
    let other = world.budget("other", vec![rolling(5, 1_000)]);
    ask(&world, 1, &asked, 1, 0, &[]).await;
    let given = ask(&world, 2, &other, 5, 0, &[]).await;
    // One of them is given back; four are charged at the end of a lease, as what is asked for now is.
    let mut one = sent(&other, &given, 0, 0);
    one.points = 1;
    one.settled = Settled::Unused;
    assert_eq!(ask(&world, 1, &asked, 1, 0, &[one]).await.granted(), 1);
    assert_eq!(ask(&world, 2, &other, 9, 0, &[]).await.granted(), 1);
}

#[tokio::test]
async fn a_pause_and_a_request_under_way_are_waited_for() {
    let world = World::new().await;
    let paused = world.budget("paused", vec![rolling(5, 1_000)]);
    ask(&world, 1, &paused, 1, 0, &[]).await;
    let wait = Correction {
        is_limited: true,
        wait: Some(Duration::from_millis(40)),
        ..Correction::default()
    };
    world.correct(&paused, wait).await;
    assert_eq!(ask(&world, 1, &paused, 1, 60, &[]).await.wait_ms(), 40);

    let one_at_once = world.budget("at-once", vec![concurrent(1), rolling(5, 1_000)]);
    assert_eq!(ask(&world, 1, &one_at_once, 1, 60, &[]).await.granted(), 1);
    assert_eq!(ask(&world, 2, &one_at_once, 1, 60, &[]).await.wait_ms(), 50);
}
