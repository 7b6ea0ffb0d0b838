//! The scheduler's eye: it asks what is to be done, and wakes those who do it.
//!
//! One statement a second is all that an idle scheduler asks, however many schedules there are; a change of a schedule is heard of
//! by LISTEN and looked at at once, and so is what was just decided: each tick names the moment of the next.

use std::sync::Arc;
use std::time::Duration;

use syncline_shared::db::agenda::{Agenda, look};
use syncline_shared::db::notify::{SCHEDULE_CHANGED, listen_on};
use syncline_shared::db::{Database, Session, answered};
use syncline_shared::lifecycle::Lifecycle;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The longest sleep: a change of a schedule takes effect within it, also when the wake-up is lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while there is no run, and so nothing that changes by itself.
const LOOK_EVERY_WHEN_IDLE: Duration = Duration::from_millis(2_500);
/// Between two looks, however much is due: others are at it already.
const SHORTEST_SLEEP: Duration = Duration::from_millis(20);

/// Whom the scheduler wakes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prompts {
    /// Looks again: schedules have new moments.
    pub(crate) look: Arc<Notify>,
    /// Decides ticks.
    pub(crate) ticks: Arc<Notify>,
    /// Moves runs whose wait is over.
    pub(crate) runs: Arc<Notify>,
    /// Goes on with fan-outs and backfills.
    pub(crate) fan_outs: Arc<Notify>,
    /// Closes batches.
    pub(crate) batches: Arc<Notify>,
}

impl Prompts {
    /// `keep_house`: also what is no more urgent than once in [`LOOK_EVERY`].
    fn wake(&self, agenda: &Agenda, keep_house: bool) {
        if agenda.has_due_schedules {
            self.ticks.notify_one();
        }
        let is_wait_over = agenda.until_run.is_some_and(|seconds| seconds <= 0.0);
        if is_wait_over || keep_house && agenda.has_runs {
            self.runs.notify_one();
        }
        if !keep_house {
            return;
        }
        if agenda.has_fan_outs {
            self.fan_outs.notify_one();
        }
        if agenda.has_open_batches {
            self.batches.notify_one();
        }
    }
}

/// Looks until the life drains.
pub(crate) async fn look_on(
    database: Database,
    prompts: Prompts,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let changed = prompts.look.clone();
    life.spawn(
        "schedule listener",
        listen_on(
            database.clone(),
            SCHEDULE_CHANGED,
            changed.clone(),
            life.clone(),
        ),
    );
    // Kept from look to look: to borrow a connection costs as much as to look.
    let mut kept: Option<Session> = None;
    let mut house_kept: Option<Instant> = None;
    while !life.draining().is_cancelled() {
        let before = kept.take();
        let looking = async {
            let mut db = match before {
                Some(session) => session,
                None => database.session().await?,
            };
            Ok((look(&mut db).await?, db))
        };
        let pause = match answered(looking).await {
            Ok((agenda, session)) => {
                kept = Some(session).filter(Session::outlives_a_statement);
                let since_house_kept = house_kept.map_or(LOOK_EVERY, |at| at.elapsed());
                let keep_house = since_house_kept >= LOOK_EVERY;
                if keep_house {
                    house_kept = Some(Instant::now());
                }
                prompts.wake(&agenda, keep_house);
                if keep_house || !is_busy(&agenda) {
                    sleep_after(&agenda)
                } else {
                    let until_then = LOOK_EVERY.saturating_sub(since_house_kept);
                    sleep_after(&agenda).min(until_then).max(SHORTEST_SLEEP)
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the scheduler could not look what is due, trying again: {error}");
                LOOK_EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = changed.notified() => {}
            () = life.draining().cancelled() => {}
        }
    }
    Ok(())
}

/// True if there is something that changes by itself.
fn is_busy(agenda: &Agenda) -> bool {
    agenda.has_runs || agenda.has_open_batches || agenda.has_fan_outs
}

fn sleep_after(agenda: &Agenda) -> Duration {
    let longest = if is_busy(agenda) {
        LOOK_EVERY
    } else {
        LOOK_EVERY_WHEN_IDLE
    };
    // What is due already was passed on; it is looked at again in case it did not get done.
    [agenda.until_schedule, agenda.until_run]
        .into_iter()
        .flatten()
        .filter(|seconds| *seconds > 0.0)
        .filter_map(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .fold(longest, Duration::min)
        .max(SHORTEST_SLEEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Agenda = Agenda {
        has_due_schedules: false,
        until_schedule: None,
        until_run: None,
        has_runs: false,
        has_open_batches: false,
        has_fan_outs: false,
    };

    #[test]
    fn it_sleeps_until_the_next_moment_but_not_for_long() {
        let sleep = |until_schedule, until_run| {
            sleep_after(&Agenda {
                until_schedule,
                until_run,
                ..IDLE
            })
        };
        assert_eq!(sleep(None, None), LOOK_EVERY_WHEN_IDLE);
        assert_eq!(sleep(Some(3600.0), None), LOOK_EVERY_WHEN_IDLE);
        assert_eq!(sleep(Some(0.5), Some(0.25)), Duration::from_millis(250));
        assert_eq!(sleep(Some(0.001), None), SHORTEST_SLEEP);
        assert_eq!(sleep(Some(0.5), Some(-5.0)), Duration::from_millis(500));
        let busy = Agenda {
            has_runs: true,
            ..IDLE
        };
        assert_eq!(sleep_after(&busy), LOOK_EVERY);
    }
}
