//! Wake-ups at scale: few, empty, never the last one lost; and listeners that are in nobody's way.

use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use syncline_shared::db::notify::{RUN_QUEUED, Waker};
use syncline_shared::lifecycle::Lifecycle;

use crate::world::World;

async fn listener(world: &World) -> PgListener {
    let mut listener = PgListener::connect_with(&world.pool).await.unwrap();
    listener.listen(RUN_QUEUED).await.unwrap();
    listener
}

#[tokio::test]
async fn a_thousand_wake_ups_are_a_few_notifications_without_payload() {
    let world = World::new().await;
    let mut listener = listener(&world).await;
    let life = Lifecycle::new(Duration::from_secs(5));
    let waker = Waker::start(world.database.clone(), RUN_QUEUED, &life);
    let began = Instant::now();
    for _ in 0..1_000 {
        waker.wake();
        tokio::time::sleep(Duration::from_micros(20)).await;
    }
    sqlx::query("select pg_notify($1, 'all are sent')")
        .bind(RUN_QUEUED)
        .execute(&world.pool)
        .await
        .unwrap();
    let mut heard = 0;
    loop {
        let notification = listener.recv().await.unwrap();
        match notification.payload() {
            "" => heard += 1,
            payload => {
                assert_eq!(payload, "all are sent");
                break;
            }
        }
    }
    // Three milliseconds lie between two of them.
    let most = began.elapsed().as_millis() / 3 + 2;
    assert!(heard > 0 && heard <= most, "{heard} of at most {most}");
    life.drain();
    life.finished().await.unwrap();
}

#[tokio::test]
async fn a_wake_up_right_after_another_is_not_swallowed() {
    let world = World::new().await;
    let mut listener = listener(&world).await;
    let life = Lifecycle::new(Duration::from_secs(5));
    let waker = Waker::start(world.database.clone(), RUN_QUEUED, &life);
    for number in 1..=50 {
        // The one before has just arrived: its quiet time is not over.
        waker.wake();
        let heard = tokio::time::timeout(Duration::from_secs(30), listener.recv());
        assert!(heard.await.is_ok(), "wake-up {number} was not sent");
    }
    life.drain();
    life.finished().await.unwrap();
}

#[tokio::test]
async fn a_listener_holds_no_snapshot_that_would_keep_vacuum_back() {
    let world = World::new().await;
    let _listener = world.database.listen(RUN_QUEUED).await.unwrap().unwrap();
    let found: Vec<(String, bool)> = sqlx::query_as(
        "select state, backend_xmin is null and backend_xid is null and xact_start is null from pg_stat_activity
         where datname = current_database() and query ilike 'listen %'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(found, [("idle".to_owned(), true)]);
}
