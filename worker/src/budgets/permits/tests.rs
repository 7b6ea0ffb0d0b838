use std::path::Path;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use syncline_engine::{Outcome as Answered, ResponseSignals};
use syncline_postgres::testing::{self, TestDatabase};
use syncline_shared::config::{DatabaseConfig, Pooler};
use syncline_shared::db::budget::{Charge, list_budgets, list_circuits, note_failure};
use syncline_shared::db::notify::BUDGET_CHANGED;
use syncline_shared::ids::BusinessId;
use syncline_shared::lifecycle::Lifecycle;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const TURN: Turn = Turn {
    business: BusinessId(Uuid::nil()),
    weight: 1,
    is_manual: true,
};

/// A process's permits.
fn permits(database: &Database) -> Permits {
    let waker = Waker::start(database.clone(), BUDGET_CHANGED, &Lifecycle::new(SECOND));
    Permits::new(database.clone(), waker, SECOND)
}

/// A request that draws on one budget with these windows.
fn draw(windows: &Value) -> Draw {
    crate::testing::draw(windows, 1)
}

async fn database(pooler: Pooler) -> (TestDatabase, Database) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let server = testing::database(&folder).await.expect("a database");
    let config = DatabaseConfig {
        database_pooler: pooler,
        ..DatabaseConfig::direct(server.url(), 4)
    };
    let database = Database::connect(&config, "permits").await;
    (server, database.expect("connects"))
}

async fn granted(permits: &Permits, draw: &Draw) -> Leave {
    match permits.take(draw, TURN).await {
        Answer::Granted(leave) => leave,
        Answer::Wait { reason, .. } => panic!("refused by {reason}"),
    }
}

/// What counts in the budget's windows, the shortest first, once all is told.
async fn used(permits: &Permits) -> Vec<i64> {
    permits.tell().await.expect("answers");
    let mut db = permits.0.database.session().await.expect("a connection");
    let budgets = list_budgets(&mut db, None, "", 9).await.expect("answers");
    let windows = budgets.iter().flat_map(|budget| &budget.windows);
    windows.map(|window| window.used).collect()
}

#[tokio::test]
async fn a_leave_that_is_dropped_counts_no_longer_as_under_way() {
    let (_server, database) = database(Pooler::None).await;
    let permits = permits(&database);
    let draw = draw(&json!([{"limit": 1, "at_once": true}, {"limit": 9, "per_seconds": 60}]));
    let leave = granted(&permits, &draw).await;
    assert_eq!(used(&permits).await, [1, 1]);
    drop(leave);
    assert_eq!(used(&permits).await, [0, 0]);
    // What may have left has been sent.
    drop(granted(&permits, &draw).await.handed_out());
    assert_eq!(used(&permits).await, [0, 1]);
    let mut told = granted(&permits, &draw).await.handed_out();
    permits.unused(&mut told);
    drop(told);
    assert_eq!(used(&permits).await, [0, 1]);
    permits.0.settlements.renew(Instant::now() + SECOND * 60);
    assert_eq!(permits.0.settlements.take(), []);
}

#[tokio::test]
async fn behind_a_pooler_too_requests_are_dated_no_earlier_than_they_leave() {
    let (server, database) = database(Pooler::Transaction).await;
    let permits = permits(&database);
    let mut other = PgConnection::connect(&server.url())
        .await
        .expect("connects");
    // Asking locks rows alone; to define the budget, which is not there yet, takes a while.
    let mut holding = other.begin().await.expect("begins");
    sqlx::query("lock table syncline.budget in share row exclusive mode")
        .execute(&mut *holding)
        .await
        .expect("locks");
    let draw = draw(&json!([{"limit": 9, "per_seconds": 60}]));
    let asking = granted(&permits, &draw);
    let holding = async {
        tokio::time::sleep(SECOND / 2).await;
        holding.rollback().await.expect("ends");
    };
    let (mut leave, ()) = tokio::join!(asking, holding);
    let held = leave.lease.expect("a lease");
    let epoch_ms = "select syncline.epoch_ms(clock_timestamp())";
    let clock: i64 = sqlx::query_scalar(epoch_ms)
        .fetch_one(&mut other)
        .await
        .expect("answers");
    let dated = held.clock_ms(Instant::now());
    assert!(dated >= clock, "{} ms too early", clock - dated);
    permits.unused(&mut leave);
}

