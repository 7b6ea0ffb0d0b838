//! The claim task: keeps the slots filled.
//!
//! It claims as many runs as there are free places, and sleeps until a place is free, a wake-up arrives, or the poll interval
//! is over. Runs are not claimed ahead of a free slot: a claimed run that waits in a process is out of everybody else's reach.
//!
//! While several platforms have runs ready, none gets more than its share of this process's slots; what the others do not want is
//! anybody's. As every worker does so, the same holds for the fleet.

use std::sync::Arc;
use std::time::Duration;

use syncline_shared::db::run::{Claim, Heads, claim, list_leased, virtual_turn};
use syncline_shared::db::{Database, DbResult, answered, notify};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::SYNC_QUEUE;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Leases;
use super::buffer::Buffer;

/// The fallback when a wake-up is lost, or cannot be had.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// So often a claim looks at the queue from its very beginning.
const LOOK_FROM_THE_BEGINNING_EVERY: Duration = POLL_EVERY;
/// Before a database that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Runs that one statement claims at most.
const BATCH: usize = 1_000;
/// With many slots, places that become free one after the other are gathered for so long, so that they cost one statement.
const GATHER: Duration = Duration::from_millis(2);
/// Fewer slots than this are not worth the wait.
const MANY_SLOTS: usize = 64;

/// After a claim whose answer was lost, the database is asked so many times for what was claimed, at growing distances: a server that
/// stood still may carry the claim out when it goes on.
const LOOKS: u32 = 10;
const FIRST_LOOK_AFTER: Duration = Duration::from_secs(1);

/// Claims runs into a buffer.
pub(super) struct Claimer {
    pub(super) database: Database,
    pub(super) leases: Arc<Leases>,
    pub(super) buffer: Buffer,
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
        let mut doubt = Doubt::default();
        let mut queue = Queue::default();
        while !draining.is_cancelled() {
            if doubt.wants_a_look() {
                doubt.looked(self.adopt().await);
            }
            let Some(places) = self.places().await else {
                tokio::select! {
                    () = self.leases.place_freed() => {}
                    () = draining.cancelled() => break,
                }
                continue;
            };
            let pause = match self.claim(places, &mut queue).await {
                // A full claim: there may be more.
                Ok(claimed) if claimed == places => continue,
                Ok(_) => POLL_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "claiming failed: {error}");
                    doubt.arises();
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

    async fn claim(&self, places: usize, queue: &mut Queue) -> DbResult<usize> {
        let mut held = self.leases.held_by_platform();
        let mut claimed = 0;
        if queue.is_to_be_looked_at_from_the_beginning() {
            let asking = async {
                let mut db = self.database.session().await?;
                let turn = virtual_turn(&mut db).await?;
                db.end().await?;
                Ok(turn)
            };
            queue.forget(answered(asking).await?);
        }
        // Within the shares first. Whatever is left then is nobody else's.
        for share in [self.leases.share(), self.leases.slots()] {
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
                heads: &queue.heads,
                process,
            };
            let claiming = async {
                let mut db = self.database.session().await?;
                let runs = claim(&mut db, &claim_now).await?;
                db.end().await?;
                Ok(runs)
            };
            let mut runs = answered(claiming).await?;
            queue.heads = queue.heads.after(&claim_now, &runs);
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

/// What the claims before tell of the queue.
#[derive(Debug, Default)]
struct Queue {
    heads: Heads,
    looked: Option<Instant>,
}

impl Queue {
    fn is_to_be_looked_at_from_the_beginning(&self) -> bool {
        self.looked
            .is_none_or(|at| at.elapsed() >= LOOK_FROM_THE_BEGINNING_EVERY)
    }

    fn forget(&mut self, virtual_turn: i64) {
        self.heads = Heads::from_the_beginning(virtual_turn);
        self.looked = Some(Instant::now());
    }
}

/// Whether a claim may have been carried out, or may yet be, whose answer was lost: nobody else would end its runs.
#[derive(Debug, Default)]
struct Doubt {
    /// When to look next, and how many times it was looked before.
    next: Option<(Instant, u32)>,
}

impl Doubt {
    fn arises(&mut self) {
        self.next = Some((Instant::now(), 0));
    }

    fn wants_a_look(&self) -> bool {
        self.next.is_some_and(|(at, _)| at <= Instant::now())
    }

    /// Notes a look, which the database answered or did not: then the next one is soon.
    fn looked(&mut self, answered: bool) {
        self.next = match self.next {
            Some((_, looks)) if answered && looks + 1 < LOOKS => Some((
                Instant::now() + FIRST_LOOK_AFTER * 2_u32.pow(looks),
                looks + 1,
            )),
            Some((_, looks)) if !answered => Some((Instant::now() + FIRST_LOOK_AFTER, looks)),
            _ => None,
        };
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_is_looked_for_at_growing_distances_and_not_for_ever() {
        let mut doubt = Doubt::default();
        assert!(!doubt.wants_a_look());
        doubt.arises();
        let began = Instant::now();
        let mut looks = Vec::new();
        for _ in 0..2_000 {
            if doubt.wants_a_look() {
                looks.push(began.elapsed().as_secs());
                // The second look finds no database.
                doubt.looked(looks.len() != 2);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(looks, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
