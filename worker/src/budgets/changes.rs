//! Hears of what other processes were told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use syncline_shared::db::budget::list_changes;
use syncline_shared::db::{DbResult, answered, notify, now};
use syncline_shared::lifecycle::Lifecycle;
use tokio::sync::Notify;

use super::permits::Permits;

/// Where no word comes, as behind a pooler, it is looked for this often, while permits are held or waited for ...
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// ... and where one may have been lost.
const LOOK_EVERY_LISTENING: Duration = Duration::from_secs(1);
/// Changes of transactions that took their time may show up so much later than younger ones.
const LATE: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// Looks for changes whenever there is word of one, and from time to time.
pub(crate) async fn hear_of_changes(permits: Permits, life: Lifecycle) -> anyhow::Result<()> {
    let changed = Arc::new(Notify::new());
    life.spawn(
        "budget listener",
        notify::listen_on(
            permits.0.database.clone(),
            notify::BUDGET_CHANGED,
            changed.clone(),
            life.clone(),
        ),
    );
    let look_every = if permits.0.database.can_listen() {
        LOOK_EVERY_LISTENING
    } else {
        LOOK_EVERY
    };
    let mut heard = Heard::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(look_every) => {
                if permits.is_idle() {
                    continue;
                }
            }
            () = changed.notified() => {}
            () = life.stopping().cancelled() => return Ok(()),
        }
        // Without an answer the next look finds it.
        if let Err(error) = answered(heard.look(&permits)).await {
            tracing::debug!(%error, "changes of budgets could not be looked for: {error}");
        }
    }
}

#[derive(Debug, Default)]
struct Heard {
    newest: DateTime<Utc>,
    known: HashMap<String, DateTime<Utc>>,
}

impl Heard {
    async fn look(&mut self, permits: &Permits) -> DbResult<()> {
        let mut db = permits.0.database.session().await?;
        // A clock that was set back dates changes before those that are known.
        self.newest = self.newest.min(now(&mut db).await?);
        let since = self.newest.checked_sub_signed(LATE).unwrap_or(self.newest);
        for change in list_changes(&mut db, since).await? {
            self.newest = self.newest.max(change.at);
            if self.known.get(&change.key) == Some(&change.at) {
                continue;
            }
            if change.is_circuit {
                permits.0.circuits.note(&change.key, change.is_open);
            }
            permits.drop_stock(&change.key);
            self.known.insert(change.key, change.at);
        }
        self.known.retain(|_, at| *at >= since);
        Ok(())
    }
}
