//! Refusals without a word: how much a platform allows is found out.

use std::time::Duration;

use syncline_shared::db::budget::{Correction, Settled, resume_budget};

use crate::world::{World, asker, rolling, sent, settled};

fn bare() -> Correction {
    Correction {
        is_limited: true,
        ..Correction::default()
    }
}

/// More than any window here gives.
const ALL: u32 = 1_000;

#[tokio::test]
async fn each_refusal_in_a_row_pauses_twice_as_long() {
    let world = World::new().await;
    let budget = [(world.budget("pauses", vec![rolling(1_000, 10_000)]), 1)];
    world.take(&budget, 1).await;
    for seconds in [10, 20, 40, 60, 60] {
        assert!(world.correct(&budget[0].0, bare()).await);
        assert_eq!(world.take(&budget, 1).await.wait_ms(), seconds * 1_000);
        world.advance(seconds * 1_000).await;
        assert_eq!(world.take(&budget, 1).await.granted(), 1);
        world.advance(1).await;
    }
    // Three windows without one, and it is not in a row.
    world.advance(30_000).await;
    world.correct(&budget[0].0, bare()).await;
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 10_000);
}

#[tokio::test]
async fn a_refusal_halves_what_is_allowed_once_for_all_requests_that_were_under_way() {
    let world = World::new().await;
    let budget = [(world.budget("halves", vec![rolling(100, 1_000)]), 1)];
    assert_eq!(world.take(&budget, ALL).await.granted(), 100);
    let left = world.now_ms().await;
    for _ in 0..10 {
        world.advance(10).await;
        let refused = Correction {
            sent_at: left,
            ..bare()
        };
        world.correct_as_sent(&budget[0].0, refused).await;
    }
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 910);
    world.advance(1_100).await;
    // Half of it, and an eighth of the way up to the ceiling for each half of a window.
    let given = world.take(&budget, ALL).await.granted();
    assert!((50..=65).contains(&given), "{given}");
}

#[tokio::test]
async fn a_request_whose_sender_had_not_heard_of_the_pause_says_nothing_new() {
    let world = World::new().await;
    let budget = [(world.budget("unheard", vec![rolling(100, 1_000)]), 1)];
    assert_eq!(world.take(&budget, ALL).await.granted(), 100);
    world.correct(&budget[0].0, bare()).await;
    world.advance(100).await;
    world.correct(&budget[0].0, bare()).await;
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 900);
    // But what the platform asks for is heeded.
    let asked = Correction {
        wait: Some(Duration::from_millis(1_500)),
        ..bare()
    };
    world.correct(&budget[0].0, asked).await;
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 1_500);
    world.advance(1_500).await;
    let given = world.take(&budget, ALL).await.granted();
    assert!((65..=75).contains(&given), "{given}");
}

