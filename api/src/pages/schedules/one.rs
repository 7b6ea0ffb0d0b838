//! `/schedules/{id}`: what a schedule does, what it will do, and what became of its latest ticks.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use syncline_shared::db;
use syncline_shared::db::batch::{self, BatchFilter, BatchView};
use syncline_shared::db::schedule::Schedule;
use syncline_shared::db::tick::{self, Tick, TickFilter};
use syncline_shared::ids::BatchId;
use syncline_shared::schedule::{CatchUpMode, Policy, TickCause};
use url::form_urlencoded;

use super::preview::NextTick;
use super::words::{self, PauseNote, When};
use super::{BatchLink, batch_badge, runs_of};
use crate::error::{ApiError, ApiResult};
use crate::extract::Params;
use crate::handlers::schedules as api;
use crate::handlers::schedules::view::{ScheduleView, view_one};
use crate::pages::badge::Badge;
use crate::pages::format::{count, counted, duration};
use crate::pages::moment::Moment;
use crate::pages::run;
use crate::pages::visitor::{Frame, Visitor};
use crate::state::AppState;

/// Ticks of the page.
const TICKS: usize = 20;
/// Batches that are looked at for the outcome of those ticks, and how many of them are shown.
const BATCHES: i64 = 50;
const BATCHES_SHOWN: usize = 10;

