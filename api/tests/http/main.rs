//! The API over HTTP, against a real database: each test has one of its own.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

mod access;
mod apply;
mod contract;
mod resources;
mod runs;
mod serve;
mod support;
