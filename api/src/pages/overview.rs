//! `/`: one sentence that says the state; then trouble, what moves, what comes next, and who does the work.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use syncline_shared::db::history::{RunFilter, list_runs};
use syncline_shared::db::pause::{PauseScope, list_pauses};
use syncline_shared::db::process::{self, Process, ProcessRole};
use syncline_shared::db::schedule::{self, Schedule};
use syncline_shared::db::status::{self, QueueCounts};
use syncline_shared::db::{self, DbConnection, DbResult};
use syncline_shared::run::RunStatus;

use super::badge::{Badge, UP};
use super::format::{count, duration};
use super::moment::Moment;
use super::pauses::PauseLine;
use super::run_row::{RunRow, StartedBy};
use super::trouble::{self, Troubles};
use super::visitor::{Frame, Visitor};
use crate::error::ApiResult;
use crate::state::AppState;
use syncline_shared::db::overview::{self, Health};

/// Lines of what is under way, and of what waits.
const UNDER_WAY: i64 = 8;
/// Ticks to come.
const TICKS: usize = 10;
/// Runs of the list at the foot.
const LATEST: i64 = 10;

#[derive(Debug, Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    verdict: Verdict,
    /// What rests as a whole: everything, or platforms.
    pauses: Vec<PauseLine>,
    troubles: Troubles,
    running: Vec<RunRow>,
    waiting: Vec<RunRow>,
    counts: QueueCounts,
    ticks: Vec<UpcomingTick>,
    latest: Vec<RunRow>,
    processes: Vec<ProcessLine>,
}

/// The state in a sentence.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    tone: &'static str,
    icon: &'static str,
    sentence: String,
    /// What keeps everything from going on, each with what to do.
    hindrances: Vec<Hindrance>,
}

#[derive(Debug, PartialEq, Eq)]
struct Hindrance {
    text: &'static str,
    command: &'static str,
}

#[derive(Debug)]
struct UpcomingTick {
    at: Moment,
    schedule: String,
    name: String,
}

#[derive(Debug)]
struct ProcessLine {
    badge: Badge,
    role: &'static str,
    name: String,
    /// How many runs it executes at once.
    slots: Option<String>,
    version: String,
    up_for: String,
    seen: Moment,
}

/// The overview.
pub(super) async fn show(visitor: Visitor, State(state): State<AppState>) -> ApiResult<Response> {
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let health = overview::count_health(&mut db).await?;
    let counts = status::count_queue(&mut db).await?;
    let up = process::list_up(&mut db, state.lease).await?;
    let troubles = trouble::read(&mut db, now).await?;
    let pauses = list_pauses(&mut db).await?;
    let wide = pauses
        .iter()
        .filter(|pause| matches!(pause.scope, PauseScope::Everything | PauseScope::Platform));
    let waiting = [RunStatus::Queued, RunStatus::Waiting, RunStatus::Retrying];
    let soonest =
        schedule::list_upcoming(&mut db, i64::try_from(TICKS).unwrap_or(i64::MAX)).await?;
    let page = OverviewPage {
        frame: visitor.frame("Overview", "overview", now),
        verdict: verdict(health, &counts, &up),
        pauses: wide.map(|pause| PauseLine::new(pause, now)).collect(),
        troubles,
        running: rows(&mut db, Some(vec![RunStatus::Running]), UNDER_WAY, now).await?,
        waiting: rows(&mut db, Some(waiting.into()), UNDER_WAY, now).await?,
        counts,
        ticks: next_ticks(&soonest, now),
        latest: rows(&mut db, None, LATEST, now).await?,
        processes: up.into_iter().map(|process| line(process, now)).collect(),
    };
    super::html(&page)
}

async fn rows(
    db: &mut DbConnection,
    statuses: Option<Vec<RunStatus>>,
    limit: i64,
    now: DateTime<Utc>,
) -> DbResult<Vec<RunRow>> {
    let filter = RunFilter {
        statuses,
        ..RunFilter::default()
    };
    let found = list_runs(db, &filter, limit).await?;
    Ok(found.into_iter().map(|run| RunRow::new(run, now)).collect())
}

fn verdict(health: Health, counts: &QueueCounts, up: &[Process]) -> Verdict {
    let hindrances = hindrances(up);
    let (tone, icon) = match () {
        () if !hindrances.is_empty() => ("red", "cross"),
        () if health.connections == 0 => ("gray", "new"),
        () if health.failing > 0 => ("amber", "half"),
        () if health.up_to_date == health.connections => ("green", "check"),
        () => ("blue", "ring"),
    };
    Verdict {
        tone,
        icon,
        sentence: sentence(health, counts),
        hindrances,
    }
}

