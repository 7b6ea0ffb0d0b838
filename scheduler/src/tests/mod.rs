//! Schedules on a real database whose clock is set by hand: hours and years pass in moments.

mod agenda;
mod batches;
mod dependents;
mod fan_out;
mod overlap;
mod ticks;
mod world;
