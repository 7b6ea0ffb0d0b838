//! One binary for all integration tests: a file a subject.
//!
//! The program under test is looked for in `SYNCLINE_BIN`, else beside this binary: `cargo build --bin syncline` makes it,
//! `cargo xtask test` does so by itself. Tests named `proof_...` are ignored here and run by `cargo xtask proof`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests fail loudly, too, and a proof shows what it measured"
)]

mod api;
mod bad_input;
mod budget_circuits;
mod budget_feedback;
mod budget_neighbours;
mod budget_parking;
mod budget_storm;
mod budgets;
mod chaos;
mod connector;
mod control;
mod database_bad_day;
mod dev;
mod differential;
mod drain;
mod faults;
mod first_sync;
mod incremental;
mod jobs;
mod killed_worker;
mod limits;
mod page_tokens;
mod pooler;
mod proof_third_party;
mod rotating_tokens;
mod schedule_api;
mod scheduler;
mod upgrade;
