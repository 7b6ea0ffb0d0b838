//! Budgets whose limits are changed, and those that several know differently.

use std::time::Duration;

use syncline_shared::budget::{BudgetWindow, BudgetWindowKind};
use syncline_shared::db::budget::{define_budget, list_budgets, settle_permits, total_budgets};

use crate::world::{World, concurrent, rolling, sent};

#[tokio::test]
async fn a_shorter_window_begins_with_what_the_longer_one_remembers() {
    let world = World::new().await;
    let mut budget = world.budget("shorter", vec![rolling(10, 60_000)]);
    assert_eq!(world.take(&[(budget.clone(), 1)], 7).await.granted(), 7);
    budget.windows = vec![rolling(10, 30_000)];
    assert_eq!(world.take(&[(budget.clone(), 1)], 99).await.granted(), 3);
    let wait = world.take(&[(budget.clone(), 1)], 99).await.wait_ms();
    // A slot of the longer one more.
    assert!((30_000..=33_400).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_longer_window_begins_with_what_the_shorter_one_remembers() {
    let world = World::new().await;
    let mut budget = world.budget("longer", vec![rolling(10, 1_000)]);
    assert_eq!(world.take(&[(budget.clone(), 1)], 7).await.granted(), 7);
    budget.windows = vec![rolling(10, 60_000)];
    assert_eq!(world.take(&[(budget.clone(), 1)], 99).await.granted(), 3);
    assert!(world.take(&[(budget, 1)], 99).await.wait_ms() > 60_000);
}

#[tokio::test]
async fn a_window_of_time_that_joins_a_calendar_does_not_wait_for_its_end() {
    let world = World::new().await;
    let day = BudgetWindow {
        kind: BudgetWindowKind::Day("UTC".to_owned()),
        limit: 100,
    };
    let mut budget = world.budget("joins", vec![day]);
    assert_eq!(world.take(&[(budget.clone(), 1)], 7).await.granted(), 7);
    budget.windows.push(rolling(10, 60_000));
    assert_eq!(world.take(&[(budget.clone(), 1)], 99).await.granted(), 3);
    world.advance(59_999).await;
    assert!(world.take(&[(budget.clone(), 1)], 99).await.wait_ms() > 0);
    world.advance(15_001).await;
    assert_eq!(world.take(&[(budget, 1)], 99).await.granted(), 10);
}

#[tokio::test]
async fn those_who_know_other_limits_share_one_count() {
    let world = World::new().await;
    let narrow = [(world.budget("shared", vec![rolling(10, 1_000)]), 1)];
    let wide = [(world.budget("shared", vec![rolling(30, 1_000)]), 1)];
    assert_eq!(world.take(&narrow, 6).await.granted(), 6);
    assert_eq!(world.take(&wide, 14).await.granted(), 14);
    assert!(world.take(&narrow, 1).await.wait_ms() > 1_000);
    assert_eq!(world.take(&wide, 99).await.granted(), 10);
    assert!(world.take(&wide, 1).await.wait_ms() > 1_000);
}

#[tokio::test]
async fn windows_that_only_others_know_are_charged_too() {
    let world = World::new().await;
    let one = [(world.budget("known", vec![rolling(10, 1_000)]), 1)];
    let two = [(
        world.budget("known", vec![rolling(10, 1_000), rolling(12, 60_000)]),
        1,
    )];
    assert_eq!(world.take(&two, 1).await.granted(), 1);
    assert_eq!(world.take(&one, 8).await.granted(), 8);
    assert_eq!(world.take(&two, 99).await.granted(), 1);
    world.advance(2_000).await;
    assert_eq!(world.take(&one, 99).await.granted(), 10);
    world.advance(2_000).await;
    assert!(world.take(&two, 1).await.wait_ms() > 50_000);
}

#[tokio::test]
async fn nothing_limits_a_budget_without_windows() {
    let world = World::new().await;
    let none = world.budget("none", vec![]);
    assert_eq!(
        world.take(&[(none.clone(), 1)], 1_000).await.granted(),
        1_000
    );
    assert_eq!(world.take(&[], 1_000).await.granted(), 1_000);
    let some = world.budget("some", vec![rolling(5, 1_000)]);
    assert_eq!(world.take(&[(none, 1), (some, 1)], 9).await.granted(), 5);
}

#[tokio::test]
async fn a_request_that_costs_more_than_a_window_gives_is_sent_when_the_window_is_empty() {
    let world = World::new().await;
    let budget = [(world.budget("dear", vec![rolling(5, 1_000)]), 50)];
    assert_eq!(world.take(&budget, 3).await.granted(), 1);
    let wait = world.take(&budget, 3).await.wait_ms();
    assert!((1_051..=1_071).contains(&wait), "{wait}");
    world.advance(wait).await;
    assert_eq!(world.take(&budget, 3).await.granted(), 1);
}

#[tokio::test]
async fn what_is_settled_of_several_budgets_is_settled_in_each() {
    let world = World::new().await;
    let first = [(world.budget("first", vec![rolling(5, 1_000)]), 1)];
    let second = [(
        world.budget("second", vec![rolling(5, 1_000), concurrent(5)]),
        1,
    )];
    let of_first = world.ask(&first, 5, 100, &[]).await;
    let of_second = world.ask(&second, 5, 100, &[]).await;
    assert_eq!((of_first.granted(), of_second.granted()), (5, 5));
    let now = world.now_ms().await;
    let told = [
        sent(&first[0].0, &of_first, now, 1),
        sent(&second[0].0, &of_second, now, 2),
        // A budget that is no longer there.
        sent(&world.budget("gone", vec![]), &of_first, now, 2),
    ];
    let mut db = world.database.session().await.unwrap();
    settle_permits(&mut db, &told).await.unwrap();
    let mut counts = Vec::new();
    for state in list_budgets(&mut db, None, "", 10).await.unwrap() {
        for window in state.windows {
            counts.push((state.name.clone(), window.kind, window.used));
        }
    }
    let count = |name: &str, kind: &str, used| (name.to_owned(), kind.to_owned(), used);
    counts.sort();
    assert_eq!(
        counts,
        [
            count("first", "rolling", 1),
            count("second", "concurrent", 0),
            count("second", "rolling", 2)
        ]
    );
    let totals = total_budgets(&mut db).await.unwrap();
    let saturations: Vec<_> = totals.iter().map(|one| one.saturation).collect();
    assert_eq!(saturations, [0.2, 0.4]);
}

#[tokio::test]
async fn two_processes_define_a_budget_at_once() {
    let world = World::new().await;
    let budget = world.budget("twice", vec![rolling(5, 1_000), concurrent(9)]);
    let define = || async {
        let mut db = world.database.session().await.unwrap();
        define_budget(&mut db, &budget).await.unwrap();
    };
    tokio::join!(define(), define(), define());
    assert_eq!(world.take(&[(budget.clone(), 1)], 99).await.granted(), 5);
    assert!(budget.shortest() == Some(Duration::from_secs(1)));
}
