//! `/budgets`: what platforms allow, how much of it is used, and the hosts that fail.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use serde_json::json;
use syncline_shared::db;
use syncline_shared::db::budget::{self, BudgetState, CircuitState, WindowState};
use url::form_urlencoded;

use super::badge::{BUDGET_LOWERED, BUDGET_OPEN, BUDGET_PAUSED, BUDGET_USED_UP, Badge};
use super::form::SessionForm;
use super::format::{count, counted};
use super::moment::Moment;
use super::visitor::{Frame, Visitor};
use crate::auth::Operator;
use crate::error::ApiResult;
use crate::extract::{Body, Params};
use crate::handlers::budgets;
use crate::page::PageRequest;
use crate::state::AppState;

#[derive(Debug, Template)]
#[template(path = "budgets.html")]
struct BudgetsPage {
    frame: Frame,
    /// Only this platform is shown.
    only: Option<String>,
    /// Hosts that nothing is sent to, or one request at a time.
    circuits: Vec<CircuitLine>,
    budgets: Vec<BudgetLine>,
    /// The address of the next page.
    more: Option<String>,
    /// The address of the first page, if this is another one.
    first: Option<String>,
}

#[derive(Debug)]
struct CircuitLine {
    /// What fails, and how.
    sentence: String,
    /// Nothing is sent before; `None`: requests are sent one by one, to see.
    closed_until: Option<Moment>,
}

#[derive(Debug)]
struct BudgetLine {
    key: String,
    name: String,
    platform: String,
    scope: String,
    badge: Badge,
    /// Until when it is paused, and why.
    pause: Option<(Moment, String)>,
    windows: Vec<WindowLine>,
    /// Runs that wait for it.
    waiting: Option<String>,
    /// Refusals of the platform, and when the last of them was.
    limited: Option<(String, Option<Moment>)>,
    used: Moment,
    /// True if there is anything to forget or to end.
    can_resume: bool,
}

#[derive(Debug)]
struct WindowLine {
    words: String,
    /// How much of it is used, in whole percent, 100 at most.
    percent: i64,
    /// True if nothing is left.
    is_used_up: bool,
    /// When the first points come back, if nothing is left.
    refills: Option<Moment>,
}

/// A page of budgets in the order of their keys.
pub(super) async fn list(
    visitor: Visitor,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Response> {
    let only = params.text("platform");
    let page = PageRequest::read(&mut params);
    params.finish()?;
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = budget::list_budgets(&mut db, only.as_deref(), after, page.fetch()).await?;
    let circuits = budget::list_circuits(&mut db).await?;
    let shown = page.page(
        found,
        |budget| budget.key.clone(),
        |budget| line(budget, now),
    );
    let is_shown = |circuit: &CircuitState| {
        circuit.open_until.is_some() && only.as_ref().is_none_or(|only| *only == circuit.platform)
    };
    let open = circuits.into_iter().filter(is_shown);
    let page = BudgetsPage {
        frame: visitor.frame("Budgets", "budgets", now),
        circuits: open.map(|circuit| circuit_line(&circuit, now)).collect(),
        budgets: shown.data,
        more: shown
            .next_cursor
            .map(|cursor| address(only.as_deref(), Some(&cursor))),
        first: page.after.map(|_| address(only.as_deref(), None)),
        only,
    };
    super::html(&page)
}

/// Resumes a budget and shows all.
pub(super) async fn resume(
    caller: Operator,
    State(state): State<AppState>,
    SessionForm(form): SessionForm,
) -> ApiResult<Response> {
    let asked = Body(json!({"key": form.get("key")}));
    let _ = budgets::resume(caller, State(state), Params::parse(None), asked).await?;
    Ok(Redirect::to("/budgets").into_response())
}

fn address(platform: Option<&str>, cursor: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("platform", platform), ("cursor", cursor)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => "/budgets".to_owned(),
        query => format!("/budgets?{query}"),
    }
}

fn line(budget: BudgetState, now: DateTime<Utc>) -> BudgetLine {
    let moment = |at: DateTime<Utc>| Moment::new(at, now);
    let reason = budget.paused_because.unwrap_or_default();
    let pause = budget.paused_until.map(|until| (moment(until), reason));
    let badge = badge(pause.is_some(), &budget.windows);
    let has_outside = budget.windows.iter().any(|window| window.outside > 0);
    BudgetLine {
        can_resume: pause.is_some() || is_lowered(&budget.windows) || has_outside,
        badge,
        pause,
        windows: budget
            .windows
            .iter()
            .map(|window| window_line(window, now))
            .collect(),
        waiting: (budget.waiting_runs > 0)
            .then(|| counted(budget.waiting_runs.unsigned_abs(), "run")),
        limited: (budget.limited > 0).then(|| {
            let times = counted(budget.limited.unsigned_abs(), "time");
            (times, budget.limited_at.map(moment))
        }),
        used: moment(budget.updated_at),
        key: budget.key,
        name: budget.name,
        platform: budget.platform,
        scope: budget.scope,
    }
}

