//! Watches the attempts under way: passes on what they are asked to do, ends time slices, and ends those that stand still.
//!
//! An attempt is asked, not cut off: it ends by itself at the next page or checkpoint. One that was asked because it made no
//! progress, and does not end, loses its lease, so that another worker can go on; whatever it still writes is refused. Time in
//! which the database did not answer is nobody's standstill.

use std::sync::Arc;
use std::time::Duration;

use syncline_shared::db::run::{Order, RunOrder, list_crowded_platforms, list_orders};
use syncline_shared::db::{Database, DbResult, notify};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::SYNC_QUEUE;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::held::Asked;
use super::leases::LeaseKey;
use super::{AttemptEnd, Leases};
use crate::attempt::stalled;

/// Orders reach an attempt within this time also when the wake-up is lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An attempt that stands still has so long to end by itself before its lease is given up.
const LEASE_GIVEN_UP_AFTER: Duration = Duration::from_secs(15);

/// For how long attempts may go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Without progress.
    pub(super) stall: Duration,
    /// While others wait for a slot.
    pub(super) slice: Duration,
}

/// Watches until the process stops: attempts are cancelled also while it drains.
pub(super) async fn watch_on(
    database: Database,
    leases: Arc<Leases>,
    ends: mpsc::Sender<AttemptEnd>,
    patience: Patience,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let changed = Arc::new(Notify::new());
    life.spawn(
        "order listener",
        notify::listen_on(
            database.clone(),
            notify::ORDERS_CHANGED,
            changed.clone(),
            life.clone(),
        ),
    );
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = changed.notified() => {}
            () = life.stopping().cancelled() => return Ok(()),
        }
        pass_on_orders(&database, &leases).await;
        end_a_slice(&database, &leases, patience.slice).await;
        for end in end_stalled(&leases, patience.stall) {
            // The recorder is gone only when the process ends, and then the rescue finds the run.
            ends.send(end).await.ok();
        }
    }
}

async fn pass_on_orders(database: &Database, leases: &Leases) {
    let held = leases.keys();
    if held.is_empty() {
        return;
    }
    let asking = async {
        let mut db = database.session().await?;
        list_orders(&mut db, &held).await
    };
    // Without an answer the next look, a second later, asks again.
    for order in within_a_heartbeat(leases, asking).await.unwrap_or_default() {
        let key = (order.id, order.token);
        tracing::info!(run.id = %order.id, order = order.order.as_str(), "run {} is asked to {}", order.id, order.order);
        leases.ask(key, asked_by(order));
    }
}

fn asked_by(order: RunOrder) -> Asked {
    let reason = order.reason.unwrap_or_default();
    match order.order {
        Order::Cancel => Asked::Cancel(reason),
        Order::Pause => Asked::Pause(reason),
        Order::GiveWay => Asked::GiveWay,
    }
}

/// If runs wait although all slots are taken, asks the attempt that has held its slot for longest, one a pass: the others may
/// not be needed.
async fn end_a_slice(database: &Database, leases: &Leases, slice: Duration) {
    if leases.free_places() > 0 {
        return;
    }
    let now = Instant::now();
    let mut oldest: Option<(Duration, LeaseKey)> = None;
    leases.for_each(|key, hold| {
        let age = hold.age(now);
        if age >= slice && hold.asked().is_none() && oldest.is_none_or(|(older, _)| age > older) {
            oldest = Some((age, key));
        }
    });
    let Some((_, key)) = oldest else { return };
    let asking = async {
        let mut db = database.session().await?;
        list_crowded_platforms(&mut db, SYNC_QUEUE).await
    };
    if within_a_heartbeat(leases, asking)
        .await
        .is_some_and(|crowded| !crowded.is_empty())
    {
        leases.ask(key, Asked::SliceOver);
    }
}

/// Asks attempts that stand still to end, and answers how those end that do not.
fn end_stalled(leases: &Leases, stall: Duration) -> Vec<AttemptEnd> {
    let now = Instant::now();
    let trusted = leases.are_trusted();
    let mut ends = Vec::new();
    leases.for_each(|(id, token), hold| {
        if !trusted {
            hold.held().progressed();
            return;
        }
        let idle = hold.idle(now);
        match hold.asked() {
            Some((Asked::Stalled(_), since)) => {
                let waited = now.saturating_duration_since(since);
                if waited >= LEASE_GIVEN_UP_AFTER && !hold.held().lost.is_cancelled() {
                    tracing::warn!(run.id = %id, "the attempt at run {id} does not end; its lease is given up");
                    hold.lose();
                    ends.push(stalled(id, token, hold.failures(), idle));
                }
            }
            _ if idle >= stall => {
                tracing::warn!(run.id = %id, "the attempt at run {id} has made no progress for {} s", idle.as_secs());
                hold.ask(Asked::Stalled(idle));
            }
            _ => {}
        }
    });
    ends
}

/// An answer that takes longer than a heartbeat may is none.
async fn within_a_heartbeat<T>(
    leases: &Leases,
    asking: impl Future<Output = DbResult<T>>,
) -> Option<T> {
    tokio::time::timeout(leases.heartbeat_every(), asking)
        .await
        .ok()?
        .ok()
}