#[tokio::test]
async fn what_is_allowed_comes_near_the_ceiling_soon_and_passes_it_slowly() {
    let world = World::new().await;
    let budget = [(world.budget("rises", vec![rolling(100, 1_000)]), 1)];
    world.take(&budget, ALL).await;
    world.correct(&budget[0].0, bare()).await;
    let mut seen = Vec::new();
    for _ in 0..30 {
        world.advance(2_000).await;
        seen.push(world.take(&budget, ALL).await.granted());
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!((50..90).contains(&seen[0]), "{seen:?}");
    // Four windows after the refusal: nine tenths and a half. Then one more every ten windows.
    assert_eq!(
        (seen[1], seen[5], seen[7], seen[29]),
        (95, 95, 96, 100),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_refusal_near_the_ceiling_lowers_it_a_little_only() {
    let world = World::new().await;
    let budget = [(world.budget("near", vec![rolling(100, 1_000)]), 1)];
    world.take(&budget, ALL).await;
    world.correct(&budget[0].0, bare()).await;
    world.advance(8_000).await;
    assert_eq!(world.take(&budget, ALL).await.granted(), 95);
    world.advance(1).await;
    world.correct(&budget[0].0, bare()).await;
    world.advance(1_100).await;
    let given = world.take(&budget, ALL).await.granted();
    assert!((80..=84).contains(&given), "{given}");
}

/// A platform that lets less through than it says, and refuses the rest without a word.
struct Platform {
    limit: usize,
    window_ms: i64,
    admitted: Vec<i64>,
    /// All requests, and whether it let them through.
    asked: Vec<(i64, bool)>,
}

impl Platform {
    fn admits(&mut self, now: i64) -> bool {
        let counted = self
            .admitted
            .iter()
            .rev()
            .take_while(|at| **at > now - self.window_ms);
        let admits = counted.count() < self.limit;
        if admits {
            self.admitted.push(now);
        }
        self.asked.push((now, admits));
        admits
    }

    /// The most requests in any window that begins within a time.
    fn most_between(&self, from: i64, to: i64) -> usize {
        let asked = || self.asked.iter().map(|(at, _)| *at);
        asked()
            .filter(|at| (from..to).contains(at))
            .map(|first| {
                asked()
                    .filter(|at| (first..first + self.window_ms).contains(at))
                    .count()
            })
            .max()
            .unwrap_or(0)
    }
}

#[tokio::test]
async fn a_limit_that_is_halved_without_a_word_is_found_out_within_a_few_windows() {
    let world = World::new().await;
    // Where a process takes a good part of the window at once, what it did not send blurs the count: it takes three refusals.
    for (name, limit, window_ms, windows) in [
        ("burst", 100, 1_000_i64, 3),
        ("few", 20, 2_000, 9),
        ("minute", 200, 60_000, 3),
    ] {
        let window = rolling(limit, window_ms.unsigned_abs());
        let budget = [(world.budget(name, vec![window]), 1)];
        let mut platform = Platform {
            limit: usize::try_from(limit).unwrap(),
            window_ms,
            admitted: Vec::new(),
            asked: Vec::new(),
        };
        let half = usize::try_from(limit / 2).unwrap();
        let halved_at = window_ms * 10;
        let end = window_ms * 60;
        let lease = window_ms.unsigned_abs() / 50;
        let mut now = 0;
        let mut wakes_at = [0; 3];
        let mut told = Vec::new();
        loop {
            let process = (0..3).min_by_key(|process| wakes_at[*process]).unwrap();
            world.advance((wakes_at[process] - now).max(0)).await;
            now = now.max(wakes_at[process]);
            if now >= end {
                break;
            }
            if now >= halved_at {
                platform.limit = half;
            }
            let who = asker(u128::try_from(process).unwrap(), 1);
            let given = world.ask_as(who, &budget, 5, lease, &told).await;
            told.clear();
            let Some((count, charge)) = given.charge() else {
                wakes_at[process] = now + given.wait_ms();
                continue;
            };
            let left = world.now_ms().await;
            let mut used = 0;
            for _ in 0..count {
                used += 1;
                if !platform.admits(now) {
                    world.correct(&budget[0].0, bare()).await;
                    break;
                }
            }
            let mut back = settled(&budget[0].0, &given, Settled::Unused);
            back.points = i64::from(count - used);
            let mut gone = sent(&budget[0].0, &given, left, i64::from(used));
            gone.points = i64::from(used);
            assert!(gone.charge == charge);
            told = vec![gone, back];
            // The answers take their time.
            wakes_at[process] = now + window_ms / 200;
        }
        let before = platform.asked.iter().take_while(|(at, _)| *at < halved_at);
        assert!(before.clone().all(|(_, admitted)| *admitted), "{name}");
        let found_at = halved_at + windows * window_ms;
        let most = platform.most_between(found_at, found_at + 5 * window_ms);
        assert!(most <= half, "{name}: {most} within a window");
        let after = || platform.asked.iter().filter(|(at, _)| *at >= found_at);
        let refused = after().filter(|(_, admitted)| !admitted).count();
        let asked = after().count();
        assert!(
            refused * 50 <= asked,
            "{name}: {refused} of {asked} are refused"
        );
        let possible = half * usize::try_from((end - found_at) / window_ms).unwrap();
        assert!(
            (asked - refused) * 10 >= possible * 8,
            "{name}: {} of {possible} are used",
            asked - refused
        );
    }
}

#[tokio::test]
async fn a_person_may_end_a_pause() {
    let world = World::new().await;
    let budget = [(world.budget("ended", vec![rolling(100, 1_000)]), 1)];
    world.take(&budget, ALL).await;
    world
        .correct(
            &budget[0].0,
            Correction {
                wait: Some(Duration::from_hours(1)),
                ..bare()
            },
        )
        .await;
    world.advance(2_000).await;
    assert!(world.take(&budget, 1).await.wait_ms() > 3_000_000);
    let mut db = world.database.session().await.unwrap();
    let key = budget[0].0.key();
    assert_eq!(resume_budget(&mut db, &key).await.unwrap(), Some(0));
    assert_eq!(world.take(&budget, ALL).await.granted(), 100);
}
