//! The worker's queue with handlers that misbehave, on a real database: whatever an attempt does, it harms its own run at most.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod cost;
mod drain;
mod fleet;
mod misbehaviour;
mod slots;
#[expect(
    dead_code,
    reason = "shared with the tests of the queue's statements, which use the rest of it"
)]
#[path = "../../../shared/tests/queue/world.rs"]
mod world;
