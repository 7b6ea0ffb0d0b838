//! All of HTTP on one page: a line an endpoint. What an endpoint asks of its caller is its handler's extractor.

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::docs::{self, ApiDoc};
use crate::error::ApiError;
use crate::extract::MAX_BODY;
use crate::facade;
use crate::handlers::{
    auth, backfills, batches, budgets, businesses, cancel, circuits, connections, health, pauses,
    platforms, redrive, retry, runs, scheduler, schedules, stream_states, tokens,
};
use crate::observe::observe;
use crate::pages;
use crate::state::AppState;

/// The endpoints, with their description.
#[rustfmt::skip]
fn endpoints() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(runs::list, runs::create))
        .routes(routes!(redrive::create))
        .routes(routes!(runs::show))
        .routes(routes!(cancel::create))
        .routes(routes!(retry::create))
        .routes(routes!(businesses::list, businesses::create))
        .routes(routes!(businesses::show, businesses::update))
        .routes(routes!(connections::list, connections::create))
        .routes(routes!(connections::show))
        .routes(routes!(stream_states::list))
        .routes(routes!(stream_states::set, stream_states::delete))
        .routes(routes!(stream_states::resync))
        .routes(routes!(schedules::list, schedules::create, schedules::delete_all))
        .routes(routes!(schedules::preview::create))
        .routes(routes!(schedules::show, schedules::replace, schedules::patch, schedules::delete))
        .routes(routes!(schedules::control::pause))
        .routes(routes!(schedules::control::resume))
        .routes(routes!(schedules::control::trigger_now))
        .routes(routes!(schedules::preview::show_one))
        .routes(routes!(schedules::advice::show))
        .routes(routes!(schedules::advice::apply))
        .routes(routes!(schedules::ticks::list))
        .routes(routes!(schedules::ticks::show))
        .routes(routes!(schedules::inbound::create, schedules::inbound::delete))
        .routes(routes!(schedules::inbound::call))
        .routes(routes!(batches::list))
        .routes(routes!(batches::show))
        .routes(routes!(batches::cancel_one))
        .routes(routes!(backfills::list, backfills::create))
        .routes(routes!(backfills::show))
        .routes(routes!(backfills::cancel))
        .routes(routes!(platforms::list))
        .routes(routes!(platforms::show, platforms::set))
        .routes(routes!(pauses::list))
        .routes(routes!(pauses::pause_everything))
        .routes(routes!(pauses::resume_everything))
        .routes(routes!(pauses::pause_platform))
        .routes(routes!(pauses::resume_platform))
        .routes(routes!(pauses::pause_business))
        .routes(routes!(pauses::resume_business))
        .routes(routes!(pauses::pause_connection))
        .routes(routes!(pauses::resume_connection))
        .routes(routes!(budgets::list))
        .routes(routes!(budgets::resume))
        .routes(routes!(circuits::list))
        .routes(routes!(scheduler::status))
        .merge(facade::endpoints())
        .routes(routes!(auth::sign_in))
        .routes(routes!(auth::sign_out))
        .routes(routes!(auth::me))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::delete))
        .routes(routes!(docs::document))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// Everything that is served.
pub fn router(state: AppState) -> Router {
    let (api, _) = endpoints().split_for_parts();
    api.merge(facade::aliases())
        .merge(docs::page())
        .merge(pages::router())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), observe))
        .layer(middleware::from_fn(pages::show_problems))
        .with_state(state)
}

/// The description of all endpoints (OpenAPI 3.1).
pub fn openapi() -> OpenApi {
    let mut document = endpoints().into_openapi();
    docs::complete(&mut document);
    document
}

async fn nothing_here() -> ApiError {
    ApiError::NotFound("there is nothing at this address; see /docs".to_owned())
}

async fn wrong_method() -> ApiError {
    ApiError::MethodNotAllowed
}
