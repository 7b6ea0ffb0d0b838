//! What platforms tell in their answers.

use std::time::Duration;

use syncline_shared::budget::{BudgetDefinition, BudgetWindow, BudgetWindowKind};
use syncline_shared::db::budget::{BudgetState, Correction, list_budgets, prune_budgets};

use crate::world::{World, fixed, rolling, sent};

/// After so long, what left before it is known to have been in the platform's count.
const SLOT_OF_MINUTE: i64 = 60_000 / 50;

fn remaining(points: u64) -> Correction {
    Correction {
        remaining: Some(points),
        ..Correction::default()
    }
}

fn limited(wait_ms: Option<u64>) -> Correction {
    Correction {
        is_limited: true,
        wait: wait_ms.map(Duration::from_millis),
        ..Correction::default()
    }
}

async fn state(world: &World, budget: &BudgetDefinition) -> BudgetState {
    let mut db = world.database.session().await.unwrap();
    let all = list_budgets(&mut db, Some("test"), "", 100).await.unwrap();
    all.into_iter()
        .find(|state| state.key == budget.key())
        .unwrap()
}

#[tokio::test]
async fn use_by_others_counts_until_a_newer_answer_takes_it_back() {
    let world = World::new().await;
    let budget = [(world.budget("others", vec![rolling(100, 60_000)]), 1)];
    assert_eq!(world.take(&budget, 10).await.granted(), 10);
    world.advance(SLOT_OF_MINUTE).await;
    assert!(
        world.correct(&budget[0].0, remaining(30)).await,
        "others must know"
    );
    let window = state(&world, &budget[0].0).await.windows.remove(0);
    assert_eq!((window.used, window.outside), (70, 60));
    assert_eq!(world.take(&budget, 100).await.granted(), 30);
    assert!(world.take(&budget, 1).await.wait_ms() > 1_000);
    // The answer to a request that had left earlier says nothing of now.
    let older = Correction {
        sent_at: world.now_ms().await - 1,
        ..remaining(60)
    };
    world.correct_as_sent(&budget[0].0, older).await;
    assert!(world.take(&budget, 1).await.wait_ms() > 1_000);
    world.advance(SLOT_OF_MINUTE).await;
    world.correct(&budget[0].0, remaining(60)).await;
    // 40 are ours.
    assert_eq!(world.take(&budget, 100).await.granted(), 60);
}

#[tokio::test]
async fn use_by_others_is_believed_for_a_while_or_until_the_reset() {
    let world = World::new().await;
    for (name, left, resets_in, until) in [
        ("tenth", 1, None, 6_000),
        ("nothing left", 0, None, 60_000),
        ("reset", 1, Some(Duration::from_secs(20)), 20_000),
    ] {
        let budget = [(world.budget(name, vec![rolling(100, 60_000)]), 1)];
        world.take(&budget, 1).await;
        world.advance(70_000).await;
        let told = Correction {
            resets_in,
            ..remaining(left)
        };
        world.correct(&budget[0].0, told).await;
        let left = u32::try_from(left).unwrap();
        if left > 0 {
            assert_eq!(world.take(&budget, 100).await.granted(), left, "{name}");
        }
        assert_eq!(world.take(&budget, 1).await.wait_ms(), until, "{name}");
        world.advance(until).await;
        let free = if until == 60_000 { 100 } else { 100 - left };
        assert_eq!(world.take(&budget, 100).await.granted(), free, "{name}");
    }
}

#[tokio::test]
async fn a_part_that_is_used_does_the_same() {
    let world = World::new().await;
    let budget = [(world.budget("part", vec![rolling(100, 60_000)]), 1)];
    assert_eq!(world.take(&budget, 10).await.granted(), 10);
    let used = |part| Correction {
        used: Some(part),
        ..Correction::default()
    };
    world.advance(SLOT_OF_MINUTE).await;
    assert!(world.correct(&budget[0].0, used(0.8)).await);
    assert_eq!(world.take(&budget, 100).await.granted(), 20);
    world.advance(SLOT_OF_MINUTE).await;
    world.correct(&budget[0].0, used(0.3)).await;
    assert_eq!(world.take(&budget, 100).await.granted(), 70);
    // Some platforms go on counting beyond all of it.
    world.advance(10).await;
    world.correct(&budget[0].0, used(7.5)).await;
    assert!(world.take(&budget, 100).await.wait_ms() > 0);
}