/// What holds requests back comes first.
fn badge(is_paused: bool, windows: &[WindowState]) -> Badge {
    match () {
        () if is_paused => BUDGET_PAUSED,
        () if windows.iter().any(is_used_up) => BUDGET_USED_UP,
        () if is_lowered(windows) => BUDGET_LOWERED,
        () => BUDGET_OPEN,
    }
}

fn is_used_up(window: &WindowState) -> bool {
    window.used >= window.allowed
}

fn is_lowered(windows: &[WindowState]) -> bool {
    windows
        .iter()
        .any(|window| window.allowed < window.points_limit)
}

fn window_line(window: &WindowState, now: DateTime<Utc>) -> WindowLine {
    let number = |of: i64| count(of.unsigned_abs());
    let mut words = format!(
        "{} of {} {}",
        number(window.used),
        number(window.allowed),
        span(window)
    );
    if window.allowed < window.points_limit {
        words += &format!(", lowered from {}", number(window.points_limit));
    }
    if window.outside > 0 {
        words += &format!(", {} by others", number(window.outside));
    }
    let is_used_up = is_used_up(window);
    WindowLine {
        words,
        percent: (window.used.saturating_mul(100) / window.allowed.max(1)).clamp(0, 100),
        is_used_up,
        refills: window
            .refills_at
            .filter(|_| is_used_up && window.per_ms > 0)
            .map(|at| Moment::new(at, now)),
    }
}

/// What a window counts, as the end of a sentence.
fn span(window: &WindowState) -> String {
    let zone = window.zone.as_deref().unwrap_or("UTC");
    match window.kind.as_str() {
        "concurrent" => "at once".to_owned(),
        "day" => format!("a day, {zone}"),
        "month" => format!("a month, {zone}"),
        "fixed" => format!("in {}", length(window.per_ms)),
        _ => format!("in any {}", length(window.per_ms)),
    }
}

/// The length of a window in its largest whole unit.
fn length(milliseconds: i64) -> String {
    match milliseconds {
        ms if ms % 3_600_000 == 0 => format!("{} h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}

fn circuit_line(circuit: &CircuitState, now: DateTime<Utc>) -> CircuitLine {
    let failures = counted(circuit.failures.unsigned_abs().into(), "failure");
    let closed_until = circuit
        .open_until
        .filter(|until| *until > now && !circuit.is_probing);
    CircuitLine {
        sentence: format!(
            "{} fails: {failures} in a row, the last of them: {}",
            circuit.key, circuit.because
        ),
        closed_until: closed_until.map(|until| Moment::new(until, now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kind: &str, per_ms: i64, used: i64, allowed: i64) -> WindowState {
        WindowState {
            kind: kind.to_owned(),
            per_ms,
            zone: None,
            points_limit: 1_000,
            allowed,
            used,
            outside: 0,
            refills_at: Some(DateTime::UNIX_EPOCH),
            empty_at: None,
        }
    }

    #[test]
    fn a_window_is_a_phrase_with_what_lowers_it() {
        let words = |window: WindowState| window_line(&window, DateTime::UNIX_EPOCH).words;
        assert_eq!(
            words(window("rolling", 1_000, 37, 1_000)),
            "37 of 1,000 in any 1 s"
        );
        assert_eq!(
            words(window("fixed", 900_000, 0, 1_000)),
            "0 of 1,000 in 15 min"
        );
        assert_eq!(
            words(window("concurrent", 0, 4, 1_000)),
            "4 of 1,000 at once"
        );
        let mut told = window("day", 86_400_000, 600, 500);
        told.zone = Some("Europe/Berlin".to_owned());
        told.outside = 20;
        assert_eq!(
            words(told),
            "600 of 500 a day, Europe/Berlin, lowered from 1,000, 20 by others"
        );
    }

    #[test]
    fn the_bar_ends_at_its_end_and_an_empty_window_tells_when_it_refills() {
        let shown = |window: WindowState| {
            let line = window_line(&window, DateTime::UNIX_EPOCH);
            (line.percent, line.is_used_up, line.refills.is_some())
        };
        assert_eq!(
            shown(window("rolling", 1_000, 375, 1_000)),
            (37, false, false)
        );
        assert_eq!(shown(window("rolling", 1_000, 600, 500)), (100, true, true));
        assert_eq!(
            shown(window("concurrent", 0, 1_000, 1_000)),
            (100, true, false)
        );
    }

    #[test]
    fn the_badge_says_what_holds_requests_back() {
        let free = window("rolling", 1_000, 0, 1_000);
        assert_eq!(badge(true, std::slice::from_ref(&free)), BUDGET_PAUSED);
        assert_eq!(badge(false, std::slice::from_ref(&free)), BUDGET_OPEN);
        assert_eq!(
            badge(false, &[free.clone(), window("day", 1, 500, 500)]),
            BUDGET_USED_UP
        );
        assert_eq!(
            badge(false, &[free, window("day", 1, 0, 500)]),
            BUDGET_LOWERED
        );
    }

    #[test]
    fn lengths_are_whole_units() {
        assert_eq!(
            [250, 1_000, 90_000, 900_000, 7_200_000].map(length),
            ["250 ms", "1 s", "90 s", "15 min", "2 h"]
        );
    }
}
