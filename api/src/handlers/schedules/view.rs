//! A schedule as clients see it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use syncline_shared::db::schedule::{self, Schedule, ScheduleState, Standing};
use syncline_shared::db::tick::Tick;
use syncline_shared::db::{DbConnection, DbResult};
use syncline_shared::ids::ScheduleId;
use syncline_shared::schedule::{AfterOutcome, Policy, TriggerKind, parse_zone};
use utoipa::ToSchema;

use crate::resources::retry::RetryView;
use crate::resources::schedule::{PolicyView, written_target};

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub(crate) struct ScheduleView {
    /// Identity.
    pub id: uuid::Uuid,
    /// The user's own name for it, accepted wherever an id is.
    #[schema(example = "acme-g2a-daily")]
    pub key: String,
    /// Shown to people.
    pub name: String,
    /// `running`: it has unfinished runs; else `paused`: it is disabled, or somebody paused it; `error`: it paused itself after failures,
    /// or has a problem; `active`.
    #[schema(value_type = String, example = "active")]
    pub state: ScheduleState,
    /// When it is due, in words.
    #[schema(example = "Every day at 02:00, Europe/Berlin")]
    pub words: String,
    /// `cron`, `interval`, `once`, `after` or `manual`.
    #[schema(schema_with = crate::docs::trigger_schema)]
    pub trigger: TriggerKind,
    /// Cron fields, if that is the trigger.
    #[schema(example = "0 2 * * *")]
    pub cron: Option<String>,
    /// IANA time zone of the cron fields.
    #[schema(example = "Europe/Berlin")]
    pub zone: String,
    /// Seconds between moments, if it is an interval.
    pub every_seconds: Option<i64>,
    /// The moment the interval is counted from.
    pub anchor: Option<DateTime<Utc>>,
    /// Its one moment, if it has one.
    pub run_at: Option<DateTime<Utc>>,
    /// The schedule whose batches it follows.
    pub after: Option<AfterView>,
    /// What it syncs.
    #[schema(schema_with = crate::docs::target_schema)]
    pub target: Value,
    /// Only these streams; null: those that the connection has chosen.
    pub streams: Option<Vec<String>>,
    /// `incremental`, `full` or `page`.
    #[schema(example = "incremental")]
    pub kind: &'static str,
    /// The page, if that is the kind.
    pub page: Option<i64>,
    /// Priority of its runs; the smaller, the sooner.
    pub priority: i16,
    /// What it does about lateness, overlap and failure.
    #[serde(flatten)]
    pub policy: PolicyView,
    /// What its runs do differently after a failure.
    pub retry: RetryView,
    /// Its runs end as failed so many seconds after their first start.
    pub time_limit_seconds: Option<i32>,
    /// Its inbound trigger.
    pub inbound_trigger: InboundView,
    /// False: it is never due. Configuration; a pause is apart from it.
    pub enabled: bool,
    /// Its pause; null: it has none.
    pub pause: Option<SchedulePauseView>,
    /// Why it is not scheduled although it should be.
    pub problem: Option<String>,
    /// Its next moment; null: never, or not driven by time.
    pub next_at: Option<DateTime<Utc>>,
    /// The same on its zone's clock.
    #[schema(example = "2026-08-01T02:00:00+02:00")]
    pub next_local: Option<String>,
    /// When it is due next: its next moment with jitter, or the end of its inbound trigger's debounce time.
    pub due_at: Option<DateTime<Utc>>,
    /// Ticks driven by time that have fired.
    pub fired: i64,
    /// Batches in a row that failed.
    pub failures_in_a_row: i32,
    /// Its unfinished runs; 1,000 stands for that many or more.
    pub unfinished_runs: i64,
    /// Its last batch, by a tick or a request.
    pub last_batch: Option<LastBatch>,
    /// How often its last batches succeeded: of the last 100 within 30 days, cancelled ones left out.
    pub success: Success,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When its configuration was last changed.
    pub updated_at: DateTime<Utc>,
}

