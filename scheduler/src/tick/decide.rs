//! Deciding what is due: many schedules in a handful of statements.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use syncline_shared::db::schedule::{self, Decided, Schedule};
use syncline_shared::db::tick::{self, TickDecision};
use syncline_shared::db::{DbConnection, DbResult};
use syncline_shared::ids::ScheduleId;
use syncline_shared::schedule::{Plan, Policy, TickCause, TickOutcome, Trigger, TriggerError};

use super::Done;
use super::record::{Firing, fire};

/// Ticks of one schedule that one transaction fires by the clock: with `catch_up: all` the others follow in the next ones, each
/// meeting the runs of the one before.
const FIRES_AT_ONCE: u32 = 1;

/// A due schedule with its rule.
struct Read<'a> {
    schedule: &'a Schedule,
    trigger: Trigger,
    policy: Policy,
}

impl<'a> Read<'a> {
    fn of(schedule: &'a Schedule) -> Result<Self, TriggerError> {
        Ok(Self {
            schedule,
            trigger: schedule.trigger()?,
            policy: schedule.policy()?,
        })
    }

    fn plan(&self) -> Plan<'_> {
        Plan {
            schedule: self.schedule.id,
            trigger: &self.trigger,
            policy: &self.policy,
        }
    }
}

/// Decides what is due of these schedules, whose rows are locked.
pub(super) async fn decide(
    db: &mut DbConnection,
    due: &[Schedule],
    now: DateTime<Utc>,
) -> DbResult<Done> {
    let moments: Vec<_> = due
        .iter()
        .filter_map(|schedule| Some((schedule.id, schedule.next_at?)))
        .collect();
    let before: HashSet<ScheduleId> = tick::list_decided(db, &moments)
        .await?
        .into_iter()
        .collect();

    let mut ticks = Vec::new();
    let mut firings = Vec::new();
    let mut decided = Vec::with_capacity(due.len());
    let mut policies = Vec::with_capacity(due.len());
    for schedule in due {
        let read = match Read::of(schedule) {
            Ok(read) => read,
            // A release that understands less than the one that stored it. Said once; the schedule rests until it is changed.
            Err(problem) => {
                tracing::error!(schedule.id = %schedule.id, "schedule {} cannot be read: {problem}", schedule.key);
                ticks.extend(unreadable(schedule, &problem));
                decided.push(Decided {
                    id: schedule.id,
                    next: None,
                    fired: 0,
                    trigger_answered: true,
                    problem: Some(problem.to_string()),
                });
                policies.push(None);
                continue;
            }
        };
        let by_time = decide_by_time(&read, before.contains(&schedule.id), now);
        let answers = schedule.trigger_at.filter(|at| *at <= now);
        for firing in by_time.firings.iter().copied() {
            firings.push(firing);
        }
        // A moment that fires at the very instant of the call answers it as well.
        if let Some(at) = answers
            && !by_time.firings.iter().any(|firing| firing.nominal == at)
            && !by_time.ticks.iter().any(|tick| tick.nominal_at == at)
        {
            firings.push(Firing {
                schedule,
                nominal: at,
                cause: TickCause::Trigger,
                outcome: TickOutcome::Fired,
            });
        }
        ticks.extend(by_time.ticks);
        decided.push(Decided {
            id: schedule.id,
            next: by_time.following,
            fired: 0,
            trigger_answered: answers.is_some(),
            problem: None,
        });
        policies.push(Some(read.policy));
    }

    let mut fired = fire(db, &firings).await?;
    ticks.append(&mut fired.ticks);
    let mut fired_by_time: HashMap<ScheduleId, i64> = HashMap::new();
    for id in &fired.by_time {
        *fired_by_time.entry(*id).or_default() += 1;
    }
    for ((decided, policy), schedule) in decided.iter_mut().zip(&policies).zip(due) {
        decided.fired = fired_by_time.get(&schedule.id).copied().unwrap_or(0);
        let in_all = (schedule.fired + decided.fired).unsigned_abs();
        if policy
            .as_ref()
            .is_some_and(|policy| policy.is_exhausted(in_all))
        {
            decided.next = None;
        }
    }
    tick::record_all(db, &ticks).await?;
    schedule::save_decided(db, &decided).await?;
    // Last: schedulers wait for each other from here to the COMMIT.
    fired.enqueue(db).await
}

/// What the clock asks of a schedule.
struct ByTime<'a> {
    ticks: Vec<TickDecision>,
    firings: Vec<Firing<'a>>,
    following: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

fn decide_by_time<'a>(read: &Read<'a>, was_decided: bool, now: DateTime<Utc>) -> ByTime<'a> {
    let mut by_time = ByTime {
        ticks: Vec::new(),
        firings: Vec::new(),
        following: None,
    };
    let Some(next_at) = read.schedule.next_at else {
        return by_time;
    };
    let plan = read.plan();
    let with_due = |nominal| (nominal, plan.due_at(nominal));
    // The database's clock was set back, or a schedule was made to name the past: what was decided stays decided.
    if was_decided {
        by_time.following = plan
            .moment_from(next_at + TimeDelta::microseconds(1))
            .map(with_due);
        return by_time;
    }
    let fired = read.schedule.fired.unsigned_abs();
    let due = plan.decide(next_at, now, fired, FIRES_AT_ONCE);
    for gap in &due.gaps {
        by_time.ticks.push(TickDecision {
            schedule_id: read.schedule.id,
            nominal_at: gap.first,
            last_nominal_at: gap.last,
            moments: i64::try_from(gap.count).unwrap_or(i64::MAX),
            cause: TickCause::Time,
            outcome: gap.outcome,
            reason: Some(gap.reason.clone()),
            batch_id: None,
        });
    }
    for fires in &due.fires {
        by_time.firings.push(Firing {
            schedule: read.schedule,
            nominal: fires.nominal,
            cause: TickCause::Time,
            outcome: fires.outcome,
        });
    }
    by_time.following = due.following.map(with_due);
    by_time
}

fn unreadable(schedule: &Schedule, problem: &TriggerError) -> Option<TickDecision> {
    let nominal = schedule.next_at?;
    Some(TickDecision {
        schedule_id: schedule.id,
        nominal_at: nominal,
        last_nominal_at: nominal,
        moments: 1,
        cause: TickCause::Time,
        outcome: TickOutcome::Skipped,
        reason: Some(problem.to_string()),
        batch_id: None,
    })
}
