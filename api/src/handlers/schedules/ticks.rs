//! What became of a schedule's due moments, and of one of them: did the 03:00 run happen?

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, SecondsFormat, SubsecRound, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use syncline_shared::db;
use syncline_shared::db::batch::{self, BatchView};
use syncline_shared::db::schedule::Schedule;
use syncline_shared::db::tick::{self, Tick, TickFilter};
use syncline_shared::schedule::{Plan, TickOutcome, parse_zone};
use utoipa::ToSchema;

use super::view::TickView;
use crate::auth::Viewer;
use crate::error::{ApiError, ApiResult, FieldProblem, Problem};
use crate::extract::Params;
use crate::handlers::batches::{BatchSummary, summarize};
use crate::page::{Page, PageRequest};
use crate::state::AppState;

/// What became of an instant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TickAnswer {
    /// The instant that was asked for.
    pub at: DateTime<Utc>,
    /// The same on the schedule's clock.
    #[schema(example = "2026-08-01T03:00:00+02:00")]
    pub local: String,
    /// True if a run happened, or is under way.
    pub happened: bool,
    /// The answer in words.
    #[schema(example = "It fired 0.2 s after its time; its batch ended as succeeded.")]
    pub answer: String,
    /// True if the schedule, as it is now, names this instant.
    pub is_moment: bool,
    /// The moment before it, by the schedule as it is now.
    pub moment_before: Option<DateTime<Utc>>,
    /// The moment after it, by the schedule as it is now.
    pub moment_after: Option<DateTime<Utc>>,
    /// The row that tells of the instant: its own, or the gap that it lies in.
    pub tick: Option<TickView>,
    /// The batch of runs that the tick made.
    pub batch: Option<BatchSummary>,
}

/// List the ticks of a schedule
///
/// Newest first: one entry a due moment, or a gap of moments that were passed over together, with what became of it.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}/ticks", tag = "Schedules", operation_id = "listTicks",
    params(
        ("id" = String, Path, description = "Id or key", example = "acme-g2a-daily"),
        ("from" = Option<DateTime<Utc>>, Query, description = "Only moments at this instant or later; a gap that reaches into it is shown whole"),
        ("before" = Option<DateTime<Utc>>, Query, description = "Only moments before this instant"),
        ("outcome" = Option<String>, Query, description = "Only `fired`, `late`, `coalesced`, `skipped` or `missed`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of ticks", body = Page<TickView>),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such schedule", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
    mut params: Params,
) -> ApiResult<Json<Page<TickView>>> {
    let mut filter = TickFilter {
        from: params.instant("from"),
        before: params.instant("before"),
        outcome: None,
    };
    if let Some(words) = params.words::<TickOutcome>("outcome") {
        match words.as_slice() {
            [] => {}
            [only] => filter.outcome = Some(*only),
            _ => {
                let detail = "name one outcome, or leave it out for all";
                params.refuse(FieldProblem::new("outcome", "several", detail));
            }
        }
    }
    let page = PageRequest::read(&mut params);
    if let Some(after) = &page.after {
        match DateTime::parse_from_rfc3339(after) {
            Ok(position) => {
                let position = position.to_utc();
                filter.before = Some(
                    filter
                        .before
                        .map_or(position, |before| before.min(position)),
                );
            }
            Err(_) => params.refuse(FieldProblem::new(
                "cursor",
                "cursor",
                "the cursor is not one that this list gave out",
            )),
        }
    }
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = super::find(&mut db, &id).await?;
    let ticks = tick::list(&mut db, found.id, &filter, page.fetch()).await?;
    let position = |tick: &Tick| tick.nominal_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    Ok(Json(page.page(ticks, position, TickView::from)))
}

/// Ask what became of one moment
///
/// "Did the 03:00 run happen?" Answers in words, and with the row that tells of the instant: its own, or the gap that it lies in.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}/ticks/{instant}", tag = "Schedules", operation_id = "getTick",
    params(
        ("id" = String, Path, description = "Id or key", example = "acme-g2a-daily"),
        ("instant" = String, Path, description = "RFC 3339, or without an offset: on the schedule's own clock", example = "2026-08-01T03:00"),
    ),
    responses(
        (status = 200, description = "What became of it", body = TickAnswer),
        (status = 400, description = "That is no instant", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such schedule", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path((id, instant)): Path<(String, String)>,
    params: Params,
) -> ApiResult<Json<TickAnswer>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = super::find(&mut db, &id).await?;
    let zone = parse_zone(&found.zone).unwrap_or(Tz::UTC);
    let at = read_instant(&instant, zone)?;
    let now = db::now(&mut db).await?;
    let covering = tick::find_covering(&mut db, found.id, at).await?;
    let batch = match covering.as_ref().and_then(|tick| tick.batch_id) {
        Some(batch) => batch::find(&mut db, batch).await?,
        None => None,
    };
    let surroundings = Surroundings::of(&found, at);
    let answer = match &covering {
        Some(tick) => tell(tick, batch.as_ref()),
        None => explain(&found, &surroundings, at, now),
    };
    Ok(Json(TickAnswer {
        at,
        local: at.with_timezone(&zone).to_rfc3339(),
        happened: covering
            .as_ref()
            .is_some_and(|tick| tick.batch_id.is_some()),
        answer,
        is_moment: surroundings.is_moment,
        moment_before: surroundings.before,
        moment_after: surroundings.after,
        tick: covering.map(TickView::from),
        batch: batch.map(summarize),
    }))
}

