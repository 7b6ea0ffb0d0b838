//! The queue's statements keep their plans whatever the statistics say, and their cost whatever lies in front and behind.
//!
//! A plan that was made while nothing was running reads the whole table when thousands are; measured: 1.3 s instead of 15 ms. So the very
//! statements, as `.sqlx` has them, are explained under statistics that fit, and under such that do not. Cost is counted in buffers, which are
//! the same on every machine.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::print_stdout, reason = "figures for whoever reads on")]

mod buffers;
mod explain;
mod fill;
mod history;
mod session;
mod shape;
mod statements;
mod ticks;