/// The schedule that another follows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AfterView {
    /// Its key.
    #[schema(example = "campaigns")]
    pub schedule: String,
    /// `succeeded`: batches whose runs all succeeded; `ended`: all.
    #[schema(schema_with = crate::docs::after_schema)]
    pub when: AfterOutcome,
}

/// A schedule's inbound trigger.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboundTrigger)]
pub(crate) struct InboundView {
    /// True if it has an address. That is shown only once, when it is made.
    pub set: bool,
    /// Calls within so many seconds of the first make one tick.
    pub debounce_seconds: i32,
    /// When it was last called.
    pub called_at: Option<DateTime<Utc>>,
    /// When that call makes its tick; null: it has made it.
    pub due_at: Option<DateTime<Utc>>,
}

/// Why a schedule rests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SchedulePause)]
pub(crate) struct SchedulePauseView {
    /// `person`: somebody asked for it; `failures`: too many of its batches failed in a row.
    #[schema(example = "person")]
    pub cause: &'static str,
    /// Who.
    #[schema(example = "ana")]
    pub paused_by: String,
    /// Since when.
    pub paused_at: DateTime<Utc>,
    /// Why, in words.
    pub note: Option<String>,
}

/// A schedule's last batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastBatch {
    /// Its id.
    pub id: uuid::Uuid,
    /// `running`, or how it ended: `succeeded`, `partial`, `failed` or `cancelled`.
    #[schema(example = "succeeded")]
    pub status: &'static str,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When all of its runs had ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// How often batches succeeded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Success {
    /// Batches that succeeded.
    pub succeeded: i64,
    /// Batches that ended.
    pub ended: i64,
    /// The part that succeeded, 0 to 1; null: none has ended.
    pub rate: Option<f64>,
}

/// A schedule with its latest ticks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleDetail {
    /// The schedule.
    #[serde(flatten)]
    pub schedule: ScheduleView,
    /// Its latest ticks, newest first.
    pub ticks: Vec<TickView>,
}

/// A due moment of a schedule, or a gap of them, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tick)]
pub(crate) struct TickView {
    /// The due moment; of a gap, the first.
    pub nominal_at: DateTime<Utc>,
    /// Of a gap, its last due moment; else the same.
    pub last_nominal_at: DateTime<Utc>,
    /// How many due moments it stands for.
    pub moments: i64,
    /// `time`: the trigger named the moment; `after`: a batch that it follows ended; `trigger`: its inbound trigger was called.
    #[schema(example = "time")]
    pub cause: &'static str,
    /// `fired`, `late`, `coalesced`, `skipped` or `missed`.
    #[schema(example = "fired")]
    pub outcome: &'static str,
    /// Why it did not fire.
    pub reason: Option<String>,
    /// The batch of runs it made.
    pub batch_id: Option<uuid::Uuid>,
    /// When that was decided.
    pub decided_at: DateTime<Utc>,
    /// How long after its moment that was, of a gap after its last one.
    pub late_ms: i64,
}

impl From<Tick> for TickView {
    fn from(found: Tick) -> Self {
        Self {
            nominal_at: found.nominal_at,
            last_nominal_at: found.last_nominal_at,
            moments: found.moments,
            cause: found.cause.as_str(),
            outcome: found.outcome.as_str(),
            reason: found.reason,
            batch_id: found.batch_id.map(|id| id.0),
            decided_at: found.decided_at,
            late_ms: (found.decided_at - found.last_nominal_at)
                .num_milliseconds()
                .max(0),
        }
    }
}

/// When a schedule is due, in words.
pub(crate) fn words_of(schedule: &Schedule) -> String {
    match (schedule.trigger, &schedule.after_key) {
        (TriggerKind::After, Some(key)) => {
            let which = match schedule.after_outcome {
                Some(AfterOutcome::Ended) => "that has ended",
                _ => "that has succeeded",
            };
            format!("After each batch of {key} {which}")
        }
        _ => schedule
            .trigger()
            .map_or_else(|problem| problem.to_string(), |trigger| trigger.describe()),
    }
}

