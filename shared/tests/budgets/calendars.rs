//! Days and months of the platform's calendar.

use syncline_shared::budget::{BudgetWindow, BudgetWindowKind};

use crate::world::{World, sent};

fn day(zone: &str) -> BudgetWindow {
    BudgetWindow {
        kind: BudgetWindowKind::Day(zone.to_owned()),
        limit: 5,
    }
}

fn month(zone: &str) -> BudgetWindow {
    BudgetWindow {
        kind: BudgetWindowKind::Month(zone.to_owned()),
        limit: 5,
    }
}

#[tokio::test]
async fn a_day_ends_a_minute_after_midnight_there() {
    let world = World::new().await;
    for (name, window, begins, used_up, ends) in [
        // Clocks are set back in that night: the day has 25 hours.
        (
            "berlin-autumn",
            day("Europe/Berlin"),
            "2026-10-25 00:00:30+02",
            "2026-10-25 23:50+01",
            "2026-10-26 00:01+01",
        ),
        // And forward in that: 23.
        (
            "berlin-spring",
            day("Europe/Berlin"),
            "2027-03-28 00:00:30+01",
            "2027-03-28 23:50+02",
            "2027-03-29 00:01+02",
        ),
        (
            "los-angeles",
            day("America/Los_Angeles"),
            "2027-06-01 00:00:30-07",
            "2027-06-01 23:50-07",
            "2027-06-02 00:01-07",
        ),
        (
            "kathmandu",
            day("Asia/Kathmandu"),
            "2027-06-10 00:00:30+05:45",
            "2027-06-10 23:50+05:45",
            "2027-06-11 00:01+05:45",
        ),
        (
            "october",
            month("Europe/Berlin"),
            "2027-10-01 00:00:30+02",
            "2027-10-31 23:50+01",
            "2027-11-01 00:01+01",
        ),
        (
            "february",
            month("America/Los_Angeles"),
            "2028-02-01 00:00:30-08",
            "2028-02-29 23:50-08",
            "2028-03-01 00:01-08",
        ),
    ] {
        let budget = [(world.budget(name, vec![window]), 1)];
        world.set_clock(ends).await;
        let end = world.now_ms().await;
        world.set_clock(begins).await;
        assert_eq!(world.take(&budget, 2).await.granted(), 2, "{name}");
        world.set_clock(used_up).await;
        assert_eq!(world.take(&budget, 9).await.granted(), 3, "{name}");
        let refused = world.take(&budget, 9).await;
        assert_eq!(world.now_ms().await + refused.wait_ms(), end, "{name}");
        world.advance(refused.wait_ms() - 1).await;
        assert_eq!(world.take(&budget, 9).await.wait_ms(), 1, "{name}");
        world.advance(1).await;
        assert_eq!(world.take(&budget, 9).await.granted(), 5, "{name}");
    }
}

#[tokio::test]
async fn permits_over_midnight_count_for_both_days_until_it_is_known_when_their_requests_left() {
    let world = World::new().await;
    let budget = [(world.budget("over", vec![day("Europe/Berlin")]), 1)];
    world.set_clock("2026-10-24 23:58:30+02").await;
    let left = world.now_ms().await;
    // They may leave up to 23:59:30, and arrive on the next day.
    let three = world.ask(&budget, 3, 60_000, &[]).await;
    assert_eq!(three.granted(), 3);
    world.set_clock("2026-10-25 00:01:00+02").await;
    let two = world.take(&budget, 9).await;
    assert_eq!(two.granted(), 2);
    // They left in time: the new day has all of its points.
    let told = [sent(&budget[0].0, &three, left, 3)];
    assert_eq!(world.ask(&budget, 9, 0, &told).await.granted(), 3);
    world.set_clock("2026-10-26 00:00:59+01").await;
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 1_000);
}

#[tokio::test]
async fn what_leaves_right_before_midnight_may_arrive_after_it() {
    let world = World::new().await;
    let budget = [(world.budget("late", vec![day("UTC")]), 1)];
    world.set_clock("2026-12-01 23:59:59+00").await;
    assert_eq!(world.take(&budget, 1).await.granted(), 1);
    world.set_clock("2026-12-02 00:01:00+00").await;
    assert_eq!(world.take(&budget, 9).await.granted(), 4);
}
