//! The queue's questions, asked of a real database.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod gate;
mod leases;
mod turns;
mod world;
