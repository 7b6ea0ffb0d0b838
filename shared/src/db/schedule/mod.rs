//! Schedules, and the schedulers' question: what is due?
//!
//! Who changes a schedule locks its row first, as a scheduler does while it decides a tick: a change and a tick never mix.

mod change;
mod due;
mod find;
mod observe;
mod standing;

pub use change::{
    ScheduleDraft, create, delete, delete_unfollowed, pause, resume, set_next, set_trigger_secret,
    update,
};
pub use due::{Decided, call_trigger, count_batch, lock_due, postpone, save_decided};
pub use find::{
    ScheduleFilter, Urgency, find, find_key, list, list_after, list_by_urgency, list_followed,
    list_upcoming, lock, lock_following,
};
pub use observe::observe;
pub use standing::{Standing, list_standings};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::{BusinessId, ConnectionId, ScheduleId};
use crate::run::{RetryPolicy, RunKind};
use crate::schedule::{AfterOutcome, Plan, Policy, TargetKind, Trigger, TriggerError, TriggerKind};
use crate::words::words;

words! {
    /// Why a schedule rests.
    pub enum SchedulePauseCause {
        /// Somebody asked for it.
        Person = "person",
        /// Too many of its batches failed in a row.
        Failures = "failures",
    }
}

words! {
    /// What people are shown of a schedule.
    pub enum ScheduleState {
        /// It has unfinished runs.
        Running = "running",
        /// It is disabled, or somebody paused it.
        Paused = "paused",
        /// It paused itself after failures, or cannot be scheduled.
        Error = "error",
        /// None of these: it waits for its next moment, or for a request.
        Active = "active",
    }
}

/// A moment: its nominal instant, and when it is due.
pub type Moment = (DateTime<Utc>, DateTime<Utc>);

/// A trigger on a target, as stored.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Identity.
    pub id: ScheduleId,
    /// The user's own name for it.
    pub key: String,
    /// Shown to people.
    pub name: String,
    /// What drives it.
    pub trigger: TriggerKind,
    /// Cron fields, if it is a cron schedule.
    pub cron: Option<String>,
    /// IANA time zone of the cron fields.
    pub zone: String,
    /// Seconds between moments, if it is an interval.
    pub every_seconds: Option<i64>,
    /// The moment an interval is counted from.
    pub anchor: Option<DateTime<Utc>>,
    /// Its one moment, if it has one.
    pub run_at: Option<DateTime<Utc>>,
    /// The schedule whose batches it follows.
    pub after_schedule_id: Option<ScheduleId>,
    /// That schedule's key.
    pub after_key: Option<String>,
    /// Which of those batches it follows.
    pub after_outcome: Option<AfterOutcome>,
    /// What it syncs.
    pub target: TargetKind,
    /// The connection, if that is the target.
    pub connection_id: Option<ConnectionId>,
    /// The business, if that is the target.
    pub business_id: Option<BusinessId>,
    /// The key of that connection or business.
    pub target_key: Option<String>,
    /// The platform, if that is the target.
    pub platform: Option<String>,
    /// Only these streams; `None`: those the connection has chosen.
    pub streams: Option<Vec<String>>,
    /// How much its runs read.
    pub kind: RunKind,
    /// The page, if the kind is `page`.
    pub page: Option<i64>,
    /// Priority of its runs; the smaller, the sooner.
    pub priority: i16,
    /// What differs from the default policy, as stored.
    pub policy: Value,
    /// What its runs do differently after a failure, as stored.
    pub retry: Value,
    /// Its runs end as failed so many seconds after their first start.
    pub time_limit_seconds: Option<i32>,
    /// False: it has no next tick.
    pub enabled: bool,
    /// Nominal instant of its next moment.
    pub next_at: Option<DateTime<Utc>>,
    /// When a scheduler looks at it next.
    pub due_at: Option<DateTime<Utc>>,
    /// Ticks driven by time that have fired.
    pub fired: i64,
    /// Batches in a row that failed.
    pub failures_in_a_row: i32,
    /// Since when it rests.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// Why it rests.
    pub pause_cause: Option<SchedulePauseCause>,
    /// Why, in words.
    pub pause_note: Option<String>,
    /// Why it is not scheduled although it should be.
    pub problem: Option<String>,
    /// True if it has an inbound trigger.
    pub has_trigger_secret: bool,
    /// Calls of the inbound trigger within so many seconds make one tick.
    pub debounce_seconds: i32,
    /// When the inbound trigger that was called makes its tick.
    pub trigger_at: Option<DateTime<Utc>>,
    /// When the inbound trigger was last called.
    pub triggered_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Schedule {
    /// Its trigger. Fails if a stored expression is no longer understood.
    pub fn trigger(&self) -> Result<Trigger, TriggerError> {
        let incomplete = || TriggerError {
            field: "trigger",
            value: self.key.clone(),
            problem: format!("a {} trigger lacks its rule", self.trigger),
        };
        match self.trigger {
            TriggerKind::Cron => {
                Trigger::cron(self.cron.as_deref().ok_or_else(incomplete)?, &self.zone)
            }
            TriggerKind::Interval => Trigger::interval(
                self.every_seconds.ok_or_else(incomplete)?,
                self.anchor.ok_or_else(incomplete)?,
            ),
            TriggerKind::Once => Ok(Trigger::Once {
                at: self.run_at.ok_or_else(incomplete)?,
            }),
            TriggerKind::After | TriggerKind::Manual => Ok(Trigger::Manual),
        }
    }

    /// Its policy. Fails if a later release stored something that is not understood.
    pub fn policy(&self) -> Result<Policy, TriggerError> {
        serde_json::from_value(self.policy.clone()).map_err(|error| TriggerError {
            field: "policy",
            value: self.policy.to_string(),
            problem: error.to_string(),
        })
    }

    /// What its runs do differently after a failure.
    pub fn retry(&self) -> RetryPolicy {
        RetryPolicy::read(&self.retry)
    }

    /// True if it has ticks.
    pub const fn is_active(&self) -> bool {
        self.enabled && self.paused_at.is_none() && self.problem.is_none()
    }

    /// True if it rests until a person acts: it paused itself after failures, or cannot be scheduled.
    pub const fn needs_person(&self) -> bool {
        self.problem.is_some() || matches!(self.pause_cause, Some(SchedulePauseCause::Failures))
    }

    /// What people are shown of it.
    pub const fn state(&self, has_runs: bool) -> ScheduleState {
        let is_paused_by_person = matches!(self.pause_cause, Some(SchedulePauseCause::Person));
        if has_runs {
            ScheduleState::Running
        } else if !self.enabled || is_paused_by_person {
            ScheduleState::Paused
        } else if self.paused_at.is_some() || self.problem.is_some() {
            ScheduleState::Error
        } else {
            ScheduleState::Active
        }
    }

    /// Nominal instant and due time of its first moment that is not before `from`; `None`: time does not drive it, or no longer.
    pub fn first_moment(&self, from: DateTime<Utc>) -> Result<Option<Moment>, TriggerError> {
        let (trigger, policy) = (self.trigger()?, self.policy()?);
        let plan = Plan {
            schedule: self.id,
            trigger: &trigger,
            policy: &policy,
        };
        if policy.is_exhausted(self.fired.unsigned_abs()) {
            return Ok(None);
        }
        Ok(plan
            .moment_from(from)
            .map(|nominal| (nominal, plan.due_at(nominal))))
    }
}

