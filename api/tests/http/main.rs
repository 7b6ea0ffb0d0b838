//! The API over HTTP, against a real database: each test has one of its own.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

mod access;
mod advice;
mod apply;
mod backfills;
mod batches;
mod budgets;
mod cancel;
mod contract;
mod draws;
mod facade;
mod idempotency;
mod pauses;
mod platforms;
mod resources;
mod retry;
mod runs;
mod schedules;
mod serve;
mod support;
mod ticks;
mod triggers;
mod work;