/// An instant, or a time on the zone's clock. Of one that comes twice, the first is meant.
pub(crate) fn read_instant(text: &str, zone: Tz) -> ApiResult<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.to_utc().trunc_subsecs(6));
    }
    let forms = [
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%d %H:%M:%S",
    ];
    let local = forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .ok_or_else(|| {
            ApiError::BadRequest(format!(
                "{text:?} is no instant; write 2026-08-01T03:00:00Z, or 2026-08-01T03:00 for a time on the schedule's own clock"
            ))
        })?;
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => Ok(at.to_utc()),
        MappedLocalTime::None => Err(ApiError::BadRequest(format!(
            "{local} does not exist in {zone}: the clocks go forward; what was due then runs at the first instant after the change"
        ))),
    }
}

/// The moments around an instant, by the schedule as it is now.
struct Surroundings {
    is_moment: bool,
    before: Option<DateTime<Utc>>,
    after: Option<DateTime<Utc>>,
}

impl Surroundings {
    fn of(schedule: &Schedule, at: DateTime<Utc>) -> Self {
        let (Ok(trigger), Ok(policy)) = (schedule.trigger(), schedule.policy()) else {
            return Self {
                is_moment: false,
                before: None,
                after: None,
            };
        };
        let plan = Plan {
            schedule: schedule.id,
            trigger: &trigger,
            policy: &policy,
        };
        let starts = policy.start_at;
        Self {
            is_moment: plan.moment_from(at) == Some(at),
            before: policy
                .end_at
                .filter(|end| *end < at)
                .map_or_else(
                    || trigger.last_before(at),
                    |end| trigger.last_at_or_before(end),
                )
                .filter(|moment| starts.is_none_or(|start| *moment >= start)),
            after: trigger
                .next_after(at)
                .and_then(|next| plan.moment_from(next)),
        }
    }
}

/// What became of a tick, in words.
fn tell(tick: &Tick, batch: Option<&BatchView>) -> String {
    let late = (tick.decided_at - tick.nominal_at)
        .as_seconds_f64()
        .max(0.0);
    let reason = tick.reason.as_deref().unwrap_or("no reason was noted");
    let batch = match batch.map(|batch| batch.outcome) {
        Some(Some(outcome)) => format!("its batch ended as {outcome}"),
        Some(None) => "its batch is under way".to_owned(),
        None => "its batch has been removed since".to_owned(),
    };
    match tick.outcome {
        TickOutcome::Fired => format!("Yes: it fired {late:.1} s after its time; {batch}."),
        TickOutcome::Late => {
            format!("Yes, but late: it fired {late:.0} s after its time; {batch}.")
        }
        TickOutcome::Coalesced => format!("Not by itself: {reason}."),
        TickOutcome::Skipped => format!("No: it was skipped; {reason}."),
        TickOutcome::Missed => format!("No: it was missed; {reason}."),
    }
}

/// Why no row tells of an instant, as far as that is known.
fn explain(
    schedule: &Schedule,
    around: &Surroundings,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> String {
    let moment = |at: Option<DateTime<Utc>>| {
        at.map_or_else(
            || "none".to_owned(),
            |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        )
    };
    if !around.is_moment {
        return format!(
            "No: the schedule, as it is now, is not due then. The moment before is {}, the one after is {}.",
            moment(around.before),
            moment(around.after)
        );
    }
    if at < schedule.created_at {
        return "No: the schedule was created later.".to_owned();
    }
    if !schedule.enabled {
        return "No: the schedule is disabled.".to_owned();
    }
    if let (Some(since), Some(by)) = (schedule.paused_at, &schedule.paused_by)
        && (at >= since || at > now)
    {
        let note = schedule.pause_note.as_deref();
        let note = note.map_or_else(String::new, |note| format!(": {note}"));
        return format!(
            "No: the schedule is paused by {by} since {}{note}.",
            moment(Some(since))
        );
    }
    if let Some(problem) = &schedule.problem {
        return format!("No: the schedule cannot be scheduled; {problem}.");
    }
    if schedule.next_at.is_none_or(|next| at < next) {
        return "No: there is no tick of that moment. The schedule was paused, disabled or another one at that time, or has ended."
            .to_owned();
    }
    if at > now {
        return "Not yet: it is due then.".to_owned();
    }
    "Not yet: it is due, and no scheduler has decided it.".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_an_offset_are_on_the_schedules_clock() {
        let zone: Tz = "Europe/Berlin".parse().expect("a zone");
        let read = |text: &str| read_instant(text, zone).map(|at| at.to_rfc3339()).ok();
        let three = Some("2026-08-01T01:00:00+00:00".to_owned());
        for text in [
            "2026-08-01T03:00",
            "2026-08-01 03:00:00",
            "2026-08-01T03:00:00+02:00",
        ] {
            assert_eq!(read(text), three, "{text}");
        }
        // The first of two.
        assert_eq!(
            read("2026-10-25T02:30"),
            Some("2026-10-25T00:30:00+00:00".to_owned())
        );
        for bad in ["2026-03-29T02:30", "yesterday", "2026-13-01T00:00"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
