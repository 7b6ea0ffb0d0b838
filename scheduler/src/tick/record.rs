//! Firing: batches of ticks, and what the ticks' rows are to say.

use std::time::Duration;

use chrono::{DateTime, Utc};
use syncline_shared::db::batch::{FanOut, FannedOut, Order, Target, fan_out};
use syncline_shared::db::schedule::Schedule;
use syncline_shared::db::tick::TickDecision;
use syncline_shared::db::{DbConnection, DbResult};
use syncline_shared::ids::ScheduleId;
use syncline_shared::run::RunOrigin;
use syncline_shared::schedule::{TickCause, TickOutcome};

use super::Done;

/// A tick that is to make runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Firing<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) nominal: DateTime<Utc>,
    pub(super) cause: TickCause,
    /// Fired, or late.
    pub(super) outcome: TickOutcome,
}

/// What becomes of ticks.
pub(super) struct Fired<'a> {
    /// One for each firing: fired, late, or skipped with the reason. Still to be recorded.
    pub(super) ticks: Vec<TickDecision>,
    /// The schedules of ticks by the clock that made a batch.
    pub(super) by_time: Vec<ScheduleId>,
    fan_out: FanOut<'a>,
}

impl Fired<'_> {
    /// Enqueues the runs: the last statement of a transaction.
    pub(super) async fn enqueue(self, db: &mut DbConnection) -> DbResult<Done> {
        let made = self.fan_out.enqueue(db).await?;
        Ok(Done {
            runs: made.iter().map(|made| made.runs).sum(),
            has_more: made.iter().any(|made| made.has_more),
        })
    }
}

/// Makes the batches of ticks.
pub(super) async fn fire<'a>(db: &mut DbConnection, firings: &[Firing<'a>]) -> DbResult<Fired<'a>> {
    let orders: Vec<_> = firings.iter().map(order).collect();
    let fan_out = fan_out(db, &orders).await?;
    let mut ticks = Vec::with_capacity(firings.len());
    let mut by_time = Vec::new();
    for (firing, made) in firings.iter().zip(&fan_out.made) {
        let Schedule { id, key, .. } = firing.schedule;
        let nominal = firing.nominal;
        let (outcome, reason) = if made.batch_id.is_some() {
            if firing.cause == TickCause::Time {
                by_time.push(*id);
            }
            tracing::info!(
                schedule.id = %id,
                "tick {nominal} of schedule {key} {}: {} runs enqueued, {} connections left out{}",
                firing.outcome,
                made.runs,
                made.left_out.len(),
                if made.has_more { ", more follow" } else { "" }
            );
            (firing.outcome, None)
        } else {
            let reason = why_no_run(made);
            tracing::info!(schedule.id = %id, "tick {nominal} of schedule {key} skipped: {reason}");
            (TickOutcome::Skipped, Some(reason))
        };
        ticks.push(TickDecision {
            schedule_id: *id,
            nominal_at: nominal,
            last_nominal_at: nominal,
            moments: 1,
            cause: firing.cause,
            outcome,
            reason,
            batch_id: made.batch_id,
        });
    }
    Ok(Fired {
        ticks,
        by_time,
        fan_out,
    })
}

fn order<'a>(firing: &Firing<'a>) -> Order<'a> {
    let schedule = firing.schedule;
    // The policy was read before; one that cannot be read has no tick.
    let policy = schedule.policy().unwrap_or_default();
    Order {
        origin: RunOrigin::Schedule,
        schedule_id: Some(schedule.id),
        nominal_at: Some(firing.nominal),
        requested_by: None,
        target: Target {
            kind: schedule.target,
            connection_id: schedule.connection_id,
            business_id: schedule.business_id,
            platform: schedule.platform.clone(),
        },
        streams: schedule.streams.as_deref(),
        kind: schedule.kind,
        page: schedule.page,
        priority: schedule.priority,
        overlap: policy.overlap,
        spread_seconds: policy.spread_seconds,
        delay: Duration::ZERO,
        time_limit_seconds: schedule.time_limit_seconds,
    }
}

fn why_no_run(made: &FannedOut) -> String {
    match made.left_out.as_slice() {
        [] => "no connection matches the target".to_owned(),
        [only] => format!("{}: {}", only.connection, only.reason),
        all => format!("all {} connections were left out", all.len()),
    }
}
