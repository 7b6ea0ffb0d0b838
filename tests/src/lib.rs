//! The cluster under test: support for integration tests that boot the real program.
//!
//! A test sees the product only as a user does: the command line, HTTP, `syncline.runs` and `synced.*`; the platform side it
//! sees through the simulator's control endpoints. Processes are real, so that they can be killed, frozen and drained. A test
//! waits on facts ([`wait::until`]), never on time. What a test leaves behind fails it: a process that ended by itself, a
//! panic in a log, a secret in a log or an answer, a process that outlives its cluster.
//!
//! Everything here panics when it cannot do its part, with the logs of all processes: a test has no use for an error.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "support of tests fails loudly and shows the logs"
)]

pub mod account;
pub mod api_client;
pub mod arrivals;
pub mod canned;
pub mod chaos;
pub mod cluster;
pub mod database;
pub mod dev;
pub mod differential;
pub mod feed;
pub mod fleet;
pub mod http;
pub mod metered;
pub mod npm;
pub mod pooler;
pub mod process;
pub mod program;
pub mod proxy;
pub mod random;
pub mod secrets;
pub mod server;
pub mod simulator;
pub mod story;
pub mod wait;
pub mod wrong_clock;

pub use account::Account;
pub use api_client::ApiClient;
pub use canned::Canned;
pub use cluster::{Cluster, ClusterBuilder, Platform};
pub use dev::Dev;
pub use feed::Feed;
pub use fleet::Fleet;
pub use http::Answer;
pub use pooler::{Pooler, PoolerSettings};
pub use process::Process;
pub use proxy::Proxy;
pub use simulator::Simulator;