fn sentence(health: Health, counts: &QueueCounts) -> String {
    if health.connections == 0 {
        return "Nothing is set up yet".to_owned();
    }
    let number = |of: i64| count(of.unsigned_abs());
    let be = |of: i64| if of == 1 { "is" } else { "are" };
    let of_all = if health.connections == 1 {
        "connection is"
    } else {
        "connections are"
    };
    let mut text = format!(
        "{} of {} {of_all} up to date",
        number(health.up_to_date),
        number(health.connections)
    );
    if health.failing > 0 {
        text += &format!(
            ", {} {} failing",
            number(health.failing),
            be(health.failing)
        );
    }
    if health.new > 0 {
        let have = if health.new == 1 { "has" } else { "have" };
        text += &format!(", {} {have} not been synced yet", number(health.new));
    }
    let runs = |of: i64| if of == 1 { "run" } else { "runs" };
    let waiting = counts.queued + counts.waiting + counts.blocked;
    match (counts.running, waiting) {
        (0, 0) => text += "; nothing is running",
        (running, 0) => {
            text += &format!(
                "; {} {} {} running",
                number(running),
                runs(running),
                be(running)
            );
        }
        (0, waiting) => text += &format!("; {} {} waiting", number(waiting), be(waiting)),
        (running, waiting) => {
            text += &format!(
                "; {} {} {} running, {} {} waiting",
                number(running),
                runs(running),
                be(running),
                number(waiting),
                be(waiting)
            );
        }
    }
    text
}

fn hindrances(up: &[Process]) -> Vec<Hindrance> {
    let is_up = |role| up.iter().any(|process| process.role == role);
    let mut found = Vec::new();
    if !is_up(ProcessRole::Worker) {
        found.push(Hindrance {
            text: "No worker is up, so nothing is synced. Start one:",
            command: "syncline worker",
        });
    }
    if !is_up(ProcessRole::Scheduler) {
        found.push(Hindrance {
            text: "No scheduler is up, so nothing comes due. Start one:",
            command: "syncline scheduler",
        });
    }
    found
}

/// The next ticks of these schedules together. The ten soonest schedules hold the ten soonest ticks.
fn next_ticks(soonest: &[Schedule], now: DateTime<Utc>) -> Vec<UpcomingTick> {
    let mut moments = Vec::new();
    for (at, schedule) in soonest.iter().enumerate() {
        let Some(first) = schedule.next_at else {
            continue;
        };
        moments.push((first, at));
        let Ok(trigger) = schedule.trigger() else {
            continue;
        };
        let mut after = first;
        for _ in 1..TICKS {
            let Some(next) = trigger.next_after(after) else {
                break;
            };
            moments.push((next, at));
            after = next;
        }
    }
    moments.sort_unstable();
    moments.truncate(TICKS);
    let tick = |(at, index): (DateTime<Utc>, usize)| {
        let schedule = soonest.get(index)?;
        Some(UpcomingTick {
            at: Moment::new(at, now),
            schedule: schedule.key.clone(),
            name: schedule.name.clone(),
        })
    };
    moments.into_iter().filter_map(tick).collect()
}

fn line(process: Process, now: DateTime<Utc>) -> ProcessLine {
    let role = match process.role {
        ProcessRole::Scheduler => "Scheduler",
        ProcessRole::Worker => "Worker",
        ProcessRole::Api => "API",
    };
    ProcessLine {
        badge: UP,
        role,
        slots: process
            .slots
            .map(|slots| count(slots.unsigned_abs().into())),
        up_for: duration((now - process.started_at).num_milliseconds()),
        seen: Moment::new(process.seen_at, now),
        name: process.name,
        version: process.version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Health = Health {
        connections: 3,
        up_to_date: 3,
        failing: 0,
        new: 0,
    };

    fn counts(running: i64, queued: i64) -> QueueCounts {
        QueueCounts {
            running,
            queued,
            ..QueueCounts::default()
        }
    }

    #[test]
    fn the_sentence_says_the_state() {
        assert_eq!(
            sentence(FINE, &counts(1, 0)),
            "3 of 3 connections are up to date; 1 run is running"
        );
        assert_eq!(
            sentence(FINE, &counts(0, 0)),
            "3 of 3 connections are up to date; nothing is running"
        );
        let mixed = Health {
            connections: 1_204,
            up_to_date: 1_202,
            failing: 1,
            new: 1,
        };
        assert_eq!(
            sentence(mixed, &counts(2, 1)),
            "1,202 of 1,204 connections are up to date, 1 is failing, 1 has not been synced yet; \
             2 runs are running, 1 is waiting"
        );
        let nothing = Health {
            connections: 0,
            up_to_date: 0,
            ..FINE
        };
        assert_eq!(sentence(nothing, &counts(0, 0)), "Nothing is set up yet");
    }

    #[test]
    fn without_a_worker_nothing_is_fine() {
        let verdict = verdict(FINE, &counts(0, 0), &[]);
        assert_eq!(verdict.tone, "red");
        let commands: Vec<_> = verdict
            .hindrances
            .iter()
            .map(|hindrance| hindrance.command)
            .collect();
        assert_eq!(commands, ["syncline worker", "syncline scheduler"]);
    }
}
