//! What one request costs, window by window.

use syncline_shared::db::budget::{Cost, Settled};

use crate::world::{World, concurrent, rolling, sent, settled};

#[tokio::test]
async fn a_dear_request_costs_all_that_it_does_in_each_window_of_time() {
    let world = World::new().await;
    let windows = vec![rolling(10, 1_000), rolling(100, 60_000), concurrent(4)];
    let budget = [(world.budget("dear", windows), 40)];
    for _ in 0..2 {
        // More than the second gives: alone in it.
        let given = world.take(&budget, 9).await;
        assert_eq!(given.granted(), 1);
        assert_eq!(world.take(&budget, 1).await.refused_by(), "test/dear/");
        let left = world.now_ms().await;
        let report = [Cost {
            points: 40,
            ..sent(&budget[0].0, &given, left, 40)
        }];
        world.ask(&budget, 0, 0, &report).await;
        world.advance(1_100).await;
    }
    // 80 of 100 points of the minute are used.
    let wait = world.take(&budget, 1).await.wait_ms();
    assert!((57_000..64_500).contains(&wait), "{wait}");
    let cheap = [(budget[0].0.clone(), 10)];
    assert_eq!(world.take(&cheap, 9).await.granted(), 1);
}

#[tokio::test]
async fn requests_at_once_are_counted_and_not_their_points() {
    let world = World::new().await;
    let budget = [(
        world.budget("heavy", vec![concurrent(3), rolling(90, 1_000)]),
        9,
    )];
    let given = world.take(&budget, 9).await;
    assert_eq!(given.granted(), 3);
    let back = [Cost {
        points: 27,
        ..settled(&budget[0].0, &given, Settled::Unused)
    }];
    assert_eq!(world.ask(&budget, 9, 0, &back).await.granted(), 3);
}

#[tokio::test]
async fn what_the_platform_says_that_a_request_cost_takes_no_more_than_the_window() {
    let world = World::new().await;
    let budget = [(world.budget("told", vec![rolling(50, 1_000)]), 1)];
    let given = world.take(&budget, 1).await;
    let left = world.now_ms().await;
    let report = [sent(&budget[0].0, &given, left, i64::from(u32::MAX))];
    world.ask(&budget, 0, 0, &report).await;
    assert!(world.take(&budget, 1).await.wait_ms() <= 1_100);
    world.advance(1_100).await;
    assert_eq!(world.take(&budget, 99).await.granted(), 50);
}

#[tokio::test]
async fn who_is_refused_learns_when_there_is_room_for_others() {
    let world = World::new().await;
    let points = world.budget("room", vec![rolling(10, 1_000)]);
    assert_eq!(world.take(&[(points.clone(), 1)], 1).await.granted(), 1);
    world.advance(400).await;
    // The whole window is free when what left first counts no more; there is room for others now.
    let dear = world.take(&[(points.clone(), 10)], 1).await;
    assert_eq!((dear.room_ms(), dear.wait_ms() > 600), (0, true));
    assert_eq!(world.take(&[(points.clone(), 1)], 9).await.granted(), 9);
    // The first frees its point first, then the others free theirs.
    let dear = world.take(&[(points.clone(), 10)], 1).await;
    assert!((600..700).contains(&dear.room_ms()), "{dear:?}");
    assert!(dear.wait_ms() > 1_000, "{dear:?}");
}
