//! Requests that count until they are answered.

use syncline_shared::db::budget::{Settled, settle_permits};

use crate::world::{ANSWER_MS, World, concurrent, rolling, sent, settled};

#[tokio::test]
async fn an_answer_makes_room_at_once() {
    let world = World::new().await;
    let budget = [(world.budget("answered", vec![concurrent(3)]), 1)];
    let two = world.take(&budget, 2).await;
    assert_eq!(two.granted(), 2);
    assert_eq!(world.take(&budget, 9).await.granted(), 1);
    let refused = world.take(&budget, 1).await;
    assert!(refused.wait_ms() <= 50, "{refused:?}");
    let now = world.now_ms().await;
    let answered = [sent(&budget[0].0, &two, now, 2)];
    assert_eq!(world.ask(&budget, 9, 0, &answered).await.granted(), 2);
}

#[tokio::test]
async fn a_request_is_under_way_for_as_long_as_its_process_says_so() {
    let world = World::new().await;
    let budget = [(world.budget("slow", vec![concurrent(1)]), 1)];
    let charged = world.take(&budget, 1).await;
    let (count, mut charge) = charged.charge().unwrap();
    assert_eq!(count, 1);
    for _ in 0..3 {
        world.advance(ANSWER_MS - 1).await;
        let until = world.now_ms().await + ANSWER_MS;
        let mut told = settled(&budget[0].0, &charged, Settled::UnderWay { until });
        told.charge = charge;
        let mut db = world.database.session().await.unwrap();
        settle_permits(&mut db, &[told]).await.unwrap();
        charge.until = until;
        assert!(world.take(&budget, 1).await.wait_ms() <= 50);
    }
    // Then it says nothing more.
    world.advance(ANSWER_MS).await;
    assert_eq!(world.take(&budget, 1).await.wait_ms(), 1);
    world.advance(1).await;
    assert_eq!(world.take(&budget, 9).await.granted(), 1);
}

#[tokio::test]
async fn a_request_that_is_said_to_be_under_way_stays_charged_in_time() {
    let world = World::new().await;
    let budget = [(
        world.budget("both", vec![concurrent(5), rolling(2, 1_000)]),
        1,
    )];
    let two = world.take(&budget, 9).await;
    assert_eq!(two.granted(), 2);
    let until = world.now_ms().await + 10 * ANSWER_MS;
    let told = settled(&budget[0].0, &two, Settled::UnderWay { until });
    assert!(world.ask(&budget, 1, 0, &[told]).await.wait_ms() > 1_000);
    world.advance(1_100).await;
    // Two are under way still: the second window after that is for them, too.
    assert_eq!(world.take(&budget, 9).await.granted(), 2);
    world.advance(1_100).await;
    assert_eq!(world.take(&budget, 9).await.granted(), 1);
    assert!(world.take(&budget, 9).await.wait_ms() <= 50);
}

#[tokio::test]
async fn permits_that_are_given_back_were_never_under_way() {
    let world = World::new().await;
    let budget = [(world.budget("back", vec![concurrent(2)]), 1)];
    let two = world.take(&budget, 2).await;
    let back = settled(&budget[0].0, &two, Settled::Unused);
    assert_eq!(world.ask(&budget, 9, 0, &[back]).await.granted(), 2);
}
