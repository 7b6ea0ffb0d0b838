//! The endpoints of earlier schedulers, answered by this one, so that what was built on them goes on working. `docs/migration.md` says
//! what each stands for.
//!
//! Thin: each translates a request, and an answer, and does nothing that the endpoints proper cannot do. They are under
//! `/api/v1/scheduler`, `/api/v1/sync`, `/api/v1/products/sync` and `/api/v1/analytics/refresh`; the first two answer under the addresses
//! that they had as well, and ask for a token there, too.

mod aliases;
mod answer;
mod business;
mod control;
mod daily;
mod jobs;
mod monitoring;
mod products;
mod sync_schedules;
mod trigger;

pub(crate) use aliases::router as aliases;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::AppState;

/// The endpoints, with their description.
#[rustfmt::skip]
pub(crate) fn endpoints() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(trigger::trigger_sync))
        .routes(routes!(trigger::sync_now))
        .routes(routes!(trigger::sync_manual))
        .routes(routes!(control::start))
        .routes(routes!(control::stop))
        .routes(routes!(business::set, business::remove))
        .routes(routes!(daily::set))
        .routes(routes!(sync_schedules::list, sync_schedules::create))
        .routes(routes!(sync_schedules::update))
        .routes(routes!(sync_schedules::trigger))
        .routes(routes!(monitoring::jobs))
        .routes(routes!(monitoring::metrics))
        .routes(routes!(monitoring::system_status))
        .routes(routes!(products::sync))
        .routes(routes!(trigger::refresh_analytics, monitoring::analytics))
}
