//! Ticks: what became of each due moment.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{DbConnection, DbResult};
use crate::ids::{BatchId, ScheduleId};
use crate::schedule::{TickCause, TickOutcome};

/// A due moment of a schedule, or a gap of them.
#[derive(Debug, Clone, Serialize)]
pub struct Tick {
    /// The due moment; of a gap, the first.
    pub nominal_at: DateTime<Utc>,
    /// Of a gap, its last due moment; else `nominal_at`.
    pub last_nominal_at: DateTime<Utc>,
    /// How many due moments it stands for.
    pub moments: i64,
    /// What caused it.
    pub cause: TickCause,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why it did not fire.
    pub reason: Option<String>,
    /// The batch of runs it made.
    pub batch_id: Option<BatchId>,
    /// When that was decided.
    pub decided_at: DateTime<Utc>,
}

/// What a scheduler decided about a due moment.
#[derive(Debug, Clone)]
pub struct TickDecision {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The due moment; of a gap, the first.
    pub nominal_at: DateTime<Utc>,
    /// Of a gap, its last due moment; else `nominal_at`.
    pub last_nominal_at: DateTime<Utc>,
    /// How many due moments it stands for.
    pub moments: i64,
    /// What caused it.
    pub cause: TickCause,
    /// What becomes of it.
    pub outcome: TickOutcome,
    /// Why it does not fire.
    pub reason: Option<String>,
    /// The batch of runs it makes.
    pub batch_id: Option<BatchId>,
}

/// Which ticks of a schedule a page shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct TickFilter {
    /// Only those whose last moment is at this instant or later.
    pub from: Option<DateTime<Utc>>,
    /// Only those whose first moment is before this instant: also the next page.
    pub before: Option<DateTime<Utc>>,
    /// Only those with this outcome.
    pub outcome: Option<TickOutcome>,
}

/// A checked query that answers ticks. `$tail` stands behind the table.
macro_rules! query_ticks {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Tick,
            r#"select nominal_at, last_nominal_at, moments, cause as "cause: TickCause", outcome as "outcome: TickOutcome",
                      reason, batch_id as "batch_id: BatchId", decided_at
               from syncline.tick "# + $tail
            $(, $argument)*
        )
    };
}

/// Records ticks in one round trip. Fails on the constraint `tick_once` if one was decided before.
pub async fn record_all(db: &mut DbConnection, ticks: &[TickDecision]) -> DbResult<()> {
    if ticks.is_empty() {
        return Ok(());
    }
    let schedules: Vec<_> = ticks.iter().map(|tick| tick.schedule_id.0).collect();
    let nominal: Vec<_> = ticks.iter().map(|tick| tick.nominal_at).collect();
    let last: Vec<_> = ticks.iter().map(|tick| tick.last_nominal_at).collect();
    let moments: Vec<_> = ticks.iter().map(|tick| tick.moments).collect();
    let causes: Vec<_> = ticks
        .iter()
        .map(|tick| tick.cause.as_str().to_owned())
        .collect();
    let outcomes: Vec<_> = ticks
        .iter()
        .map(|tick| tick.outcome.as_str().to_owned())
        .collect();
    let reasons: Vec<_> = ticks.iter().map(|tick| tick.reason.clone()).collect();
    let batches: Vec<_> = ticks
        .iter()
        .map(|tick| tick.batch_id.map(|id| id.0))
        .collect();
    sqlx::query!(
        "insert into syncline.tick
             (schedule_id, nominal_at, last_nominal_at, moments, cause, outcome, reason, batch_id)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[],
                              $7::text[], $8::uuid[])",
        &schedules,
        &nominal,
        &last,
        &moments,
        &causes,
        &outcomes,
        &reasons as &[Option<String>],
        &batches as &[Option<uuid::Uuid>]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Of these due moments the schedules for which they were decided before: on their own, or as the first of a gap.
pub async fn list_decided(
    db: &mut DbConnection,
    moments: &[(ScheduleId, DateTime<Utc>)],
) -> DbResult<Vec<ScheduleId>> {
    let schedules: Vec<_> = moments.iter().map(|(id, _)| id.0).collect();
    let nominal: Vec<_> = moments.iter().map(|(_, at)| *at).collect();
    Ok(sqlx::query_scalar!(
        r#"select m.id as "id!: ScheduleId" from unnest($1::uuid[], $2::timestamptz[]) as m (id, at)
           where exists (select from syncline.tick t where t.schedule_id = m.id and t.nominal_at = m.at offset 0)"#,
        &schedules,
        &nominal
    )
    .fetch_all(db)
    .await?)
}

/// Ticks of a schedule, newest first.
pub async fn list(
    db: &mut DbConnection,
    schedule: ScheduleId,
    filter: &TickFilter,
    limit: i64,
) -> DbResult<Vec<Tick>> {
    let from = match filter.from {
        None => None,
        // A gap that began before may reach into the time that is asked for.
        Some(from) => Some(
            find_gap(db, schedule, from)
                .await?
                .map_or(from, |gap| gap.nominal_at),
        ),
    };
    let (before, id) = (filter.before, schedule.0);
    // One statement a filter, so that each has the index that it needs: what is not fired is rare. Bounds that are always there are found
    // by that index, too, in the plan that is made for all values.
    Ok(match filter.outcome {
        Some(outcome) if outcome != TickOutcome::Fired => query_ticks!(
            "where schedule_id = $1 and nominal_at >= coalesce($2, '-infinity'::timestamptz)
               and nominal_at < coalesce($3, 'infinity'::timestamptz) and outcome = $4 and outcome <> 'fired'
             order by nominal_at desc limit $5",
            id,
            from,
            before,
            outcome.as_str(),
            limit
        )
        .fetch_all(db)
        .await?,
        outcome => query_ticks!(
            "where schedule_id = $1 and nominal_at >= coalesce($2, '-infinity'::timestamptz)
               and nominal_at < coalesce($3, 'infinity'::timestamptz) and ($4::text is null or outcome = $4)
             order by nominal_at desc limit $5",
            id,
            from,
            before,
            outcome.map(TickOutcome::as_str),
            limit
        )
        .fetch_all(db)
        .await?,
    })
}

/// The row that tells what became of an instant: its own, or the gap that it lies in.
pub async fn find_covering(
    db: &mut DbConnection,
    schedule: ScheduleId,
    instant: DateTime<Utc>,
) -> DbResult<Option<Tick>> {
    let own = query_ticks!(
        "where schedule_id = $1 and nominal_at = $2",
        schedule.0,
        instant
    )
    .fetch_optional(&mut *db)
    .await?;
    match own {
        Some(own) => Ok(Some(own)),
        None => find_gap(db, schedule, instant).await,
    }
}

/// The gap that an instant lies in.
async fn find_gap(
    db: &mut DbConnection,
    schedule: ScheduleId,
    instant: DateTime<Utc>,
) -> DbResult<Option<Tick>> {
    // Gaps of a schedule do not overlap, so only the latest that began by then can reach so far.
    let gap = query_ticks!(
        "where schedule_id = $1 and nominal_at <= $2 and moments > 1 order by nominal_at desc limit 1",
        schedule.0,
        instant
    )
    .fetch_optional(db)
    .await?;
    Ok(gap.filter(|gap| gap.last_nominal_at >= instant))
}
