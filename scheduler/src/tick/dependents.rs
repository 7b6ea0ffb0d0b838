//! Schedules that follow the batches of others.

use chrono::{DateTime, Utc};
use syncline_shared::db::batch::Closed;
use syncline_shared::db::schedule::{self, Schedule};
use syncline_shared::db::tick::{self, TickDecision};
use syncline_shared::db::{DbConnection, DbResult};
use syncline_shared::run::Outcome;
use syncline_shared::schedule::{AfterOutcome, TickCause, TickOutcome};

use super::record::{Firing, fire};

/// Makes the ticks of the schedules that follow a batch which has just ended, in the transaction that closes it. Their moment is the
/// batch's end, told apart from the ends of other batches in the same transaction. Answers how many runs were enqueued.
pub(crate) async fn follow(
    db: &mut DbConnection,
    batch: &Closed,
    nominal: DateTime<Utc>,
) -> DbResult<usize> {
    let Some(followed) = batch.schedule_id else {
        return Ok(0);
    };
    let following = schedule::list_after(db, followed).await?;
    let mut firings = Vec::new();
    let mut ticks = Vec::new();
    for schedule in following.iter().filter(|schedule| schedule.is_active()) {
        if let Some(reason) = reason_to_skip(schedule, batch) {
            ticks.push(skip(schedule, nominal, reason));
        } else {
            firings.push(Firing {
                schedule,
                nominal,
                cause: TickCause::After,
                outcome: TickOutcome::Fired,
            });
        }
    }
    let mut fired = fire(db, &firings).await?;
    ticks.append(&mut fired.ticks);
    tick::record_all(db, &ticks).await?;
    Ok(fired.enqueue(db).await?.runs)
}

fn reason_to_skip(schedule: &Schedule, batch: &Closed) -> Option<String> {
    if let Err(problem) = schedule.policy() {
        return Some(problem.to_string());
    }
    let waits_for_success = schedule.after_outcome == Some(AfterOutcome::Succeeded);
    (waits_for_success && batch.outcome != Outcome::Succeeded).then(|| {
        format!(
            "batch {} of schedule {} ended as {}, and this one follows only those that succeeded",
            batch.id,
            schedule.after_key.as_deref().unwrap_or_default(),
            batch.outcome
        )
    })
}

fn skip(schedule: &Schedule, at: DateTime<Utc>, reason: String) -> TickDecision {
    TickDecision {
        schedule_id: schedule.id,
        nominal_at: at,
        last_nominal_at: at,
        moments: 1,
        cause: TickCause::After,
        outcome: TickOutcome::Skipped,
        reason: Some(reason),
        batch_id: None,
    }
}
