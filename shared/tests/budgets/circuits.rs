//! Hosts that do not answer.

use std::time::Duration;

use syncline_shared::budget::BudgetDefinition;
use syncline_shared::db::budget::{
    Ask, Drawn, Grant, HostAnswered, list_changes, list_circuits, note_failure, note_success,
    take_permits,
};

use crate::world::{ANSWER_MS, Given, World, asker, rolling};

const HOST: &str = "test/host:1";

struct Host<'a> {
    world: &'a World,
    budget: Option<BudgetDefinition>,
}

impl<'a> Host<'a> {
    /// With a budget, or with none at all.
    async fn both(world: &'a World) -> [Self; 2] {
        let budget = world.budget("host", vec![rolling(100_000, 1_000)]);
        // Defined before anything fails.
        world.take(&[(budget.clone(), 1)], 1).await;
        [None, Some(budget)].map(|budget| Self { world, budget })
    }

    async fn fails(&self, times: usize) -> bool {
        let mut must_know = false;
        for _ in 0..times {
            must_know = self.fails_as_sent(None).await;
        }
        must_know
    }

    async fn fails_as_sent(&self, at: Option<i64>) -> bool {
        let mut db = self.world.database.session().await.unwrap();
        let noted = note_failure(&mut db, HOST, "test", "502", at).await;
        noted.unwrap()
    }

    async fn answers(&self) -> bool {
        let mut db = self.world.database.session().await.unwrap();
        let sent_at = Some(i64::MAX);
        let noted = note_success(&mut db, HOST, sent_at).await.unwrap();
        noted == HostAnswered::Again
    }

    async fn ask(&self, who: u128, circuit: &str) -> Given {
        let drawn: Vec<_> = self
            .budget
            .iter()
            .map(|budget| Drawn {
                budget: budget.clone(),
                points: 1,
                manual_reserve: 0,
            })
            .collect();
        let ask = Ask {
            drawn: &drawn,
            circuit,
            asker: asker(who, 1),
            want: 8,
            lease: Duration::from_millis(50),
            early: Duration::ZERO,
            hold: Duration::from_millis(ANSWER_MS.unsigned_abs()),
            patience: Duration::from_secs(2),
            settled: &[],
        };
        let mut db = self.world.database.session().await.unwrap();
        Given(take_permits(&mut db, &ask).await.unwrap())
    }

    async fn is_open_for(&self) -> i64 {
        let refused = self.ask(1, HOST).await;
        assert_eq!(
            (refused.refused_by(), refused.because()),
            (HOST, Some("502"))
        );
        refused.wait_ms()
    }
}

#[tokio::test]
async fn the_fifth_failure_in_a_row_stops_all_requests_to_that_host() {
    let world = World::new().await;
    for host in Host::both(&world).await {
        host.fails(4).await;
        assert_eq!(host.ask(1, HOST).await.granted(), 8);
        assert!(host.fails(1).await, "others must know");
        assert_eq!(host.is_open_for().await, 10_000);
        assert_eq!(host.ask(1, "test/host:2").await.granted(), 8);
        world.advance(9_999).await;
        assert_eq!(host.is_open_for().await, 1);
        assert!(host.answers().await);
        assert_eq!(host.ask(1, HOST).await.granted(), 8);
        assert!(!host.answers().await);
    }
}

