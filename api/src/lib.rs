//! HTTP: JSON under `/api/v1`, authentication, OpenAPI and its page; and the library behind `syncline apply`.
//!
//! [`run`] serves; [`router`] is the same without a socket, for tests. All endpoints are on one page, `routes.rs`. A noun is
//! one file of `handlers`; what handlers and `apply` accept is read and checked by `resources`, by the same rules.

pub mod apply;
pub mod auth;
mod config;
mod docs;
mod error;
mod extract;
mod facade;
mod handlers;
mod idempotency;
mod kept;
mod metrics;
mod observe;
mod page;
mod pages;
mod pausing;
mod repeat;
pub mod resources;
mod routes;
mod serve;
mod starting;
mod state;

pub use config::{ApiConfig, SessionConfig};
pub use error::{ApiError, FieldProblem, Problem};
pub use routes::{openapi, router};
pub use serve::run;
pub use state::AppState;
