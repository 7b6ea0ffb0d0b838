//! The claim task: keeps the slots filled.
//!
//! It claims as many runs as there are free places, and sleeps until a place is free, a wake-up arrives, or the poll interval
//! is over. Runs are not claimed ahead of a free slot: a claimed run that waits in a process is out of everybody else's reach.
//!
//! While several platforms have runs ready, none gets more than its share of this process's slots; what the others do not want is
//! anybody's. As every worker does so, the same holds for the fleet.

use std::sync::Arc;
use std::time::Duration;

use syncline_shared::db::run::{Claim, claim, list_leased};
use syncline_shared::db::{Database, DbResult, answered, notify};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::SYNC_QUEUE;
use tokio::sync::Notify;

use super::Leases;
use super::buffer::Buffer;

/// The fallback when a wake-up is lost, or cannot be had.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Before a database that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Runs that one statement claims at most.
const BATCH: usize = 1_000;
/// With many slots, places that become free one after the other are gathered for so long, so that they cost one statement.
const GATHER: Duration = Duration::from_millis(2);
/// Fewer slots than this are not worth the wait.
const MANY_SLOTS: usize = 64;

/// Claims runs into a buffer.
pub(super) struct Claimer {
    pub(super) database: Database,
    pub(super) leases: Arc<Leases>,
    pub(super) buffer: Buffer,
    /// Slots that one platform may hold while others have runs ready.
    pub(super) share: usize,
}

impl Claimer {
    /// Claims until the process drains.
    pub(super) async fn claim_on(self, life: Lifecycle) -> anyhow::Result<()> {
        let queued = Arc::new(Notify::new());
        life.spawn(
            "run listener",
            notify::listen_on(
                self.database.clone(),
                notify::RUN_QUEUED,
                queued.clone(),
                life.clone(),
            ),
        );
        let draining = life.draining();
        // True while it is not known whether a claim was carried out whose answer was lost: nobody else would end its runs.
        let mut is_in_doubt = false;
        while !draining.is_cancelled() {
            if is_in_doubt {
                is_in_doubt = !self.adopt().await;
            }
            let Some(places) = self.places().await else {
                tokio::select! {
                    () = self.leases.place_freed() => {}
                    () = draining.cancelled() => break,
                }
                continue;
            };
            let pause = match self.claim(places).await {
                // A full claim: there may be more.
                Ok(claimed) if claimed == places => continue,
                Ok(_) => POLL_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "claiming failed: {error}");
                    is_in_doubt = !self.adopt().await;
                    RETRY_AFTER
                }
            };
            tokio::select! {
                () = queued.notified() => {}
                () = self.leases.place_freed() => {}
                () = tokio::time::sleep(pause) => {}
                () = draining.cancelled() => break,
            }
        }
        Ok(())
    }

    /// How many runs to claim now; `None`: there is no free place.
    async fn places(&self) -> Option<usize> {
        let slots = self.leases.slots();
        let mut places = self.leases.free_places();
        if slots >= MANY_SLOTS && places > 0 && places < slots / 4 {
            tokio::time::sleep(GATHER).await;
            places = self.leases.free_places();
        }
        (places > 0).then(|| places.min(BATCH))
    }

    async fn claim(&self, places: usize) -> DbResult<usize> {
        let mut held = self.leases.held_by_platform();
        let mut claimed = 0;
        // Within the shares first. Whatever is left then is nobody else's.
        for share in [self.share.min(self.leases.slots()), self.leases.slots()] {
            let rooms: Vec<(String, i64)> = held
                .iter()
                .map(|(platform, count)| (platform.clone(), whole(share.saturating_sub(*count))))
                .collect();
            let process = self.leases.process();
            let claim_now = Claim {
                queue: SYNC_QUEUE,
                limit: whole(places - claimed),
                rooms: &rooms,
                room: whole(share),
                process,
            };
            let claiming = async {
                let mut db = self.database.session().await?;
                let runs = claim(&mut db, &claim_now).await?;
                db.end().await?;
                Ok(runs)
            };
            let mut runs = answered(claiming).await?;
            claimed += runs.len();
            runs.retain(|run| self.leases.enter(run, process));
            metrics::counter!("syncline_runs_claimed_total").increment(runs.len() as u64);
            for run in &runs {
                *held.entry(run.platform.clone()).or_default() += 1;
            }
            self.buffer.push(runs);
            if claimed == places || !held.values().any(|count| *count >= share) {
                break;
            }
        }
        Ok(claimed)
    }

    /// Finds runs that were claimed by a statement whose answer was lost, and takes them up. False: the database did not answer.
    async fn adopt(&self) -> bool {
        let process = self.leases.process();
        let found = async {
            let mut db = self.database.session().await?;
            list_leased(&mut db, process).await
        };
        let Ok(mut runs) = answered(found).await else {
            return false;
        };
        runs.retain(|run| {
            !self.leases.holds((run.id, run.token)) && self.leases.enter(run, process)
        });
        if !runs.is_empty() {
            tracing::info!(
                runs = runs.len(),
                "took up {} runs whose claim's answer was lost",
                runs.len()
            );
            self.buffer.push(runs);
        }
        true
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
