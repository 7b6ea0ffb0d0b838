//! Configuration, one struct a concern. Each is a set of command-line flags; each flag has a variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

/// Which database to use.
#[derive(Debug, Clone, Args)]
pub struct DatabaseConfig {
    /// Postgres 15 or later, for example <postgres://user:password@host/database>.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// Connections this process opens at most.
    #[arg(long, env = "SYNCLINE_DATABASE_CONNECTIONS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
    /// Whether a connection pooler stands before the database, and how it shares its connections.
    #[arg(long, env = "SYNCLINE_DATABASE_POOLER", default_value = "none")]
    pub database_pooler: Pooler,
    /// Postgres itself, where `DATABASE_URL` names a pooler: for migrations and for LISTEN. Without it, workers poll.
    #[arg(long, env = "SYNCLINE_DATABASE_DIRECT_URL", hide_env_values = true)]
    pub database_direct_url: Option<SecretString>,
}

/// What stands before the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Pooler {
    /// Nothing.
    #[default]
    None,
    /// A pooler that gives a connection to a client for the length of a transaction, or for longer.
    Transaction,
}

impl DatabaseConfig {
    /// A database that is spoken to directly.
    pub fn direct(url: impl Into<SecretString>, connections: u32) -> Self {
        Self {
            database_url: url.into(),
            database_connections: connections,
            database_pooler: Pooler::None,
            database_direct_url: None,
        }
    }
}

/// Where HTTP is served.
#[derive(Debug, Clone, Args)]
pub struct ListenConfig {
    /// Address and port of HTTP.
    #[arg(long, env = "SYNCLINE_LISTEN")]
    pub listen: Option<SocketAddr>,
}

/// The key of stored credentials.
#[derive(Debug, Clone, Args)]
pub struct SecretConfig {
    /// Encrypts stored credentials: at least 32 random characters, the same for all processes.
    #[arg(long, env = "SYNCLINE_SECRET_KEY", hide_env_values = true)]
    pub secret_key: SecretString,
}

/// Where the connectors' manifests are.
#[derive(Debug, Clone, Args)]
pub struct ConnectorsConfig {
    /// Folder of manifests, one `<platform>.yaml` each.
    #[arg(long, env = "SYNCLINE_CONNECTORS_DIR", default_value = "connectors")]
    pub connectors_dir: PathBuf,
}

/// What is logged, how, and where to.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Form of log lines.
    #[arg(long = "log", env = "SYNCLINE_LOG", default_value = "text")]
    pub format: LogFormat,
    /// File to append to, instead of standard error.
    #[arg(long = "log-file", env = "SYNCLINE_LOG_FILE")]
    pub file: Option<PathBuf>,
    /// Which events are logged, in the form of tracing's `EnvFilter`.
    #[arg(
        long = "log-filter",
        env = "SYNCLINE_LOG_FILTER",
        default_value = "info,sqlx=warn"
    )]
    pub filter: String,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How long a lease lasts without a heartbeat.
#[derive(Debug, Clone, Args)]
pub struct LeaseConfig {
    /// A process that has not been heard of for so long loses its runs. The same for all processes.
    #[arg(long, env = "SYNCLINE_LEASE_SECONDS", default_value_t = 24,
          value_parser = clap::value_parser!(u64).range(2..=600))]
    pub lease_seconds: u64,
}

impl LeaseConfig {
    /// Silence after which a process's runs are given to others.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    /// Time between heartbeats: six fit into a lease, so that a few may be lost.
    pub fn heartbeat_every(&self) -> Duration {
        self.lease() / 6
    }

    /// Time after the last heartbeat at which a worker that cannot renew stops sending requests, well before its runs are
    /// given away.
    pub fn trusted_for(&self) -> Duration {
        self.lease() * 2 / 3
    }
}
