//! What a caller may choose about its embedded server.

use std::path::PathBuf;
use std::time::Duration;

/// Where the server keeps its data and how it runs.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The folder of the database, such as `.syncline/postgres`. Created when missing. It becomes a link when
    /// the account that runs Postgres could not enter it (root, with a clone below `/root`).
    pub data_dir: PathBuf,
    /// Server settings, passed on the command line and so above `postgresql.conf` and `ALTER SYSTEM`.
    pub settings: Vec<(String, String)>,
    /// TCP port on 127.0.0.1. `None` takes the port of the last start when it is free, else any free one.
    pub port: Option<u16>,
    /// Holds the real data folders when `data_dir` is out of the server account's reach.
    pub reachable_dir: PathBuf,
    /// May the server be downloaded when none is installed?
    pub download: bool,
    /// Longest wait for the server to answer, crash recovery included.
    pub start_timeout: Duration,
    /// Longest wait for a stop; a fast stop is then repeated as an immediate one.
    pub stop_timeout: Duration,
}

impl EmbeddedConfig {
    /// The defaults for one developer's machine: modest memory, durable. `/var/lib/syncline` is the fallback
    /// folder because it outlives a reboot, unlike the folder for temporary files, and only root needs it.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let settings = [
            ("shared_buffers", "128MB"),
            ("max_connections", "150"),
            ("max_wal_size", "1GB"),
            // Vacuum keeps up with hot queue tables when it looks more often than once a minute.
            ("autovacuum_naptime", "10s"),
            // A client that vanished without a word is noticed within half a minute.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ];
        Self {
            data_dir: data_dir.into(),
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            port: None,
            reachable_dir: PathBuf::from("/var/lib/syncline"),
            download: true,
            start_timeout: Duration::from_mins(2),
            stop_timeout: Duration::from_mins(1),
        }
    }

    /// Sets one server setting, in place of an earlier value of the same name.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}
