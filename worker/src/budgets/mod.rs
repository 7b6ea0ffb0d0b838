//! Permits for requests, from budgets that all processes share.
//!
//! A process takes a few permits at a time under a lease, a tenth of the shortest window at most, and uses them for whichever of its
//! attempts asks. What became of them is told with the next ones: when their requests left, or that none did. The bound that follows is
//! argued in [`syncline_shared::budget`].
//!
//! - `draw`: the budgets that one request draws on, what it costs each, and for whom it is sent.
//! - `stock`: permits in hand, and how many to ask for.
//! - `hand`: what a process holds for one kind of request, and who waits for it.
//! - `leave`: leave to send one request.
//! - `permits`: asks the database, one question a kind of request at a time, for all that wait.
//! - `settle`: what is to be told of permits that were used, or not.
//! - `feedback`: what a platform tells corrects its budget for everyone.
//! - `circuits`: hosts that do not answer.
//! - `changes`: hears of what others were told.
//! - `parking`: runs that would only find a budget empty.
//! - `keeper`: gives back what is not used.

mod changes;
mod circuits;
mod draw;
mod feedback;
mod hand;
mod keeper;
mod leave;
mod parking;
mod permits;
mod settle;
mod stock;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use changes::hear_of_changes;
pub(crate) use draw::{Draw, Overrides, Turn};
pub(crate) use keeper::keep;
pub(crate) use leave::{Answer, Leave};
pub(crate) use permits::Permits;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