#[tokio::test]
async fn a_lower_limit_holds_until_a_higher_one_is_told() {
    let world = World::new().await;
    let budget = [(world.budget("limit", vec![rolling(100, 1_000)]), 1)];
    world.take(&budget, 1).await;
    let limit = |points| Correction {
        limit: Some(points),
        ..Correction::default()
    };
    assert!(
        world.correct(&budget[0].0, limit(40)).await,
        "others must know"
    );
    assert!(
        !world.correct(&budget[0].0, limit(40)).await,
        "others know already"
    );
    assert_eq!(world.take(&budget, 200).await.granted(), 39);
    world.advance(2_000).await;
    // An answer without a limit does not end it.
    world.correct(&budget[0].0, remaining(40)).await;
    assert_eq!(world.take(&budget, 200).await.granted(), 40);
    world.advance(2_000).await;
    world.correct(&budget[0].0, limit(1_000)).await;
    assert_eq!(world.take(&budget, 200).await.granted(), 100);
    // An older answer does not bring it back.
    world.advance(2_000).await;
    let older = Correction {
        sent_at: world.now_ms().await - 3_000,
        ..limit(7)
    };
    world.correct_as_sent(&budget[0].0, older).await;
    assert_eq!(world.take(&budget, 200).await.granted(), 100);
}

#[tokio::test]
async fn what_a_platform_tells_of_a_day_counts_ours_once() {
    let world = World::new().await;
    let day = BudgetWindow {
        kind: BudgetWindowKind::Day("UTC".to_owned()),
        limit: 100,
    };
    let budget = [(world.budget("day", vec![day]), 1)];
    assert_eq!(world.take(&budget, 60).await.granted(), 60);
    world.advance(1_000).await;
    world.correct(&budget[0].0, remaining(30)).await;
    assert_eq!(world.take(&budget, 100).await.granted(), 30);
}

#[tokio::test]
async fn a_platform_that_allows_more_than_the_budget_does_not_empty_it() {
    let world = World::new().await;
    let budget = [(world.budget("part-of-it", vec![rolling(100, 60_000)]), 1)];
    world.take(&budget, 10).await;
    world.advance(SLOT_OF_MINUTE).await;
    let told = |left| Correction {
        limit: Some(1_000),
        remaining: Some(left),
        ..Correction::default()
    };
    // Others use more than the whole budget, and there is more left than the budget gives.
    world.correct(&budget[0].0, told(500)).await;
    assert_eq!(world.take(&budget, 50).await.granted(), 50);
    world.advance(SLOT_OF_MINUTE).await;
    world.correct(&budget[0].0, told(20)).await;
    assert_eq!(world.take(&budget, 100).await.granted(), 20);
}

#[tokio::test]
async fn a_counter_that_the_platform_resets_is_empty_after_the_reset() {
    let world = World::new().await;
    for (name, length, slack) in [
        ("exact", 60_000_u64, 0),
        ("whole-seconds", 60_000, 900),
        ("short", 10_000, 900),
    ] {
        let budget = [(world.budget(name, vec![fixed(50, length)]), 1)];
        let reset = length / 2;
        assert_eq!(world.take(&budget, 20).await.granted(), 20);
        world.advance(SLOT_OF_MINUTE).await;
        let resets_in = |ms| Correction {
            remaining: Some(30),
            limit: Some(50),
            resets_in: Some(Duration::from_millis(ms)),
            ..Correction::default()
        };
        world.correct(&budget[0].0, resets_in(reset)).await;
        // The same reset, told in whole seconds.
        world.correct(&budget[0].0, resets_in(reset - slack)).await;
        assert_eq!(world.take(&budget, 100).await.granted(), 30);
        let wait = world.take(&budget, 1).await.wait_ms();
        let within = reset..=reset + 3_001;
        assert!(within.contains(&wait.unsigned_abs()), "{name}: {wait}");
        world.advance(wait - 1).await;
        assert!(world.take(&budget, 1).await.wait_ms() <= 1, "{name}");
        world.advance(1).await;
        assert_eq!(world.take(&budget, 100).await.granted(), 50, "{name}");
    }
}

#[tokio::test]
async fn what_was_used_before_a_reset_does_not_count_until_the_next_one() {
    let world = World::new().await;
    let budget = [(world.budget("resets", vec![fixed(50, 60_000)]), 1)];
    let resets_in = |ms, left| Correction {
        remaining: Some(left),
        resets_in: Some(Duration::from_millis(ms)),
        ..Correction::default()
    };
    assert_eq!(world.take(&budget, 20).await.granted(), 20);
    world.correct(&budget[0].0, resets_in(20_000, 30)).await;
    // Within the guard after the reset, somebody learns when the next one is.
    world.advance(20_500).await;
    assert_eq!(world.take(&budget, 1).await.granted(), 1);
    world.correct(&budget[0].0, resets_in(59_500, 49)).await;
    world.advance(3_000).await;
    assert_eq!(world.take(&budget, 100).await.granted(), 49);
    let wait = world.take(&budget, 1).await.wait_ms();
    assert!((56_500..=56_500 + 3_001).contains(&wait), "{wait}");
}

