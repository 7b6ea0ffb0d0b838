//! The queue's questions, asked of a real database.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::print_stdout, reason = "the story of a failure")]

mod clock;
mod due;
mod expected;
mod fairness;
mod gate;
mod leases;
mod model;
mod pauses;
mod retention;
mod turns;
mod wakeups;
mod walk;
mod world;
