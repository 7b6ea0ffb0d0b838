//! Runs that would only find a budget empty wait with the one that did.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use syncline_shared::db::answered;
use syncline_shared::db::budget::{note_draws, park_runs};
use syncline_shared::ids::ConnectionId;

use super::draw::Draw;
use super::lock;
use super::permits::Permits;

/// Of so many connections' streams it is remembered what they draw on; then all is noted once more.
const MOST_SEEN: usize = 100_000;

/// What has been noted of connections' draws.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashSet<(ConnectionId, String)>>);

impl Permits {
    /// Takes note of the budgets that a stream of a connection draws on, the first time that it does.
    pub(crate) fn see(&self, connection: ConnectionId, stream: &str, draw: &Draw) {
        if draw.is_free() {
            return;
        }
        {
            let mut seen = lock(&self.0.seen.0);
            if seen.len() >= MOST_SEEN {
                seen.clear();
            }
            if !seen.insert((connection, stream.to_owned())) {
                return;
            }
        }
        let keys: Vec<_> = draw
            .drawn()
            .iter()
            .map(|drawn| drawn.budget.key())
            .collect();
        let (permits, stream) = (self.clone(), stream.to_owned());
        tokio::spawn(async move {
            let noting = async {
                let mut db = permits.0.database.session().await?;
                note_draws(&mut db, connection, &stream, &keys).await?;
                db.end().await
            };
            if let Err(error) = answered(noting).await {
                // A connection that has just been deleted draws on nothing any more.
                tracing::debug!(%error, "it could not be noted what connection {connection} draws on: {error}");
            }
        });
    }

    /// Has the queued runs of a budget wait that gives nobody anything for a while.
    pub(super) fn park(&self, key: String, wait: Duration, reason: String, spares_manual: bool) {
        let permits = self.clone();
        tokio::spawn(async move {
            let parking = async {
                let mut db = permits.0.database.begin().await?;
                let parked = park_runs(&mut db, &key, wait, &reason, spares_manual).await?;
                db.commit().await?;
                Ok(parked)
            };
            match answered(parking).await {
                Ok(0) => {}
                Ok(parked) => tracing::info!(
                    budget = key,
                    "{parked} queued runs wait for budget {key}, which gives nothing for {:.1} s",
                    wait.as_secs_f64()
                ),
                // They find out by themselves.
                Err(error) => tracing::debug!(%error, "runs could not be parked: {error}"),
            }
        });
    }
}
