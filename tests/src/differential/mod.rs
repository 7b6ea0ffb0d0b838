//! Scenarios that our engine and the reference (airbyte-cdk) read alike: a manifest, a config, and the answers of a server.
//!
//! A scenario is one file of `tests/differential/scenarios`. Each of its steps is a read of its own: by `syncline connector read`, or by the
//! reference's own command, from a server that gives the scenario's answers and writes every request down. What is compared is what a user
//! has in the end: the records of each stream, its last state, whether it was read to its end, and the requests that were sent.
//! What the reference did is committed in `tests/differential/goldens`, so that the everyday tests need no Python.

pub mod cdk;
pub mod ours;
pub mod outcome;
mod run;
pub mod scenario;
mod server;

pub use outcome::Outcome;
pub use scenario::{Scenario, all, folder, golden};
