//! Advice on the timing of a schedule: given when asked for, followed when asked to.

use axum::Json;
use axum::extract::{Path, State};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::Value;
use syncline_engine::{BudgetPolicy, Catalog, WindowKind};
use syncline_shared::budget::Limits;
use syncline_shared::db::schedule::{Schedule, observe};
use syncline_shared::db::{self, DbConnection, connection, platform};
use syncline_shared::schedule::advice::{
    Advice, AdviceKind, FEWEST_RUNS, Observed, advise, distance,
};
use syncline_shared::schedule::parse_zone;
use utoipa::ToSchema;

use super::view::ScheduleView;
use super::{change_locked, find, lock};
use crate::auth::{Operator, Viewer};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Params;
use crate::idempotency::conclude;
use crate::resources::schedule::merge_schedule;
use crate::state::AppState;

const SECONDS_A_DAY: f64 = 86_400.0;

/// What a schedule's runs have been like, and what would suit them better.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleAdvice)]
pub(crate) struct AdviceView {
    /// What was looked at; null: the trigger has no even distance, so there is nothing to compare with.
    pub observed: Option<ObservedView>,
    /// Proposals. None is carried out by itself.
    pub advice: Vec<ProposalView>,
    /// The same in words, or why there is none.
    #[schema(
        example = "Every hour is more often than the data changes: of 168 runs 80 brought anything new. Every 2 hours saves about 40 % of its calls."
    )]
    pub words: String,
}

/// The finished runs that were looked at: those of the schedule's kind that its ticks have made in the last 30 days, 500 at the most.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ObservedRuns)]
pub(crate) struct ObservedView {
    /// How many.
    pub runs: i64,
    /// Those that inserted, updated or deleted anything.
    pub changed: i64,
    /// Their HTTP requests.
    pub calls: i64,
    /// Seconds that half of them took at most.
    pub median_seconds: f64,
    /// Seconds that 95 of 100 took at most.
    pub p95_seconds: f64,
    /// Those that were not finished when the next were due.
    pub overlapping: i64,
    /// Those that gave way to a limit of the platform.
    pub limited: i64,
    /// Seconds between two ticks.
    pub every_seconds: i64,
}

/// A proposal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleProposal)]
pub(crate) struct ProposalView {
    /// `less_often`, `more_time`, `more_often` or `spread`.
    #[schema(value_type = String, example = "less_often")]
    pub kind: AdviceKind,
    /// What was measured and what is proposed.
    pub words: String,
    /// The fields that would change; null: a person has to decide.
    #[schema(value_type = Option<Object>, example = json!({"every_seconds": 7200}))]
    pub patch: Option<Value>,
    /// Calls saved, in per cent.
    pub saves_percent: Option<i64>,
}

impl From<Advice> for ProposalView {
    fn from(advice: Advice) -> Self {
        Self {
            kind: advice.kind,
            words: advice.words,
            patch: advice.patch,
            saves_percent: advice.saves_percent,
        }
    }
}

/// What there is to say of a schedule.
struct Considered {
    observed: Option<(Observed, i64)>,
    advice: Vec<Advice>,
}

async fn consider(
    db: &mut DbConnection,
    catalog: &Catalog,
    schedule: &Schedule,
) -> ApiResult<Considered> {
    let nothing = Considered {
        observed: None,
        advice: Vec::new(),
    };
    let (Ok(trigger), Ok(policy)) = (schedule.trigger(), schedule.policy()) else {
        return Ok(nothing);
    };
    let now = db::now(db).await?;
    let Some(gap) = distance(&trigger, now) else {
        return Ok(nothing);
    };
    let observed = Observed {
        calls_a_day: calls_a_day(db, catalog, schedule).await?,
        ..observe(db, schedule.id, schedule.kind, gap).await?
    };
    let zone = parse_zone(&schedule.zone).unwrap_or(Tz::UTC);
    let advice = advise(&trigger, zone, policy.spread_seconds > 0, &observed, now);
    Ok(Considered {
        observed: Some((observed, gap)),
        advice,
    })
}

/// HTTP requests a day that the limits of its connection allow. `None`: it has several connections, or no limit is known.
async fn calls_a_day(
    db: &mut DbConnection,
    catalog: &Catalog,
    schedule: &Schedule,
) -> ApiResult<Option<f64>> {
    let Some(id) = schedule.connection_id else {
        return Ok(None);
    };
    let Some(found) = connection::find(db, &id.to_string()).await? else {
        return Ok(None);
    };
    let policies = catalog
        .find(&found.platform)
        .map_or(&[][..], |connector| connector.budgets());
    let of_connection = Limits::read(&found.limits);
    let (of_platform, _) =
        platform::find_budget_settings(db, &found.platform, found.business_id).await?;
    let own = [of_connection, Limits::read(&of_platform)];
    Ok(policies
        .iter()
        .flat_map(|policy| allowed(policy, &own))
        .reduce(f64::min))
}

/// What the windows of a policy allow in a day, or those of the first limits that are there in place of them.
fn allowed(policy: &BudgetPolicy, own: &[Limits]) -> Vec<f64> {
    let a_day = |limit: u32, seconds: f64| f64::from(limit) / seconds * SECONDS_A_DAY;
    if let Some(limit) = own.iter().find_map(|limits| limits.0.get(&policy.name)) {
        let windows = limit.windows().into_iter();
        return windows
            .filter_map(|window| {
                // Requests under way have no length.
                let length = window.kind.length()?;
                Some(a_day(window.limit, length.as_secs_f64()))
            })
            .collect();
    }
    let windows = policy.windows.iter();
    windows
        .filter_map(|window| {
            let limit = u32::try_from(window.limit).ok()?;
            let seconds = match &window.kind {
                WindowKind::Rolling(per) | WindowKind::Fixed(per) => per.as_secs_f64(),
                WindowKind::Day(_) => SECONDS_A_DAY,
                WindowKind::Month(_) => 31.0 * SECONDS_A_DAY,
                WindowKind::Concurrent => return None,
            };
            Some(a_day(limit, seconds))
        })
        .collect()
}