#[tokio::test]
async fn an_answer_to_a_question_from_before_a_change_is_of_no_use() {
    let config = DatabaseConfig::direct("postgres://nobody@127.0.0.1:1/none".to_owned(), 2);
    let database = Database::lazy(&config, "permits").expect("is read");
    let permits = permits(&database);
    let draw = draw(&json!([{"limit": 9, "per_seconds": 60}]));
    let hand = permits.hand(&draw, TURN);
    let hear = |outcome, changes| {
        permits.hear(&draw, &hand, outcome, changes);
        let state = lock(&hand.state);
        (state.stock.is_empty(), state.refusal.is_none())
    };
    let now = Instant::now();
    let lease = Lease {
        charge: Charge {
            at: 10_100,
            until: 25_100,
        },
        asked: now,
        answered: now,
        begins: now,
        length: SECOND,
    };
    let given = || Outcome::Given(vec![(lease, 2)]);
    let refused = || Outcome::Refused {
        wait: SECOND * 3_600,
        room: Duration::ZERO,
        key: "p/b/".to_owned(),
        reason: "no".to_owned(),
        is_paused: false,
    };

    let before = permits.terms(&draw, &hand).changes;
    permits.drop_stock("p/b/");
    assert_eq!(hear(given(), before), (true, true));
    let given_back = permits.0.settlements.take();
    assert_eq!((given_back.len(), given_back[0].points), (1, 2));
    assert_eq!(given_back[0].settled, Settled::Unused);
    assert_eq!(hear(refused(), before), (true, true));

    let after = permits.terms(&draw, &hand).changes;
    assert_eq!(hear(given(), after), (false, true));
    assert_eq!(hear(refused(), after), (false, false));
}

#[tokio::test]
async fn only_an_answer_to_a_request_that_left_to_see_opens_the_way_to_a_host() {
    let (_server, database) = database(Pooler::None).await;
    let permits = permits(&database);
    let draw = draw(&json!([{"limit": 9, "per_seconds": 60}]));
    let mut db = database.session().await.expect("a connection");
    let before = granted(&permits, &draw).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    for _ in 0..5 {
        note_failure(&mut db, draw.circuit(), "p", "HTTP 502", None)
            .await
            .expect("answers");
    }
    permits.0.circuits.note(draw.circuit(), true);
    let answer = ResponseSignals {
        status: Some(200),
        outcome: Answered::Ok,
        left_at_once: true,
        retry_after: None,
        headers: Vec::new(),
        duration: Duration::ZERO,
        bytes: 0,
        told: Vec::new(),
    };
    permits.hear_of_host(&before, "p", &answer).await;
    let circuits = list_circuits(&mut db).await.expect("answers");
    assert_eq!(circuits.len(), 1);
    assert!(permits.0.circuits.is_open(draw.circuit()));

    sqlx::query("update syncline.circuit set open_until = syncline.now()")
        .execute(&mut *db)
        .await
        .expect("answers");
    permits.drop_stock(draw.circuit());
    let probe = granted(&permits, &draw).await;
    permits.hear_of_host(&probe, "p", &answer).await;
    let circuits = list_circuits(&mut db).await.expect("answers");
    assert!(circuits.is_empty() && permits.0.circuits.is_empty());
}

#[tokio::test]
async fn nothing_is_read_ahead_while_somebody_waits() {
    let (_server, database) = database(Pooler::None).await;
    let permits = permits(&database);
    let draw = draw(&json!([{"limit": 2, "per_seconds": 60}]));
    let ahead = async || permits.take_ahead(&draw, TURN).await.map(Leave::handed_out);
    assert!(ahead().await.is_some());
    drop(granted(&permits, &draw).await.handed_out());
    let refused = async || {
        let mut db = database.session().await.expect("a connection");
        let budgets = list_budgets(&mut db, None, "", 9).await.expect("answers");
        budgets[0].refused
    };
    assert!(ahead().await.is_none());
    assert_eq!(refused().await, 1);
    // The second time it is known without a question.
    assert!(ahead().await.is_none());
    assert_eq!(refused().await, 1);
}

#[tokio::test]
async fn a_budget_that_the_database_refuses_says_why() {
    let (_server, database) = database(Pooler::None).await;
    let permits = permits(&database);
    let draw = draw(&json!([{"limit": 2, "per": "day", "time_zone": "Mars/Olympus"}]));
    let asking = permits.take(&draw, TURN);
    let answer = tokio::time::timeout(SECOND * 10, asking).await;
    match answer.expect("answers") {
        Answer::Wait { wait, reason, .. } => {
            assert!(wait > SECOND && reason.contains("Mars/Olympus"), "{reason}");
        }
        Answer::Granted(_) => panic!("a day of Mars is not known"),
    }
}