/// A checked query that answers schedules, `s`. `$tail` stands behind the table. Names of targets are looked up for each row that is
/// answered: with joins the planner reads all connections when it expects many schedules. `without names` leaves them out.
macro_rules! query_schedules {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        crate::db::schedule::query_schedules!(
            "(select a.key from syncline.schedule a where a.id = s.after_schedule_id)",
            "coalesce((select c.key from syncline.connection c where c.id = s.connection_id),
                      (select b.key from syncline.business b where b.id = s.business_id))";
            $tail $(, $argument)*
        )
    };
    (without names $tail:literal $(, $argument:expr)* $(,)?) => {
        crate::db::schedule::query_schedules!("null::text", "null::text"; $tail $(, $argument)*)
    };
    ($after_key:literal, $target_key:literal; $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            crate::db::schedule::Schedule,
            r#"select s.id as "id!: crate::ids::ScheduleId", s.key as "key!", s.name as "name!",
                      s.trigger as "trigger!: crate::schedule::TriggerKind", s.cron, s.zone as "zone!", s.every_seconds,
                      s.anchor, s.run_at, s.after_schedule_id as "after_schedule_id: crate::ids::ScheduleId",
                      "# + $after_key + r#" as after_key, s.after_outcome as "after_outcome: crate::schedule::AfterOutcome",
                      s.target as "target!: crate::schedule::TargetKind",
                      s.connection_id as "connection_id: crate::ids::ConnectionId",
                      s.business_id as "business_id: crate::ids::BusinessId",
                      "# + $target_key + r#" as target_key, s.platform, s.streams,
                      s.kind as "kind!: crate::run::RunKind", s.page, s.priority as "priority!", s.policy as "policy!",
                      s.retry as "retry!", s.time_limit_seconds, s.enabled as "enabled!", s.next_at, s.due_at,
                      s.fired as "fired!", s.failures_in_a_row as "failures_in_a_row!", s.paused_at, s.paused_by,
                      s.pause_cause as "pause_cause: crate::db::schedule::SchedulePauseCause", s.pause_note, s.problem,
                      s.trigger_secret is not null as "has_trigger_secret!", s.debounce_seconds as "debounce_seconds!",
                      s.trigger_at, s.triggered_at, s.created_at as "created_at!", s.updated_at as "updated_at!"
               from syncline.schedule s "# + $tail
            $(, $argument)*
        )
    };
}
use query_schedules;
