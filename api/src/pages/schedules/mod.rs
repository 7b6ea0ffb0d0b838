//! The pages of schedules: `/schedules`, those that need somebody first; a page each; the form that makes and changes one.
//!
//! What is done is done by the API's own functions. Nothing here knows what a schedule may say.

pub(super) mod control;
pub(super) mod edit;
mod form;
pub(super) mod one;
mod preview;
mod words;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use syncline_shared::db;
use syncline_shared::db::overview::{self, ScheduleTick};
use syncline_shared::db::schedule::{self, Schedule, Urgency};
use syncline_shared::ids::ScheduleId;
use syncline_shared::run::RunStatus;
use url::form_urlencoded;

use self::words::{PauseNote, When};
use super::badge::Badge;
use super::moment::Moment;
use super::visitor::{Frame, Visitor};
use crate::error::{ApiResult, FieldProblem};
use crate::extract::Params;
use crate::handlers::schedules::view::{ScheduleView, view_all};
use crate::page::PageRequest;
use crate::state::AppState;

#[derive(Debug, Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    frame: Frame,
    /// Only those with this text in their key or name.
    text: Option<String>,
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
    when: When,
    next: Option<Moment>,
    /// Its last batch.
    last: Option<BatchLink>,
    /// The latest tick, if it made no batch and none has been made since.
    passed: Option<TickLine>,
    badge: Badge,
    pause: Option<PauseNote>,
    can_pause: bool,
    problem: Option<String>,
}

/// A batch, and where its runs are.
#[derive(Debug)]
struct BatchLink {
    badge: Badge,
    address: String,
    /// When it ended, or was enqueued.
    at: Moment,
}

impl BatchLink {
    /// The last batch of a schedule, if it has had one.
    fn last_of(view: &ScheduleView, now: DateTime<Utc>) -> Option<Self> {
        let last = view.last_batch.as_ref()?;
        Some(Self {
            badge: batch_badge(last.status),
            address: runs_of(&view.key, last.id),
            at: Moment::new(last.ended_at.unwrap_or(last.created_at), now),
        })
    }
}

#[derive(Debug)]
struct TickLine {
    badge: Badge,
    at: Moment,
    reason: Option<String>,
}

/// A page of schedules.
pub(super) async fn list(
    visitor: Visitor,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Response> {
    let text = params.text("text");
    let page = PageRequest::read(&mut params);
    let after = page.after.as_deref().map(read_place);
    if let Some(None) = after {
        let detail = "the cursor is not one that this list gave out";
        params.refuse(FieldProblem::new("cursor", "cursor", detail));
    }
    params.finish()?;
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let place = after.flatten();
    let found =
        schedule::list_by_urgency(&mut db, text.as_deref(), place.as_ref(), page.fetch()).await?;
    let shown = page.page(found, place_of, |schedule| schedule);
    let ids: Vec<ScheduleId> = shown.data.iter().map(|schedule| schedule.id).collect();
    let ticks = overview::list_latest_ticks(&mut db, &ids, 1).await?;
    let views = view_all(&mut db, shown.data.clone()).await?;
    let both = shown.data.iter().zip(&views);
    let page = SchedulesPage {
        frame: visitor.frame("Schedules", "schedules", now),
        schedules: both
            .map(|(schedule, view)| line(schedule, view, &ticks, now))
            .collect(),
        more: shown.next_cursor.map(|cursor| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(text.iter().map(|text| ("text", text)));
            query.append_pair("cursor", &cursor);
            format!("/schedules?{}", query.finish())
        }),
        text,
        is_later_page: page.after.is_some(),
    };
    super::html(&page)
}

/// Where the page after this schedule begins, as a text.
fn place_of(schedule: &Schedule) -> String {
    let due = schedule.due_at.map(|at| at.to_rfc3339());
    format!(
        "{} {} {}",
        u8::from(schedule.needs_person()),
        due.as_deref().unwrap_or("never"),
        schedule.key
    )
}

fn read_place(text: &str) -> Option<Urgency> {
    let mut parts = text.splitn(3, ' ');
    Some(Urgency {
        needs_person: parts.next()? == "1",
        due_at: match parts.next()? {
            "never" => None,
            due => Some(DateTime::parse_from_rfc3339(due).ok()?.to_utc()),
        },
        key: parts.next()?.to_owned(),
    })
}

fn line(
    schedule: &Schedule,
    view: &ScheduleView,
    ticks: &[ScheduleTick],
    now: DateTime<Utc>,
) -> ScheduleLine {
    let latest = ticks.iter().find(|tick| tick.schedule_id == schedule.id);
    let last_at = view.last_batch.as_ref().map(|last| last.created_at);
    let passed = latest.filter(|tick| {
        !tick.outcome.has_fired() && last_at.is_none_or(|last| tick.nominal_at > last)
    });
    ScheduleLine {
        key: schedule.key.clone(),
        name: schedule.name.clone(),
        target: words::target(schedule),
        streams: schedule.streams.as_ref().map(|streams| streams.join(", ")),
        when: When::of(schedule),
        next: schedule.next_at.map(|at| Moment::new(at, now)),
        last: BatchLink::last_of(view, now),
        passed: passed.map(|tick| TickLine {
            badge: tick.outcome.into(),
            at: Moment::new(tick.nominal_at, now),
            reason: tick.reason.clone(),
        }),
        badge: words::badge(view),
        can_pause: view.pause.is_none() && view.enabled,
        pause: view.pause.as_ref().map(|pause| PauseNote::new(pause, now)),
        problem: view.problem.clone(),
    }
}

/// The status of a batch, which is `running` or as it ended.
fn batch_badge(status: &str) -> Badge {
    status.parse().unwrap_or(RunStatus::Running).into()
}

/// Where the runs of a batch are shown.
fn runs_of(schedule: &str, batch: uuid::Uuid) -> String {
    format!("/runs?schedule={schedule}&batch={batch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_list_is_read_as_it_was_written() {
        let place = read_place("1 2026-08-01T02:00:00.5+00:00 nightly").unwrap();
        assert!(place.needs_person && place.key == "nightly");
        assert_eq!(place.due_at.unwrap().timestamp_subsec_millis(), 500);
        assert!(read_place("0 never a").unwrap().due_at.is_none());
        for bad in ["", "0", "0 soon a", "0 never"] {
            assert!(read_place(bad).is_none(), "{bad:?}");
        }
    }
}
