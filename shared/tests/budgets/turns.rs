//! Turns of businesses that share a budget.

use std::time::Duration;

use syncline_shared::budget::BudgetDefinition;
use syncline_shared::db::budget::{Asker, Correction};
use syncline_shared::ids::BusinessId;
use uuid::Uuid;

use crate::world::{World, asker, length_ms, rolling, sent};

/// What a run wants at once.
const WANT: u32 = 3;

/// A business whose run always wants more, and comes back when told.
struct Hungry {
    weight: i32,
    wakes_at: i64,
    points: i64,
    served_at: Option<i64>,
}

impl Hungry {
    fn new(weight: i32, wakes_at: i64) -> Self {
        Self {
            weight,
            wakes_at,
            points: 0,
            served_at: None,
        }
    }
}

struct Rush<'a> {
    world: &'a World,
    budget: [(BudgetDefinition, u32); 1],
    now: i64,
    asks: i64,
    requests: i64,
}

impl<'a> Rush<'a> {
    fn new(world: &'a World, budget: BudgetDefinition) -> Self {
        Self {
            world,
            budget: [(budget, 1)],
            now: 0,
            asks: 0,
            requests: 0,
        }
    }

    /// Lets them all ask until an instant. Those who are told to wait for long come back as another process.
    async fn until(&mut self, end: i64, businesses: &mut [Hungry]) {
        let mut settled = Vec::new();
        loop {
            let next = businesses
                .iter()
                .enumerate()
                .min_by_key(|(_, one)| one.wakes_at);
            let (number, wakes_at) = next.map(|(number, one)| (number, one.wakes_at)).unwrap();
            if wakes_at >= end {
                break;
            }
            self.world.advance((wakes_at - self.now).max(0)).await;
            self.now = self.now.max(wakes_at);
            let one = &mut businesses[number];
            let business = asker(u128::try_from(number).unwrap(), one.weight);
            self.asks += 1;
            let process = u128::try_from(self.asks).unwrap();
            let who = Asker {
                // Nobody else has a place under this name unless the wait was short.
                id: Uuid::from_u128(10_000 + process),
                ..business
            };
            let who = if length_ms(&self.budget[0].0.windows[0]) > 2_000 {
                who
            } else {
                business
            };
            let given = self
                .world
                .ask_as(who, &self.budget, WANT, 20, &settled)
                .await;
            settled.clear();
            if let Some((count, charge)) = given.charge() {
                one.points += i64::from(count);
                one.served_at.get_or_insert(self.now);
                self.requests += i64::from(count);
                settled.push(sent(
                    &self.budget[0].0,
                    &given,
                    charge.at - 20,
                    i64::from(count),
                ));
                // The requests take their time.
                one.wakes_at = self.now + 1;
            } else {
                one.wakes_at = self.now + given.wait_ms();
            }
        }
        self.world.advance(end - self.now).await;
        self.now = end;
    }
}

#[tokio::test]
async fn businesses_get_points_by_their_weights() {
    let world = World::new().await;
    for (name, window, times) in [
        ("second", rolling(60, 1_000), 60),
        // Waits are long: places are kept for businesses, whichever process comes.
        ("minute", rolling(60, 60_000), 40),
    ] {
        let length = length_ms(&window);
        let mut rush = Rush::new(&world, world.budget(name, vec![window.clone()]));
        let mut businesses = [Hungry::new(1, 0), Hungry::new(3, 0)];
        rush.until(length, &mut businesses).await;
        let before = [businesses[0].points, businesses[1].points];
        rush.until(length * times, &mut businesses).await;
        let light = businesses[0].points - before[0];
        let heavy = businesses[1].points - before[1];
        let ratio = heavy * 100 / light;
        assert!(
            (270..=330).contains(&ratio),
            "{name}: {light} against {heavy}"
        );
        let given = i64::from(window.limit) * (times - 1);
        assert!(
            (light + heavy) * 10 >= given * 9,
            "{name}: {} of {given} are used",
            light + heavy
        );
        assert!(
            rush.asks <= rush.requests,
            "{name}: {} questions for {} requests",
            rush.asks,
            rush.requests
        );
    }
}

#[tokio::test]
async fn who_comes_late_is_served_within_a_window() {
    let world = World::new().await;
    for (name, window) in [
        ("second", rolling(20, 1_000)),
        ("minute", rolling(20, 60_000)),
    ] {
        let length = length_ms(&window);
        let mut rush = Rush::new(&world, world.budget(name, vec![window]));
        let comes_at = length * 10 + length / 3;
        let mut businesses = [
            Hungry::new(5, 0),
            Hungry::new(5, 0),
            Hungry::new(1, comes_at),
        ];
        rush.until(comes_at + length * 3, &mut businesses).await;
        let waited = businesses[2].served_at.unwrap() - comes_at;
        // A window, its guard and a slot.
        assert!(waited <= length * 108 / 100, "{name}: {waited} ms");
    }
}

