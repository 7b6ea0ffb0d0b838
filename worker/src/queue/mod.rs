//! From the database to a handler, and back.
//!
//! ```text
//!   claimer --> buffer --> apalis worker --> handler (attempt) --> outcome layer --> recorder
//!      ^        (places)   (slots)              ^                                      |
//!      |                                        | asks                                 |
//!      |                                     watcher                                   |
//!      +------------------- a place is free again <------------------------------------+
//! ```
//!
//! Claiming, recording outcomes, heartbeats and watching are tasks of their own: what apalis polls only pops a buffer, cannot
//! fail, and so can never end the worker. A database error is retried where it happens.

mod backend;
mod buffer;
mod claimer;
mod heartbeat;
mod held;
mod leases;
mod recorder;
mod runtime;
mod watcher;

pub(crate) use held::{Asked, Held};
pub(crate) use leases::Leases;
pub use recorder::AttemptEnd;
pub(crate) use recorder::stale;
pub(crate) use runtime::run;
pub use runtime::{Handler, QueueConfig};