impl ScheduleView {
    fn new(found: Schedule, standing: Option<&Standing>) -> Self {
        let words = words_of(&found);
        let (policy, unreadable) = match found.policy() {
            Ok(policy) => (policy, None),
            Err(problem) => (Policy::default(), Some(problem.to_string())),
        };
        let unfinished_runs = standing.map_or(0, |standing| standing.unfinished_runs);
        let zone = parse_zone(&found.zone).ok();
        let next_local = found
            .next_at
            .zip(zone)
            .map(|(at, zone)| at.with_timezone(&zone).to_rfc3339());
        let pause = found
            .paused_at
            .zip(found.pause_cause)
            .map(|(paused_at, cause)| SchedulePauseView {
                cause: cause.as_str(),
                paused_by: found.paused_by.clone().unwrap_or_default(),
                paused_at,
                note: found.pause_note.clone(),
            });
        Self {
            id: found.id.0,
            state: found.state(unfinished_runs > 0),
            words,
            trigger: found.trigger,
            target: written_target(&found),
            retry: found.retry().into(),
            after: found
                .after_key
                .clone()
                .zip(found.after_outcome)
                .map(|(schedule, when)| AfterView { schedule, when }),
            key: found.key,
            name: found.name,
            cron: found.cron,
            zone: found.zone,
            every_seconds: found.every_seconds,
            anchor: found.anchor,
            run_at: found.run_at,
            streams: found.streams,
            kind: found.kind.as_str(),
            page: found.page,
            priority: found.priority,
            policy: policy.into(),
            time_limit_seconds: found.time_limit_seconds,
            inbound_trigger: InboundView {
                set: found.has_trigger_secret,
                debounce_seconds: found.debounce_seconds,
                called_at: found.triggered_at,
                due_at: found.trigger_at,
            },
            enabled: found.enabled,
            pause,
            problem: found.problem.or(unreadable),
            next_at: found.next_at,
            next_local,
            due_at: found.due_at,
            fired: found.fired,
            failures_in_a_row: found.failures_in_a_row,
            unfinished_runs,
            last_batch: standing.and_then(LastBatch::of),
            success: Success::of(
                standing.map_or(0, |standing| standing.succeeded),
                standing.map_or(0, |standing| standing.ended),
            ),
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}

impl LastBatch {
    fn of(standing: &Standing) -> Option<Self> {
        Some(Self {
            id: standing.batch_id?.0,
            status: standing
                .batch_outcome
                .map_or("running", |outcome| outcome.as_str()),
            created_at: standing.batch_created_at?,
            ended_at: standing.batch_ended_at,
        })
    }
}

impl Success {
    fn of(succeeded: i64, ended: i64) -> Self {
        // Both are small, and exact as floats.
        #[expect(clippy::cast_precision_loss, reason = "at most 100")]
        let rate = (ended > 0).then(|| succeeded as f64 / ended as f64);
        Self {
            succeeded,
            ended,
            rate,
        }
    }
}

/// Schedules as they are shown, with how they are doing.
pub(crate) async fn view_all(
    db: &mut DbConnection,
    found: Vec<Schedule>,
) -> DbResult<Vec<ScheduleView>> {
    let ids: Vec<ScheduleId> = found.iter().map(|schedule| schedule.id).collect();
    let standings = schedule::list_standings(db, &ids).await?;
    let view = |schedule: Schedule| {
        let own = standings
            .iter()
            .find(|standing| standing.schedule_id == schedule.id);
        ScheduleView::new(schedule, own)
    };
    Ok(found.into_iter().map(view).collect())
}

/// One schedule as it is shown.
pub(crate) async fn view_one(db: &mut DbConnection, found: Schedule) -> DbResult<ScheduleView> {
    let standings = schedule::list_standings(db, &[found.id]).await?;
    Ok(ScheduleView::new(found, standings.first()))
}
