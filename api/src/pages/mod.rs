//! The web page: one file and one template a page. Every page is whole by GET and works without script; a page that shows
//! something moving marks it, and `/assets/app.js` fetches the same address again and swaps what is marked.
//!
//! * Who may see a page is the handlers' ordinary extractor ([`crate::auth::Viewer`] and its kin); [`problem`] turns their
//!   refusals, and every other problem, into pages, and a missing session into the way to `/sign-in`.
//! * A form counts only with its token, bound to the session: [`form`].
//! * Times are the database's, shown in UTC; the script turns them into the viewer's zone.
//!
//! Rejected: a client-side application. The data is a few tables, and a page that is HTML needs no second router, no build
//! step and no script to be read.

mod assets;
mod badge;
mod budgets;
mod connections;
mod form;
mod format;
mod moment;
mod overview;
mod pauses;
mod problem;
mod run;
mod run_control;
mod run_now;
mod run_row;
mod runs;
mod schedules;
mod sign_in;
mod trouble;
mod visitor;

use self::schedules::{control, edit, one as schedule};
use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};

use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

pub(crate) use problem::show_problems;

/// The pages and what they are made of.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(overview::show))
        .route("/runs", get(runs::list))
        .route("/runs/{id}", get(run::show))
        .route("/runs/{id}/cancel", post(run_control::cancel))
        .route("/runs/{id}/retry", post(run_control::retry))
        .route("/schedules", get(schedules::list))
        // No key has this form, so it is in no schedule's way.
        .route("/schedules/-new", get(edit::show_new).post(edit::create))
        .route("/schedules/{id}", get(schedule::show))
        .route("/schedules/{id}/edit", get(edit::show).post(edit::save))
        .route("/schedules/{id}/run", post(control::run))
        .route(
            "/schedules/{id}/pause",
            get(control::ask_pause).post(control::pause),
        )
        .route("/schedules/{id}/resume", post(control::resume))
        .route(
            "/schedules/{id}/delete",
            get(control::ask_delete).post(control::delete),
        )
        .route("/budgets", get(budgets::list))
        .route("/budgets/resume", post(budgets::resume))
        .route("/connections", get(connections::list))
        .route("/connections/{key}/run", post(run_now::start))
        .route("/connections/{key}/pause", post(pauses::pause_connection))
        .route("/connections/{key}/resume", post(pauses::resume_connection))
        .route("/platforms/{name}/resume", post(pauses::resume_platform))
        .route("/resume", post(pauses::resume_everything))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .layer(map_response(problem::mark_page))
        .route("/assets/{name}", get(assets::show))
}

/// Answers a page. It is not kept by the browser: after signing out, Back shows nothing.
fn html(page: &impl Template) -> ApiResult<Response> {
    let text = page
        .render()
        .map_err(|error| ApiError::Internal(error.into()))?;
    let mut response = Html(text).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
