//! What a trigger will do: its next ticks, with local times and a word where the clocks change.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use syncline_shared::db;
use syncline_shared::ids::ScheduleId;
use syncline_shared::schedule::{Fire, Plan, Policy, Trigger, parse_zone};
use utoipa::ToSchema;

use super::view::words_of;
use crate::auth::Viewer;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Params};
use crate::resources::schedule::{PolicyView, WhenInput};
use crate::resources::{Fields, Notes, accept};
use crate::state::AppState;

/// Ticks of a preview at most, and if no number is given.
const MAX_PREVIEW: u32 = 100;
const DEFAULT_PREVIEW: u32 = 5;

/// What a trigger would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// The trigger in words.
    #[schema(example = "Every day at 02:00, Europe/Berlin")]
    pub words: String,
    /// The next ticks.
    pub ticks: Vec<PreviewTick>,
}

/// A tick to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewTick {
    /// Its moment, in UTC.
    pub at: DateTime<Utc>,
    /// The same on the zone's clock.
    #[schema(example = "2026-08-01T02:00:00+02:00")]
    pub local: String,
    /// When it is due: its moment with jitter. Null where a trigger that is not saved has jitter, which depends on the schedule's id.
    pub due_at: Option<DateTime<Utc>>,
    /// What the clocks do there, if they change.
    #[schema(example = "the clocks go back: 02:30 comes twice, and it runs the first time")]
    pub note: Option<String>,
}

/// A trigger to be previewed, with the policies that decide about its moments.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewInput {
    /// When it is due.
    #[serde(flatten)]
    pub when: WhenInput,
    /// Its policies.
    #[serde(flatten)]
    pub policy: PolicyView,
    /// How many ticks: 1 to 100, 5 if it is left out.
    #[schema(required = false, minimum = 1, maximum = 100, default = 5)]
    pub count: i64,
}