#[tokio::test]
async fn what_left_right_before_a_reset_may_arrive_after_it() {
    let world = World::new().await;
    let budget = [(world.budget("late", vec![fixed(50, 60_000)]), 1)];
    assert_eq!(world.take(&budget, 10).await.granted(), 10);
    let told = Correction {
        remaining: Some(40),
        resets_in: Some(Duration::from_secs(20)),
        ..Correction::default()
    };
    world.correct(&budget[0].0, told).await;
    // In a slot that ends before the reset.
    world.advance(18_500).await;
    assert_eq!(world.take(&budget, 5).await.granted(), 5);
    world.advance(1_500 + 3_001).await;
    assert_eq!(world.take(&budget, 100).await.granted(), 45);
}

#[tokio::test]
async fn a_counter_whose_reset_is_not_known_is_taken_for_a_rolling_one() {
    let world = World::new().await;
    let budget = [(world.budget("unknown", vec![fixed(50, 60_000)]), 1)];
    assert_eq!(world.take(&budget, 20).await.granted(), 20);
    world.advance(30_000).await;
    assert_eq!(world.take(&budget, 100).await.granted(), 30);
    let wait = world.take(&budget, 1).await.wait_ms();
    assert!((30_000..=30_000 + 4_201).contains(&wait), "{wait}");
    world.advance(wait).await;
    assert_eq!(world.take(&budget, 100).await.granted(), 20);
}

#[tokio::test]
async fn a_wait_pauses_a_key_for_everyone_exactly_so_long() {
    let world = World::new().await;
    let budget = [(world.budget("paused", vec![rolling(100, 1_000)]), 1)];
    let other = [(world.budget("other", vec![rolling(100, 1_000)]), 1)];
    world.take(&budget, 1).await;
    let wait = |ms| Correction {
        wait: Some(Duration::from_millis(ms)),
        ..Correction::default()
    };
    assert!(
        world.correct(&budget[0].0, wait(5_000)).await,
        "others must know"
    );
    let refused = world.take(&budget, 1).await;
    assert_eq!(
        (refused.wait_ms(), refused.because(), refused.refused_by()),
        (5_000, Some("told"), budget[0].0.key().as_str())
    );
    assert_eq!(world.take(&other, 1).await.granted(), 1);
    // A request that draws on both waits for the paused one.
    let both = [budget[0].clone(), other[0].clone()];
    assert_eq!(world.take(&both, 1).await.wait_ms(), 5_000);
    assert_eq!(world.take(&other, 200).await.granted(), 99);
    // It is only ever made longer.
    assert!(!world.correct(&budget[0].0, wait(1_000)).await);
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 5_000);
    assert!(world.correct(&budget[0].0, wait(6_000)).await);
    world.advance(5_999).await;
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 1);
    world.advance(1).await;
    assert_eq!(world.take(&budget, 200).await.granted(), 100);
}

#[tokio::test]
async fn absurd_numbers_are_taken_for_large_ones() {
    let world = World::new().await;
    let budget = [(world.budget("absurd", vec![rolling(100, 1_000)]), 1)];
    world.take(&budget, 1).await;
    let told = Correction {
        wait: Some(Duration::MAX),
        remaining: Some(u64::MAX),
        limit: Some(u64::MAX),
        used: Some(f64::MAX),
        resets_in: Some(Duration::MAX),
        ..Correction::default()
    };
    world.correct(&budget[0].0, told.clone()).await;
    let year = 365 * 86_400_000;
    assert_eq!(world.take(&budget, 1).await.wait_ms(), year);
    world.advance(year).await;
    assert_eq!(world.take(&budget, 200).await.granted(), 100);
    let told = Correction {
        wait: None,
        remaining: None,
        ..told
    };
    world.correct(&budget[0].0, told).await;
    assert!(world.take(&budget, 200).await.wait_ms() > 0);
}

#[tokio::test]
async fn a_budget_that_nobody_defined_is_not_corrected() {
    let world = World::new().await;
    let budget = world.budget("nobody", vec![rolling(1, 1_000)]);
    assert!(!world.correct(&budget, limited(None)).await);
}

