//! The web page over HTTP, against a real database: each test has one of its own.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

mod browser;
mod budgets;
mod control;
#[path = "../http/draws.rs"]
mod draws;
mod forms;
mod schedules;
mod sign_in;
#[expect(
    dead_code,
    reason = "shared with the tests of the API, which use the rest of it"
)]
#[path = "../http/support.rs"]
mod support;
mod views;
#[path = "../http/work.rs"]
mod work;
