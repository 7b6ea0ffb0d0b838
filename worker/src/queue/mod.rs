//! From the database to a handler, and back.
//!
//! ```text
//!   claimer --> buffer --> apalis worker --> handler (attempt) --> outcome layer --> recorder
//!      ^        (places)   (slots)                                                     |
//!      +------------------- a place is free again <------------------------------------+
//! ```
//!
//! Claiming, recording outcomes and heartbeats are tasks of their own: what apalis polls only pops a buffer, cannot fail, and
//! so can never end the worker. A database error is retried where it happens.

mod backend;
mod buffer;
mod claimer;
mod heartbeat;
mod leases;
mod recorder;
mod runtime;

pub(crate) use leases::{Held, Leases};
pub(crate) use recorder::AttemptEnd;
pub(crate) use runtime::run;