/// Preview a trigger
///
/// The next ticks of a trigger, without saving anything.
#[utoipa::path(
    post, path = "/api/v1/schedules/preview", tag = "Schedules", operation_id = "previewSchedule",
    request_body = PreviewInput,
    responses(
        (status = 200, description = "The next ticks", body = Preview),
        (status = 422, description = "Fields that cannot be accepted, all of them", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    _: Viewer,
    State(state): State<AppState>,
    Body(body): Body,
) -> ApiResult<Json<Preview>> {
    let mut notes = Notes::default();
    let mut read = None;
    if let Some(mut fields) = Fields::of(&body, "", &mut notes) {
        let when = WhenInput::read(&mut fields, &mut notes);
        let policy = PolicyView::read(&mut fields, &mut notes);
        let count = fields
            .integer("count", 1, MAX_PREVIEW.into(), &mut notes)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(DEFAULT_PREVIEW);
        fields.finish(&mut notes);
        read = Some((when, Policy::from(policy), count));
    }
    accept(notes)?;
    let Some((when, policy, count)) = read else {
        return Err(ApiError::Invalid(Vec::new()));
    };
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let anchor = when.anchor_at(now).unwrap_or(now);
    let internal =
        |error: syncline_shared::schedule::TriggerError| ApiError::Internal(error.into());
    let trigger = when.trigger(anchor).map_err(internal)?;
    let zone = parse_zone(&when.zone).map_err(internal)?;
    let plan = Plan {
        schedule: ScheduleId(uuid::Uuid::nil()),
        trigger: &trigger,
        policy: &policy,
    };
    let words = match &when.after {
        Some(after) => format!(
            "After each batch of {} that has {}",
            after.schedule, after.when
        ),
        None => trigger.describe(),
    };
    let fires = plan.preview(now, count, 0);
    let knows_due = policy.jitter_seconds == 0;
    Ok(Json(Preview {
        words,
        ticks: show(&fires, &trigger, zone, now, knows_due),
    }))
}

/// Preview a schedule
///
/// Its next ticks, as they fire if nothing is in their way. A schedule that is disabled or paused shows what it would do.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}/preview", tag = "Schedules", operation_id = "previewOfSchedule",
    params(
        ("id" = String, Path, description = "Id or key", example = "acme-g2a-daily"),
        ("count" = Option<u32>, Query, minimum = 1, maximum = 100, description = "How many ticks; 5"),
    ),
    responses(
        (status = 200, description = "The next ticks", body = Preview),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It cannot be scheduled; the reason is told", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_one(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
    mut params: Params,
) -> ApiResult<Json<Preview>> {
    let count = params
        .integer("count", 1, MAX_PREVIEW as usize)
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(DEFAULT_PREVIEW);
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = super::find(&mut db, &id).await?;
    let unreadable = |error: syncline_shared::schedule::TriggerError| {
        ApiError::state("unreadable", error.to_string())
    };
    let trigger = found.trigger().map_err(unreadable)?;
    let policy = found.policy().map_err(unreadable)?;
    let zone = parse_zone(&found.zone).map_err(unreadable)?;
    let plan = Plan {
        schedule: found.id,
        trigger: &trigger,
        policy: &policy,
    };
    // What is due already, but not decided, comes first.
    let now = db::now(&mut db).await?;
    let after = found
        .next_at
        .map_or(now, |next| now.min(next - TimeDelta::microseconds(1)));
    let fires = plan.preview(after, count, found.fired.unsigned_abs());
    Ok(Json(Preview {
        words: words_of(&found),
        ticks: show(&fires, &trigger, zone, after, true),
    }))
}

fn show(
    fires: &[Fire],
    trigger: &Trigger,
    zone: Tz,
    after: DateTime<Utc>,
    knows_due: bool,
) -> Vec<PreviewTick> {
    let mut before = after;
    let is_local = matches!(trigger, Trigger::Cron(_));
    fires
        .iter()
        .map(|fire| {
            let at = fire.nominal;
            let note = is_local.then(|| clock_note(zone, before, at)).flatten();
            before = at;
            PreviewTick {
                at,
                local: at.with_timezone(&zone).to_rfc3339(),
                due_at: knows_due.then_some(fire.due_at),
                note,
            }
        })
        .collect()
}

/// What the clocks do at a moment, or did since the one before it.
fn clock_note(zone: Tz, before: DateTime<Utc>, at: DateTime<Utc>) -> Option<String> {
    let local = at.with_timezone(&zone);
    let instant_before = (at - TimeDelta::seconds(1)).with_timezone(&zone);
    let gained = seconds_east(&local) - seconds_east(&instant_before);
    if gained > 0 {
        let from = local.naive_local() - TimeDelta::seconds(gained);
        return Some(format!(
            "the clocks go forward: {} to {} does not exist, and what falls into it runs now",
            clock(from),
            clock(local.naive_local())
        ));
    }
    if let MappedLocalTime::Ambiguous(first, _) = zone.from_local_datetime(&local.naive_local()) {
        let time = clock(local.naive_local());
        return Some(if first.to_utc() == at {
            format!("the clocks go back: {time} comes twice, and this is the first time")
        } else {
            format!("the clocks go back: {time} comes twice, and this is the second time")
        });
    }
    let earlier = before.with_timezone(&zone);
    let (old, new) = (seconds_east(&earlier), seconds_east(&local));
    (old != new).then(|| {
        let way = if new > old { "forward" } else { "back" };
        format!(
            "the clocks went {way} since the tick before, from {} to {}",
            earlier.offset().fix(),
            local.offset().fix()
        )
    })
}

fn seconds_east(local: &DateTime<Tz>) -> i64 {
    local.offset().fix().local_minus_utc().into()
}

fn clock(local: NaiveDateTime) -> String {
    local.format("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(cron: &str, zone: &str, after: &str, count: u32) -> Vec<(String, Option<String>)> {
        let trigger = Trigger::cron(cron, zone).expect("a trigger");
        let policy = Policy::default();
        let plan = Plan {
            schedule: ScheduleId(uuid::Uuid::nil()),
            trigger: &trigger,
            policy: &policy,
        };
        let after = after.parse().expect("an instant");
        let fires = plan.preview(after, count, 0);
        show(&fires, &trigger, zone.parse().expect("a zone"), after, true)
            .into_iter()
            .map(|tick| (tick.local, tick.note))
            .collect()
    }

    #[test]
    fn a_time_that_does_not_exist_is_told() {
        let found = notes("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
        assert_eq!(
            found[1],
            (
                "2026-03-29T03:00:00+02:00".to_owned(),
                Some("the clocks go forward: 02:00 to 03:00 does not exist, and what falls into it runs now".to_owned())
            )
        );
        assert_eq!((found[0].1.as_deref(), found[2].1.as_deref()), (None, None));
    }

    #[test]
    fn a_time_that_comes_twice_is_told() {
        let found = notes("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(
            found[0],
            (
                "2026-10-25T02:30:00+02:00".to_owned(),
                Some(
                    "the clocks go back: 02:30 comes twice, and this is the first time".to_owned()
                )
            )
        );
        assert!(found[1].0.starts_with("2026-10-26T02:30:00"), "{found:?}");
    }

    #[test]
    fn a_change_between_two_ticks_is_told_once() {
        let found = notes("0 12 * * *", "America/New_York", "2026-10-31T00:00:00Z", 3);
        assert_eq!(found[0].1, None);
        assert_eq!(
            found[1].1.as_deref(),
            Some("the clocks went back since the tick before, from -04:00 to -05:00")
        );
        assert_eq!(found[2].1, None);
    }
}
