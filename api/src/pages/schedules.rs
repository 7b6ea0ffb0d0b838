//! `/schedules`: what is synced when, and what became of the latest ticks.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use syncline_shared::db;
use syncline_shared::db::schedule::{self, Schedule, ScheduleFilter, ScheduleState};
use syncline_shared::ids::ScheduleId;
use syncline_shared::schedule::{TargetKind, TriggerKind};

use super::badge::{Badge, DISABLED, ENABLED, NEEDS_YOU, PAUSED};
use super::format::count;
use super::moment::Moment;
use super::visitor::{Frame, Visitor};
use crate::error::ApiResult;
use crate::extract::Params;
use crate::handlers::schedules::view::words_of;
use crate::page::PageRequest;
use crate::state::AppState;
use syncline_shared::db::overview::{self, ScheduleTick};

/// Ticks shown of each schedule.
const TICKS: i64 = 5;

#[derive(Debug, Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    frame: Frame,
    /// Only this one is shown.
    only: Option<String>,
    schedules: Vec<ScheduleLine>,
    /// The address of the next page.
    more: Option<String>,
    /// True if this is not the first page.
    is_later_page: bool,
}

#[derive(Debug)]
struct ScheduleLine {
    key: String,
    name: String,
    target: String,
    streams: Option<String>,
    /// When it is due: in words if they are certain, else the expression.
    when: String,
    when_is_expression: bool,
    /// The expression behind the words.
    expression: Option<String>,
    zone: Option<String>,
    next: Option<Moment>,
    badge: Badge,
    ticks: Vec<TickLine>,
}

#[derive(Debug)]
struct TickLine {
    badge: Badge,
    at: Moment,
    /// `4 moments`, of a gap.
    moments: Option<String>,
    reason: Option<String>,
}

/// A page of schedules in the order of their keys, or one of them.
pub(super) async fn list(
    visitor: Visitor,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Response> {
    let only = params.text("key");
    let page = PageRequest::read(&mut params);
    params.finish()?;
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let found = if let Some(key) = &only {
        Vec::from_iter(schedule::find(&mut db, key).await?)
    } else {
        let filter = ScheduleFilter {
            after_key: page.after.clone(),
            ..ScheduleFilter::default()
        };
        schedule::list(&mut db, &filter, page.fetch()).await?
    };
    let shown = page.page(found, |schedule| schedule.key.clone(), |schedule| schedule);
    let ids: Vec<ScheduleId> = shown.data.iter().map(|schedule| schedule.id).collect();
    let ticks = overview::list_latest_ticks(&mut db, &ids, TICKS).await?;
    let page = SchedulesPage {
        frame: visitor.frame("Schedules", "schedules", now),
        only,
        schedules: shown
            .data
            .iter()
            .map(|schedule| line(schedule, &ticks, now))
            .collect(),
        more: shown
            .next_cursor
            .map(|cursor| format!("/schedules?cursor={cursor}")),
        is_later_page: page.after.is_some(),
    };
    super::html(&page)
}

fn line(schedule: &Schedule, ticks: &[ScheduleTick], now: DateTime<Utc>) -> ScheduleLine {
    let words = match schedule.trigger {
        TriggerKind::After => Some(words_of(schedule)),
        _ => schedule.trigger().ok().and_then(|trigger| trigger.words()),
    };
    let expression = schedule.cron.clone();
    let own = ticks.iter().filter(|tick| tick.schedule_id == schedule.id);
    ScheduleLine {
        key: schedule.key.clone(),
        name: schedule.name.clone(),
        target: target(schedule),
        streams: schedule.streams.as_ref().map(|streams| streams.join(", ")),
        when_is_expression: words.is_none(),
        when: words
            .clone()
            .or_else(|| expression.clone())
            .unwrap_or_default(),
        expression: expression.filter(|_| words.is_some()),
        zone: schedule.cron.as_ref().map(|_| schedule.zone.clone()),
        next: schedule.next_at.map(|at| Moment::new(at, now)),
        badge: badge(schedule),
        ticks: own.map(|tick| tick_line(tick, now)).collect(),
    }
}

fn badge(schedule: &Schedule) -> Badge {
    match schedule.state(false) {
        ScheduleState::Paused if !schedule.enabled => DISABLED,
        ScheduleState::Paused => PAUSED,
        ScheduleState::Error => NEEDS_YOU,
        ScheduleState::Active | ScheduleState::Running => ENABLED,
    }
}

fn tick_line(tick: &ScheduleTick, now: DateTime<Utc>) -> TickLine {
    let moments =
        (tick.moments > 1).then(|| format!("{} moments", count(tick.moments.unsigned_abs())));
    TickLine {
        badge: tick.outcome.into(),
        at: Moment::new(tick.nominal_at, now),
        moments,
        reason: tick.reason.clone(),
    }
}

/// What a schedule syncs, in words.
fn target(schedule: &Schedule) -> String {
    let key = schedule.target_key.as_deref().unwrap_or("deleted");
    match schedule.target {
        TargetKind::Connection => format!("connection {key}"),
        TargetKind::Business => format!("all connections of {key}"),
        TargetKind::Platform => format!(
            "all connections on {}",
            schedule.platform.as_deref().unwrap_or_default()
        ),
        TargetKind::Everything => "all connections".to_owned(),
    }
}
