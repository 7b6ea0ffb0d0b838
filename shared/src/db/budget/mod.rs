//! Permits of platforms' budgets, shared by all processes. What is counted, and why it holds: [`crate::budget`].
//!
//! - `take`: takes permits, and settles earlier ones.
//! - `define`: the windows that a budget has.
//! - `correct`: what a platform tells changes its budget for everyone.
//! - `circuit`: hosts that do not answer.
//! - `park`: runs that would only find a budget empty.
//! - `list`: budgets as people see them.
//! - `prune`: what is not drawn on any more is forgotten.
//! - `resume`: a person says that a budget may be used again.

mod circuit;
mod correct;
mod define;
mod list;
mod park;
mod prune;
mod resume;
mod take;

pub use circuit::{CircuitState, HostAnswered, list_circuits, note_failure, note_success};
pub use correct::{Change, Correction, correct_budget, list_changes};
pub use define::define_budget;
pub use list::{BudgetState, BudgetTotals, WindowState, list_budgets, total_budgets};
pub use park::{note_draws, park_runs};
pub use prune::prune_budgets;
pub use resume::{end_waits, resume_budget};
pub use take::{
    Ask, Asker, Charge, Cost, Drawn, Grant, Granted, Settled, settle_permits, take_permits,
};
