//! Ticks: a due schedule becomes a tick row, a batch and its runs, and moves on, in one transaction.
//!
//! The schedule's row is locked from the first statement to the COMMIT; other schedulers pass over it. Should two ever decide
//! the same due moment, the tick's unique constraint lets one of them through.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use syncline_shared::db::batch::{self, LeftOut, NewBatch, Target};
use syncline_shared::db::notify::{SCHEDULE_CHANGED, Waker, listen_on};
use syncline_shared::db::run::{NewRun, RunTarget, enqueue};
use syncline_shared::db::schedule::{self, Schedule};
use syncline_shared::db::tick::{self, TickDecision};
use syncline_shared::db::{self, Database, DbConnection, DbResult, answered, answered_within};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::{RunOrigin, SYNC_QUEUE};
use syncline_shared::schedule::{TickOutcome, due_moments};
use tokio::sync::Notify;

/// The longest sleep: a change of a schedule takes effect within it, also when the wake-up is lost.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// A tick of a target with very many connections takes a while; longer than this, the connection is taken for silent.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);
/// A tick decided later than this after its time is called late.
const LATE_AFTER: TimeDelta = TimeDelta::minutes(1);

/// Decides due ticks until the life drains.
pub(crate) async fn tick_on(
    database: Database,
    wake: Waker,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let changed = Arc::new(Notify::new());
    life.spawn(
        "schedule listener",
        listen_on(
            database.clone(),
            SCHEDULE_CHANGED,
            changed.clone(),
            life.clone(),
        ),
    );
    while !life.draining().is_cancelled() {
        let pause = match answered_within(DECIDED_WITHIN, decide_next(&database)).await {
            Ok(Some(fired)) => {
                if fired.runs > 0 {
                    wake.wake();
                }
                continue;
            }
            Ok(None) => until_next(&database).await,
            Err(error) => {
                tracing::warn!(%error, "deciding a tick failed, trying again: {error}");
                POLL_EVERY
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

async fn until_next(database: &Database) -> Duration {
    let asking = async {
        let mut db = database.session().await?;
        schedule::seconds_until_next(&mut db).await
    };
    match answered(asking).await {
        Ok(Some(seconds)) => Duration::try_from_secs_f64(seconds)
            .unwrap_or_default()
            .min(POLL_EVERY),
        Ok(None) | Err(_) => POLL_EVERY,
    }
}

/// What was decided.
struct Fired {
    runs: usize,
}

/// Decides the tick of the schedule that has been due for longest. `None`: nothing is due, or others are at it.
async fn decide_next(database: &Database) -> DbResult<Option<Fired>> {
    let mut transaction = database.begin().await?;
    let Some(due) = schedule::lock_due(&mut transaction).await? else {
        return Ok(None);
    };
    let now = db::now(&mut transaction).await?;
    let fired = decide(&mut transaction, &due, now).await?;
    transaction.commit().await?;
    Ok(Some(fired))
}

async fn decide(db: &mut DbConnection, due: &Schedule, now: DateTime<Utc>) -> DbResult<Fired> {
    let nominal = due.next_at.unwrap_or(now);
    let trigger = match due.trigger() {
        Ok(trigger) => trigger,
        // A release that understands less than the one that stored it. Said once; the schedule rests until it is changed.
        Err(problem) => {
            tracing::error!(schedule.id = %due.id, "schedule {} cannot be read: {problem}", due.key);
            record(
                db,
                due,
                (nominal, nominal, 1),
                TickOutcome::Skipped,
                &problem.to_string(),
            )
            .await?;
            schedule::set_next(db, due.id, None).await?;
            return Ok(Fired { runs: 0 });
        }
    };
    // The database's clock was set back, or a schedule was made to name the past: what was decided stays decided.
    if tick::is_decided(db, due.id, nominal).await? {
        schedule::set_next(db, due.id, trigger.next_after(nominal)).await?;
        return Ok(Fired { runs: 0 });
    }
    let moments = due_moments(&trigger, nominal, now);
    if let Some((first, last, count)) = moments.coalesced {
        let reason = format!(
            "the tick of {} stands in for it: they were due at once",
            moments.fires
        );
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        record(
            db,
            due,
            (first, last, count),
            TickOutcome::Coalesced,
            &reason,
        )
        .await?;
    }
    let fired = fire(db, due, moments.fires, now).await?;
    schedule::set_next(db, due.id, moments.next).await?;
    Ok(fired)
}

/// Makes the batch and its runs, or says why there is none.
async fn fire(
    db: &mut DbConnection,
    due: &Schedule,
    nominal: DateTime<Utc>,
    now: DateTime<Utc>,
) -> DbResult<Fired> {
    let target = Target {
        kind: due.target,
        connection_id: due.connection_id,
        business_id: due.business_id,
        platform: due.platform.as_deref(),
    };
    let mut chosen = Vec::new();
    let mut left_out = Vec::new();
    for candidate in batch::list_candidates(db, Some(due.id), target).await? {
        let reason = match (candidate.enabled, candidate.busy) {
            (false, _) => "the connection is disabled",
            (true, true) => "its run of an earlier tick is unfinished",
            (true, false) => {
                chosen.push(RunTarget {
                    connection_id: candidate.connection_id,
                    business_id: candidate.business_id,
                    platform: candidate.platform,
                    retry_of: None,
                });
                continue;
            }
        };
        left_out.push(LeftOut {
            connection: candidate.key,
            reason: reason.to_owned(),
        });
    }
    if chosen.is_empty() {
        let reason = match left_out.first() {
            Some(first) if left_out.len() == 1 => format!("{}: {}", first.connection, first.reason),
            Some(_) => format!("all {} connections were left out", left_out.len()),
            None => "no connection matches the target".to_owned(),
        };
        tracing::info!(schedule.id = %due.id, "tick {nominal} of schedule {} skipped: {reason}", due.key);
        record(
            db,
            due,
            (nominal, nominal, 1),
            TickOutcome::Skipped,
            &reason,
        )
        .await?;
        return Ok(Fired { runs: 0 });
    }

    let new_batch = NewBatch {
        origin: RunOrigin::Schedule,
        schedule_id: Some(due.id),
        nominal_at: Some(nominal),
        requested_by: None,
        runs: chosen.len(),
        left_out: &left_out,
    };
    let batch_id = batch::create(db, &new_batch).await?;
    let runs = NewRun {
        queue: SYNC_QUEUE,
        batch_id,
        schedule_id: Some(due.id),
        origin: RunOrigin::Schedule,
        requested_by: None,
        kind: due.kind,
        streams: due.streams.as_deref(),
        page: None,
        priority: due.priority,
        delay: Duration::ZERO,
    };
    let enqueued = enqueue(db, &runs, &chosen).await?;
    let late = now - nominal > LATE_AFTER;
    let outcome = if late {
        TickOutcome::Late
    } else {
        TickOutcome::Fired
    };
    let decision = TickDecision {
        schedule_id: due.id,
        nominal_at: nominal,
        last_nominal_at: nominal,
        moments: 1,
        outcome,
        reason: None,
        batch_id: Some(batch_id),
    };
    tick::record(db, &decision).await?;
    tracing::info!(
        schedule.id = %due.id,
        batch.id = %batch_id,
        "tick {nominal} of schedule {} {outcome}: {} runs enqueued, {} connections left out",
        due.key,
        enqueued.len(),
        left_out.len()
    );
    Ok(Fired {
        runs: enqueued.len(),
    })
}

/// Records a moment, or a gap of moments, that does not fire.
async fn record(
    db: &mut DbConnection,
    due: &Schedule,
    (first, last, moments): (DateTime<Utc>, DateTime<Utc>, i64),
    outcome: TickOutcome,
    reason: &str,
) -> DbResult<()> {
    let decision = TickDecision {
        schedule_id: due.id,
        nominal_at: first,
        last_nominal_at: last,
        moments,
        outcome,
        reason: Some(reason),
        batch_id: None,
    };
    tick::record(db, &decision).await
}
