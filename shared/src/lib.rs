//! What the services have in common: the domain's words as types, configuration, clock, telemetry, lifecycle, and all
//! SQL of the control tables.
//!
//! `shared` knows nothing of HTTP, of manifests or of apalis, and the services know nothing of each other.

pub mod budget;
pub mod clock;
pub mod config;
pub mod db;
pub mod ids;
pub mod lifecycle;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod telemetry;
mod words;

/// The release, as processes report it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