fn view(considered: Considered) -> AdviceView {
    let words = match (&considered.observed, considered.advice.as_slice()) {
        (None, _) => {
            "There is no even distance between its ticks to compare its runs with.".to_owned()
        }
        (Some((observed, _)), []) if observed.runs < FEWEST_RUNS => format!(
            "Too early to tell: {} of the {FEWEST_RUNS} finished runs that it takes.",
            observed.runs
        ),
        (Some((observed, _)), []) => format!(
            "Its timing suits its runs: of {} runs {} brought something new, and one in two took {:.1} s at most.",
            observed.runs, observed.changed, observed.median_seconds
        ),
        (_, advice) => {
            let all: Vec<_> = advice.iter().map(|one| one.words.as_str()).collect();
            all.join(" ")
        }
    };
    AdviceView {
        observed: considered.observed.map(|(observed, gap)| ObservedView {
            runs: observed.runs,
            changed: observed.changed,
            calls: observed.calls,
            median_seconds: observed.median_seconds,
            p95_seconds: observed.p95_seconds,
            overlapping: observed.overlapping,
            limited: observed.limited,
            every_seconds: gap,
        }),
        advice: considered.advice.into_iter().map(Into::into).collect(),
        words,
    }
}

/// Ask for advice on a schedule's timing
///
/// From how long its runs took, how many of them brought anything new, how many overlapped, and what the platform's limit leaves. Nothing
/// is changed.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}/advice", tag = "Schedules", operation_id = "getScheduleAdvice",
    params(("id" = String, Path, description = "Id or key", example = "acme-g2a-daily")),
    responses(
        (status = 200, description = "What its runs have been like, and what would suit them better", body = AdviceView),
        (status = 404, description = "There is no such schedule", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<Json<AdviceView>> {
    params.finish()?;
    let mut db = state.database.session().await?;
    let found = find(&mut db, &id).await?;
    let considered = consider(&mut db, &state.catalog, &found).await?;
    Ok(Json(view(considered)))
}

/// Follow a piece of advice
///
/// Changes the schedule as the advice says, if it still says so.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/advice/{kind}/apply", tag = "Schedules", operation_id = "applyScheduleAdvice",
    params(
        ("id" = String, Path, description = "Id or key", example = "acme-g2a-daily"),
        ("kind" = String, Path, description = "Which: less_often, more_time, more_often or spread", example = "less_often"),
    ),
    responses(
        (status = 200, description = "The schedule as it is now", body = ScheduleView),
        (status = 404, description = "There is no such schedule, or no such kind of advice", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "This is not advised, or no longer; or a person has to decide", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn apply(
    _: Operator,
    State(state): State<AppState>,
    Path((id, kind)): Path<(String, String)>,
    params: Params,
) -> ApiResult<Json<ScheduleView>> {
    params.finish()?;
    let kind: AdviceKind = kind
        .parse()
        .map_err(|problem| ApiError::NotFound(format!("there is no such advice: {problem}")))?;
    let mut db = state.database.begin().await?;
    let done = apply_locked(&state, &mut db, &id, kind).await;
    let view = conclude(db, done).await?;
    state.schedules_changed.wake();
    Ok(Json(view))
}

async fn apply_locked(
    state: &AppState,
    db: &mut DbConnection,
    id: &str,
    kind: AdviceKind,
) -> ApiResult<ScheduleView> {
    let stored = lock(db, id).await?;
    let considered = consider(db, &state.catalog, &stored).await?;
    let advised = considered.advice.iter().find(|one| one.kind == kind);
    let Some(advised) = advised else {
        let detail = format!(
            "{:?} is not advised for schedule {:?}: {}",
            kind.as_str(),
            stored.key,
            view(considered).words
        );
        return Err(ApiError::state("not-advised", detail));
    };
    let Some(patch) = advised.patch.clone() else {
        let detail = format!(
            "the trigger of schedule {:?} says more than a distance; change it by hand: {}",
            stored.key, advised.words
        );
        return Err(ApiError::state("by-hand", detail));
    };
    change_locked(state, db, &stored.key, |mut document| {
        merge_schedule(&mut document, &patch);
        document
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use syncline_engine::Connector;

    #[test]
    fn the_nearest_limits_say_what_a_day_allows() {
        let manifest = include_str!("../../../tests/http/shop.yaml");
        let shop = Connector::load("shop", manifest).unwrap();
        let a_day = |connection: Value, platform: Value| {
            let own = [connection, platform].map(|limits| Limits::read(&limits));
            allowed(&shop.budgets()[0], &own)
        };
        let none = || json!({});
        assert_eq!(a_day(none(), none()), [86_400.0]);
        let several = json!({"requests": {"windows": [
            {"limit": 10, "per_seconds": 0.5}, {"limit": 500, "per": "day"}, {"limit": 4, "at_once": true},
        ]}});
        assert_eq!(a_day(none(), several.clone()), [1_728_000.0, 500.0]);
        let one = json!({"requests": {"limit": 2, "per_seconds": 60}});
        assert_eq!(a_day(one, several), [2_880.0]);
        assert!(a_day(json!({"requests": {"windows": []}}), none()).is_empty());
    }
}