#[derive(Debug, Template)]
#[template(path = "schedule.html")]
struct SchedulePage {
    frame: Frame,
    key: String,
    name: String,
    badge: Badge,
    pause: Option<PauseNote>,
    problem: Option<String>,
    can_pause: bool,
    when: When,
    target: String,
    reads: String,
    next: Option<NextTick>,
    last: Option<BatchLink>,
    success: Option<String>,
    unfinished: Option<String>,
    /// Names and values, in an order to be read.
    facts: Vec<(&'static str, String)>,
    policies: Vec<(&'static str, String)>,
    created: Moment,
    changed: Moment,
    upcoming: Vec<NextTick>,
    zone: String,
    /// Why the ticks to come do not come.
    rests: Option<&'static str>,
    ticks: Vec<TickRow>,
    /// The address of older ticks.
    older: Option<String>,
    /// True if the page begins with older ticks.
    is_later_page: bool,
    batches: Vec<BatchRow>,
}

/// A due moment, or a gap of them.
#[derive(Debug)]
struct TickRow {
    id: String,
    badge: Badge,
    at: Moment,
    /// Of a gap: its last moment, and how many it has.
    gap: Option<(Moment, String)>,
    /// What caused it, if it was not the clock.
    cause: Option<&'static str>,
    /// When its runs were made.
    fired: Option<Moment>,
    late: Option<String>,
    /// Where its runs are, and how they ended if that is known.
    runs: Option<(String, Option<Badge>)>,
    reason: Option<String>,
}

#[derive(Debug)]
struct BatchRow {
    id: String,
    badge: Badge,
    address: String,
    at: Moment,
    /// Who asked for it, unless it was the clock.
    by: Option<String>,
    summary: String,
    left_out: Option<String>,
}

/// The page of a schedule.
pub(in crate::pages) async fn show(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(id): Path<String>,
    mut params: Params,
) -> ApiResult<Response> {
    let before = params.instant("before");
    params.finish()?;
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let found = api::find(&mut db, &id).await?;
    let filter = TickFilter {
        before,
        ..TickFilter::default()
    };
    let limit = i64::try_from(TICKS + 1).unwrap_or(i64::MAX);
    let mut ticks = tick::list(&mut db, found.id, &filter, limit).await?;
    let has_older = ticks.len() > TICKS;
    ticks.truncate(TICKS);
    let filter = BatchFilter {
        schedule: Some(found.id),
        ..BatchFilter::default()
    };
    let batches = batch::list(&mut db, &filter, BATCHES).await?;
    let view = view_one(&mut db, found.clone()).await?;
    drop(db);
    let upcoming = upcoming(&visitor, &state, &found, now).await?;
    let badges: BTreeMap<BatchId, Badge> = batches
        .iter()
        .map(|batch| (batch.id, badge_of(batch)))
        .collect();
    let row = |tick: &Tick| tick_row(tick, &found.key, &badges, now);
    let older = ticks.last().filter(|_| has_older).map(|tick| {
        let at = tick.nominal_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let at: String = form_urlencoded::byte_serialize(at.as_bytes()).collect();
        format!("/schedules/{}?before={at}", found.key)
    });
    let policy = found.policy().unwrap_or_default();
    let page = SchedulePage {
        badge: words::badge(&view),
        pause: view.pause.as_ref().map(|pause| PauseNote::new(pause, now)),
        problem: view.problem.clone(),
        can_pause: view.pause.is_none() && view.enabled,
        when: When::of(&found),
        target: words::target(&found),
        reads: run::reads(found.kind, found.page, found.streams.as_deref()),
        next: view
            .next_local
            .as_ref()
            .zip(view.next_at)
            .map(|(local, at)| NextTick::at(local, at, now)),
        last: BatchLink::last_of(&view, now),
        success: (view.success.ended > 0).then(|| {
            format!(
                "{} of the last {}",
                count(view.success.succeeded.unsigned_abs()),
                count(view.success.ended.unsigned_abs())
            )
        }),
        unfinished: (view.unfinished_runs > 0)
            .then(|| counted(view.unfinished_runs.unsigned_abs(), "run")),
        facts: facts(&view),
        policies: policies(&policy, &view),
        created: Moment::new(view.created_at, now),
        changed: Moment::new(view.updated_at, now),
        rests: rests(&view),
        upcoming,
        zone: found.zone.clone(),
        ticks: ticks.iter().map(row).collect(),
        older,
        is_later_page: before.is_some(),
        batches: batches
            .iter()
            .take(BATCHES_SHOWN)
            .map(|batch| batch_row(batch, &found.key, now))
            .collect(),
        key: found.key,
        frame: visitor.frame(found.name.clone(), "schedules", now),
        name: found.name,
    };
    crate::pages::html(&page)
}

/// The next ticks, by the API's preview; none if the schedule cannot be scheduled, which is told elsewhere on the page.
async fn upcoming(
    visitor: &Visitor,
    state: &AppState,
    found: &Schedule,
    now: DateTime<Utc>,
) -> ApiResult<Vec<NextTick>> {
    let count = Params::parse(Some("count=10"));
    let path = Path(found.id.to_string());
    match api::preview::show_one(visitor.viewer(), State(state.clone()), path, count).await {
        Ok(preview) => Ok(NextTick::all(preview.0.ticks, now)),
        Err(ApiError::Conflict { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn rests(view: &ScheduleView) -> Option<&'static str> {
    if !view.enabled {
        Some("It is disabled: these would be due if it were enabled.")
    } else if view.pause.is_some() {
        Some("It is paused: these would be due if it were resumed.")
    } else if view.problem.is_some() {
        Some("It has a problem: these would be due if that were mended.")
    } else {
        None
    }
}

fn facts(view: &ScheduleView) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Priority", view.priority.to_string())];
    if let Some(limit) = view.time_limit_seconds {
        facts.push((
            "Time limit",
            format!("{} from a run's first start", seconds(limit.into())),
        ));
    }
    if view.inbound_trigger.set {
        let debounce = view.inbound_trigger.debounce_seconds;
        facts.push((
            "Inbound trigger",
            if debounce > 0 {
                format!(
                    "It has an address; calls within {} make one tick",
                    seconds(debounce.into())
                )
            } else {
                "It has an address; each call makes a tick".to_owned()
            },
        ));
    }
    facts
}

fn policies(policy: &Policy, view: &ScheduleView) -> Vec<(&'static str, String)> {
    let (title, consequence) = words::overlap(policy.overlap);
    let mut told = vec![(
        "If the last run is unfinished",
        format!("{title}. {consequence}"),
    )];
    let (title, consequence) = words::catch_up(policy.catch_up.mode);
    let mut text = format!("{title}. {consequence}");
    if policy.catch_up.mode == CatchUpMode::All {
        text += &format!(" At most {}.", policy.catch_up.cap);
    }
    if policy.catch_up.mode != CatchUpMode::Skip {
        text += &format!(
            " What is later than {} is missed.",
            seconds(policy.catch_up.window_seconds)
        );
    }
    told.push(("If Syncline was down", text));
    let failed = view.failures_in_a_row;
    let now = match failed {
        0 => String::new(),
        1 => " The last batch failed.".to_owned(),
        _ => format!(" The last {failed} failed."),
    };
    told.push((
        "If it fails",
        match policy.pause_after_failures {
            Some(1) => format!("It pauses itself as soon as a batch fails.{now}"),
            Some(most) => {
                format!("It pauses itself after {most} failed batches in a row.{now}")
            }
            None => format!("It goes on, however often it fails.{now}"),
        },
    ));
    if policy.jitter_seconds > 0 {
        let text = format!(
            "Each tick is due up to {} after its moment.",
            seconds(policy.jitter_seconds.into())
        );
        told.push(("Jitter", text));
    }
    if policy.spread_seconds > 0 {
        let text = format!(
            "The runs of a tick begin spread over {}.",
            seconds(policy.spread_seconds.into())
        );
        told.push(("Spread", text));
    }
    let instant = |at: DateTime<Utc>| at.format("%-d %b %Y %H:%M UTC").to_string();
    let bounds = match (policy.start_at, policy.end_at) {
        (Some(start), Some(end)) => {
            Some(format!("From {} until {}.", instant(start), instant(end)))
        }
        (Some(start), None) => Some(format!("From {}.", instant(start))),
        (None, Some(end)) => Some(format!("Until {}.", instant(end))),
        (None, None) => None,
    };
    told.extend(bounds.map(|bounds| ("In force", bounds)));
    if let Some(most) = policy.max_runs {
        let text = format!(
            "It ends after {} ticks that fired; so far {} have.",
            count(most.into()),
            count(view.fired.unsigned_abs())
        );
        told.push(("Ends", text));
    }
    told
}

/// A length of time in whole seconds.
fn seconds(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        _ if seconds % 86_400 == 0 => counted(seconds.unsigned_abs() / 86_400, "day"),
        _ if seconds % 3600 == 0 => counted(seconds.unsigned_abs() / 3600, "hour"),
        _ if seconds % 60 == 0 => counted(seconds.unsigned_abs() / 60, "minute"),
        _ => duration(seconds.saturating_mul(1000)),
    }
}

fn tick_row(
    tick: &Tick,
    key: &str,
    badges: &BTreeMap<BatchId, Badge>,
    now: DateTime<Utc>,
) -> TickRow {
    let has_fired = tick.outcome.has_fired();
    let late = (tick.decided_at - tick.last_nominal_at).num_milliseconds();
    TickRow {
        id: tick.nominal_at.timestamp_micros().to_string(),
        badge: tick.outcome.into(),
        at: Moment::new(tick.nominal_at, now),
        gap: (tick.moments > 1).then(|| {
            (
                Moment::new(tick.last_nominal_at, now),
                counted(tick.moments.unsigned_abs(), "moment"),
            )
        }),
        cause: match tick.cause {
            TickCause::Time => None,
            TickCause::After => Some("a batch that it follows ended"),
            TickCause::Trigger => Some("its inbound trigger was called"),
        },
        fired: has_fired.then(|| Moment::new(tick.decided_at, now)),
        late: (has_fired && late >= 1000).then(|| duration(late)),
        runs: tick
            .batch_id
            .map(|id| (runs_of(key, id.0), badges.get(&id).copied())),
        reason: tick.reason.clone(),
    }
}

fn badge_of(batch: &BatchView) -> Badge {
    batch_badge(batch.outcome.map_or("running", |outcome| outcome.as_str()))
}

fn batch_row(batch: &BatchView, key: &str, now: DateTime<Utc>) -> BatchRow {
    let runs = counted(batch.runs.unsigned_abs().into(), "run");
    let more = if batch.has_more { " so far" } else { "" };
    BatchRow {
        id: batch.id.to_string(),
        badge: badge_of(batch),
        address: runs_of(key, batch.id.0),
        at: Moment::new(batch.created_at, now),
        by: batch.requested_by.clone(),
        summary: batch
            .summary()
            .unwrap_or_else(|| format!("{runs}{more}, not all ended")),
        left_out: (!batch.left_out.0.is_empty()).then(|| {
            let number = counted(
                batch.left_out.0.len().try_into().unwrap_or(u64::MAX),
                "connection",
            );
            let first = batch
                .left_out
                .0
                .first()
                .map(|left| format!("{}: {}", left.connection, left.reason));
            format!("{number} left out; {}", first.unwrap_or_default())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_units_are_said_as_such() {
        for (given, said) in [
            (5, "5 s"),
            (60, "1 minute"),
            (90, "1m 30s"),
            (7200, "2 hours"),
            (31_536_000, "365 days"),
        ] {
            assert_eq!(seconds(given), said);
        }
    }
}