#[tokio::test]
async fn one_request_of_all_askers_looks_whether_it_answers_again() {
    let world = World::new().await;
    for host in Host::both(&world).await {
        host.fails(5).await;
        world.advance(10_000).await;
        let mut granted = 0;
        for who in 1..=20 {
            let given = host.ask(who, HOST).await;
            granted += given.granted();
            match given.0 {
                Grant::Granted(_) => {}
                Grant::Wait { wait, .. } => {
                    assert_eq!(wait, Duration::from_millis(50 + ANSWER_MS.unsigned_abs()));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(granted, 1);
        assert!(host.answers().await);
        assert_eq!(host.ask(1, HOST).await.granted(), 8);
    }
}

#[tokio::test]
async fn each_failed_look_doubles_the_time_up_to_five_minutes() {
    let world = World::new().await;
    for host in Host::both(&world).await {
        host.fails(5).await;
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(host.is_open_for().await, seconds * 1_000);
            world.advance(seconds * 1_000).await;
            assert_eq!(host.ask(1, HOST).await.granted(), 1);
            assert!(host.fails(1).await);
        }
        host.answers().await;
    }
}

#[tokio::test]
async fn requests_that_had_left_before_do_not_lengthen_it() {
    let world = World::new().await;
    let [host, _] = Host::both(&world).await;
    host.fails(5).await;
    world.advance(3_000).await;
    for _ in 0..10 {
        assert!(!host.fails(1).await);
    }
    assert_eq!(host.is_open_for().await, 7_000);
}

#[tokio::test]
async fn a_request_that_had_left_before_is_not_taken_for_the_look() {
    let world = World::new().await;
    let [host, _] = Host::both(&world).await;
    host.fails(5).await;
    world.advance(10_000).await;
    let (1, charge) = host.ask(1, HOST).await.charge().unwrap() else {
        panic!("nobody was sent to look alone")
    };
    let looked_at = charge.at - 50;
    world.advance(5).await;
    assert!(!host.fails_as_sent(Some(looked_at - 1)).await);
    assert!(
        list_circuits(&mut world.database.session().await.unwrap())
            .await
            .unwrap()[0]
            .is_probing
    );
    assert!(host.fails_as_sent(Some(looked_at)).await);
    assert_eq!(host.is_open_for().await, 20_000);
}

#[tokio::test]
async fn a_look_that_is_never_answered_lets_another_one_go_after_its_time() {
    let world = World::new().await;
    for host in Host::both(&world).await {
        host.fails(5).await;
        world.advance(10_000).await;
        assert_eq!(host.ask(1, HOST).await.granted(), 1);
        world.advance(50 + ANSWER_MS - 1).await;
        assert_eq!(host.is_open_for().await, 1);
        world.advance(1).await;
        assert_eq!(host.ask(2, HOST).await.granted(), 1);
        assert_eq!(host.is_open_for().await, 50 + ANSWER_MS);
        host.answers().await;
    }
}

#[tokio::test]
async fn failures_that_are_more_than_a_minute_apart_are_not_in_a_row() {
    let world = World::new().await;
    let [host, _] = Host::both(&world).await;
    for _ in 0..4 {
        host.fails(4).await;
        world.advance(60_001).await;
    }
    assert_eq!(host.ask(1, HOST).await.granted(), 8);
    host.fails(4).await;
    world.advance(59_999).await;
    assert!(host.fails(1).await);
    assert_eq!(host.is_open_for().await, 10_000);
}

#[tokio::test]
async fn an_empty_budget_sends_nobody_to_look() {
    let world = World::new().await;
    let [_, host] = Host::both(&world).await;
    host.fails(5).await;
    world.advance(10_000).await;
    let budget = host.budget.clone().unwrap();
    world
        .correct(
            &budget,
            syncline_shared::db::budget::Correction {
                wait: Some(Duration::from_mins(1)),
                ..Default::default()
            },
        )
        .await;
    assert_eq!(host.ask(1, HOST).await.refused_by(), budget.key());
    world.advance(60_000).await;
    assert_eq!(host.ask(1, HOST).await.granted(), 1);
}

#[tokio::test]
async fn other_processes_see_that_it_opened_and_who_looks() {
    let world = World::new().await;
    let [host, _] = Host::both(&world).await;
    let mut db = world.database.session().await.unwrap();
    host.fails(4).await;
    let before = list_circuits(&mut db).await.unwrap();
    assert_eq!(
        (
            before[0].failures,
            before[0].open_until,
            before[0].is_probing
        ),
        (4, None, false)
    );
    let since = before[0].failed_at;
    world.advance(10).await;
    host.fails(1).await;
    let changes = list_changes(&mut db, since).await.unwrap();
    let [change] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert!(change.is_circuit && change.is_open && change.key == HOST);
    world.advance(10_000).await;
    host.ask(1, HOST).await;
    assert!(list_circuits(&mut db).await.unwrap()[0].is_probing);
}