#[tokio::test]
async fn who_never_comes_back_holds_others_up_until_his_place_expires_only() {
    let world = World::new().await;
    let budget = [(world.budget("left", vec![rolling(40, 1_000)]), 1)];
    let first = world
        .ask_as(asker(1, 1), &budget, 40, 0, &[])
        .await
        .granted();
    assert_eq!(first, 40);
    let wait = world
        .ask_as(asker(2, 1), &budget, 4, 0, &[])
        .await
        .wait_ms();
    world.advance(wait).await;
    // Four points are kept for the second.
    assert_eq!(
        world
            .ask_as(asker(3, 1), &budget, 40, 0, &[])
            .await
            .granted(),
        36
    );
    world.advance(250).await;
    assert_eq!(
        world
            .ask_as(asker(3, 1), &budget, 40, 0, &[])
            .await
            .granted(),
        4
    );
}

#[tokio::test]
async fn a_place_that_was_kept_for_a_business_serves_whichever_process_comes_for_it() {
    let world = World::new().await;
    let budget = [(world.budget("kept", vec![rolling(40, 60_000)]), 1)];
    let process = |number: u128, business: u128| Asker {
        id: Uuid::from_u128(number),
        business: BusinessId(Uuid::from_u128(business)),
        weight: 1,
        is_manual: true,
    };
    world.ask_as(process(1, 100), &budget, 40, 0, &[]).await;
    let wait = world
        .ask_as(process(2, 200), &budget, 4, 0, &[])
        .await
        .wait_ms();
    assert!(wait > 2_000);
    // Somebody behind it learns that there is less for him.
    world.ask_as(process(3, 300), &budget, 40, 0, &[]).await;
    world.advance(wait).await;
    assert_eq!(
        world
            .ask_as(process(4, 300), &budget, 40, 0, &[])
            .await
            .granted(),
        36
    );
    assert_eq!(
        world
            .ask_as(process(5, 200), &budget, 40, 0, &[])
            .await
            .granted(),
        4
    );
}

#[tokio::test]
async fn runs_that_nobody_started_leave_the_reserve_alone() {
    let mut world = World::new().await;
    world.reserve = 20;
    let budget = [(world.budget("reserve", vec![rolling(100, 1_000)]), 1)];
    let automatic = Asker {
        is_manual: false,
        ..asker(1, 1)
    };
    for _ in 0..5 {
        assert_eq!(
            world
                .ask_as(automatic, &budget, 200, 0, &[])
                .await
                .granted(),
            80
        );
        let refused = world.ask_as(automatic, &budget, 1, 0, &[]).await;
        assert!(refused.wait_ms() > 900);
        // The place that is kept for the automatic one leaves the reserve to people, too.
        let by_hand = world.ask_as(asker(2, 1), &budget, 200, 0, &[]).await;
        assert!(by_hand.granted() >= 12, "{by_hand:?}");
        world.advance(2_000).await;
    }
}

#[tokio::test]
async fn people_stand_before_others_by_the_reserve() {
    let mut world = World::new().await;
    world.reserve = 20;
    let budget = [(world.budget("people", vec![rolling(100, 1_000)]), 1)];
    let automatic = |number| Asker {
        is_manual: false,
        ..asker(number, 1)
    };
    world.ask_as(automatic(1), &budget, 80, 0, &[]).await;
    let mut wait = 0;
    for number in 2..5 {
        let refused = world.ask_as(automatic(number), &budget, 8, 0, &[]).await;
        wait = wait.max(refused.wait_ms());
    }
    world.advance(wait).await;
    // 24 points are kept for three who wait, and a person's run gets 20 of them.
    let by_hand = world.ask_as(asker(9, 1), &budget, 200, 0, &[]).await;
    assert_eq!(by_hand.granted(), 96);
}

#[tokio::test]
async fn what_was_got_long_ago_is_not_held_against_anybody() {
    let world = World::new().await;
    let budget = [(world.budget("debts", vec![rolling(40, 1_000)]), 1)];
    world.ask_as(asker(1, 1), &budget, 40, 0, &[]).await;
    let wait = world
        .ask_as(asker(2, 1), &budget, 40, 0, &[])
        .await
        .wait_ms();
    world.advance(wait).await;
    let much = world
        .ask_as(asker(2, 1), &budget, 40, 0, &[])
        .await
        .granted();
    assert_eq!(much, 40);
    // Nobody waits for a while.
    world.advance(10_000).await;
    world.ask_as(asker(1, 1), &budget, 40, 0, &[]).await;
    let mut wait = 0;
    for number in [2, 3] {
        let refused = world.ask_as(asker(number, 1), &budget, 4, 0, &[]).await;
        wait = wait.max(refused.wait_ms());
    }
    world.advance(wait).await;
    let again = world.ask_as(asker(2, 1), &budget, 40, 0, &[]).await;
    assert!(again.granted() >= 36, "{again:?}");
}

#[tokio::test]
async fn the_reserve_is_a_part_of_what_the_platform_really_allows() {
    let mut world = World::new().await;
    world.reserve = 20;
    let budget = [(world.budget("told", vec![rolling(100, 1_000)]), 1)];
    let automatic = Asker {
        is_manual: false,
        ..asker(1, 1)
    };
    world.take(&budget, 1).await;
    world.advance(5_000).await;
    let told = Correction {
        limit: Some(50),
        resets_in: Some(Duration::from_secs(1)),
        ..Correction::default()
    };
    assert!(world.correct(&budget[0].0, told).await);
    assert_eq!(
        world
            .ask_as(automatic, &budget, 200, 0, &[])
            .await
            .granted(),
        40
    );
    assert_eq!(
        world
            .ask_as(asker(2, 1), &budget, 200, 0, &[])
            .await
            .granted(),
        10
    );
}
