//! Budgets against a referee who counts what leaves and what arrives: any order of asking, sending, answering and dying, on a clock that
//! the test moves.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod calendars;
mod circuits;
mod corrections;
mod definitions;
mod early;
mod fleet;
mod learning;
mod parking;
mod prices;
mod referee;
mod turns;
mod under_way;
mod world;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use syncline_shared::budget::BudgetWindowKind::Concurrent;

use fleet::Fleet;
use world::{World, concurrent, rolling};

const WALKS: u64 = 6;
const STEPS: usize = 500;
const PRESSES: usize = 200;

#[tokio::test]
async fn whatever_dies_no_window_gets_more_than_its_limit() {
    let world = World::new().await;
    let shapes = [
        vec![rolling(5, 1_000)],
        vec![rolling(40, 10_000)],
        vec![rolling(4, 500), rolling(20, 8_000)],
        vec![rolling(6, 1_000), concurrent(3)],
        vec![rolling(10, 1_000), rolling(80, 8_000), concurrent(4)],
    ];
    for seed in 0..WALKS {
        for (number, windows) in shapes.iter().enumerate() {
            let budget = world.budget(&format!("{seed}-{number}"), windows.clone());
            let mut fleet = Fleet::new(
                &world,
                budget,
                StdRng::seed_from_u64(seed * 100 + number as u64),
            );
            if windows.len() > 2 {
                fleet = fleet.with_requests_up_to(14);
            }
            for _ in 0..STEPS {
                fleet.step().await;
            }
            fleet.press(PRESSES).await;
            let sent = fleet.referee.assert_held(windows);
            assert!(
                sent > 30,
                "seed {seed}, {windows:?}: only {sent} requests were sent"
            );
        }
    }
}

#[tokio::test]
async fn nine_tenths_of_a_budget_are_used_while_work_waits() {
    let world = World::new().await;
    for (number, windows) in [
        vec![rolling(10, 1_000)],
        vec![rolling(300, 60_000)],
        vec![rolling(7, 1_000), rolling(60, 10_000)],
    ]
    .into_iter()
    .enumerate()
    {
        let budget = world.budget(&format!("busy-{number}"), windows.clone());
        let mut fleet = Fleet::new(&world, budget, StdRng::seed_from_u64(7));
        let longest = windows.iter().map(world::length_ms).max().unwrap();
        fleet.work_for(longest * 6).await;
        fleet.referee.assert_held(&windows);
        let (used, of) = fleet.referee.use_of(&windows, longest * 6);
        assert!(used * 10 >= of * 9, "{windows:?}: {used} of {of}");
        let sent = fleet.referee.sent.len();
        let asks = fleet.asks;
        assert!(
            asks <= sent,
            "{windows:?}: {asks} questions for {sent} requests"
        );
    }
}

#[tokio::test]
async fn two_budgets_are_drawn_on_together_or_not_at_all() {
    let world = World::new().await;
    let wide = world.budget("wide", vec![rolling(10, 1_000)]);
    let narrow = world.budget("narrow", vec![rolling(2, 1_000)]);
    let both = [(wide.clone(), 1), (narrow.clone(), 1)];
    assert_eq!(world.take(&both, 8).await.granted(), 2);
    assert_eq!(world.take(&both, 1).await.refused_by(), "test/narrow/");
    // What was refused was charged to none of them.
    assert_eq!(world.take(&[(wide, 1)], 20).await.granted(), 8);
}

#[tokio::test]
async fn a_refusal_says_when_there_is_room_again() {
    let world = World::new().await;
    let budget = [(world.budget("points", vec![rolling(10, 1_000)]), 3)];
    assert_eq!(world.take(&budget, 1).await.granted(), 1);
    world.advance(400).await;
    assert_eq!(world.take(&budget, 9).await.granted(), 2);
    let wait = world.take(&budget, 1).await.wait_ms();
    world.advance(wait - 1).await;
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 1);
    world.advance(1).await;
    assert_eq!(world.take(&budget, 9).await.granted(), 1);
}

#[tokio::test]
async fn a_budget_with_new_windows_remembers_what_it_gave_in_those_that_stay() {
    let world = World::new().await;
    let before = world.budget("grows", vec![rolling(5, 1_000)]);
    assert_eq!(world.take(&[(before.clone(), 1)], 9).await.granted(), 5);
    let mut after = before;
    after.windows = vec![rolling(8, 1_000), concurrent(100)];
    assert!(after.windows.iter().any(|window| window.kind == Concurrent));
    assert_eq!(world.take(&[(after, 1)], 9).await.granted(), 3);
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_no_window_twice() {
    let world = World::new().await;
    let budget = [(world.budget("back", vec![rolling(5, 1_000)]), 1)];
    assert_eq!(world.take(&budget, 9).await.granted(), 5);
    world.advance(-600_000).await;
    assert!(world.take(&budget, 1).await.wait_ms() <= 1_200);
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..20 {
        world.advance(random.random_range(0..30)).await;
        assert!(world.take(&budget, 1).await.wait_ms() > 0);
    }
}