#[tokio::test]
async fn a_refusal_with_a_wait_lowers_what_is_allowed_only_when_it_comes_again() {
    let world = World::new().await;
    let budget = [(world.budget("again", vec![rolling(100, 1_000)]), 1)];
    assert_eq!(world.take(&budget, 100).await.granted(), 100);
    world.correct(&budget[0].0, limited(Some(2_000))).await;
    world.advance(2_000).await;
    assert_eq!(world.take(&budget, 200).await.granted(), 100);
    world.correct(&budget[0].0, limited(Some(2_000))).await;
    world.advance(2_000).await;
    let given = world.take(&budget, 200).await.granted();
    assert!((50..=80).contains(&given), "{given}");
}

#[tokio::test]
async fn what_requests_cost_in_truth_replaces_what_was_charged() {
    let world = World::new().await;
    let budget = [(world.budget("dear", vec![rolling(20, 1_000)]), 1)];
    for (charged, cost) in [(10, 3), (10, 18), (10, 10), (10, 50)] {
        let given = world.take(&budget, charged).await;
        assert_eq!(given.granted(), charged);
        let now = world.now_ms().await;
        let told = [sent(&budget[0].0, &given, now, cost)];
        let next = world.ask(&budget, 99, 0, &told).await;
        let left = u32::try_from((20 - cost).max(0)).unwrap();
        assert_eq!(
            next.granted(),
            left,
            "{charged} were charged, {cost} it was"
        );
        if left == 0 {
            // More than the window gives: it is empty until that is forgotten.
            assert!(next.wait_ms() > 1_000);
        }
        world.advance(1_200).await;
    }
}

/// What is told by points is believed of the window that can be meant, and only of one that was asked for.
#[tokio::test]
async fn what_is_told_is_believed_of_the_window_that_is_meant() {
    let world = World::new().await;
    let windows = || vec![rolling(10, 1_000), rolling(5_000, 86_400_000)];
    let told = |limit, remaining, resets_in: Option<u64>| Correction {
        limit,
        remaining: Some(remaining),
        resets_in: resets_in.map(Duration::from_millis),
        ..Correction::default()
    };
    // A limit that is near that of the second; a number that the second cannot have; a reset that only the day can have.
    for (number, (correction, of_second, of_day)) in [
        (told(Some(8), 7, None), 8, 5_000),
        (told(Some(4_000), 3_000, None), 10, 4_000),
        (told(None, 7, None), 10, 5_000),
        (told(Some(9), 7, Some(3_600_000)), 10, 9),
    ]
    .into_iter()
    .enumerate()
    {
        let budget = world.budget(&format!("meant-{number}"), windows());
        assert_eq!(world.take(&[(budget.clone(), 1)], 1).await.granted(), 1);
        world.correct(&budget, correction).await;
        let mut db = world.database.session().await.unwrap();
        let found = list_budgets(&mut db, None, "", 100).await.unwrap();
        let found = found.iter().find(|one| one.key == budget.key()).unwrap();
        let allowed: Vec<_> = found.windows.iter().map(|window| window.allowed).collect();
        assert_eq!(allowed, [of_second, of_day], "{number}");
        let outside = found.windows[1].outside;
        assert!(outside <= 2_000, "{number}: {outside} points of the day");
    }
}

#[tokio::test]
async fn a_window_that_is_not_asked_for_any_more_is_neither_corrected_nor_shown_for_long() {
    let world = World::new().await;
    let before = world.budget("changed", vec![rolling(10, 1_000)]);
    let after = world.budget("changed", vec![rolling(300, 60_000)]);
    assert_eq!(world.take(&[(before, 1)], 1).await.granted(), 1);
    assert_eq!(world.take(&[(after.clone(), 1)], 1).await.granted(), 1);
    let refused = Correction {
        is_limited: true,
        ..Correction::default()
    };
    assert!(world.correct(&after, refused).await);
    let shown = async || {
        let mut db = world.database.session().await.unwrap();
        let found = list_budgets(&mut db, None, "", 100).await.unwrap();
        let windows = found[0].windows.iter();
        windows
            .map(|window| (window.points_limit, window.allowed < window.points_limit))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown().await, [(10, false), (300, true)]);
    world.advance(2 * 3_600_000).await;
    assert_eq!(world.take(&[(after, 1)], 1).await.granted(), 1);
    assert_eq!(shown().await.len(), 1);
    assert_eq!(prune(&world).await, 0);
    world.advance(70 * 86_400_000).await;
    assert_eq!(prune(&world).await, 1, "the budget, with its windows");
}

async fn prune(world: &World) -> u64 {
    let mut db = world.database.session().await.unwrap();
    prune_budgets(&mut db, 100).await.unwrap()
}
