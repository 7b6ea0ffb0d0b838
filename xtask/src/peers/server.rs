//! The server of all contestants: private, made anew for each run, with settings for load.

use std::time::Duration;

use super::conversation::Conversation;
use crate::database::test_postgres;

/// Making a cluster, or dropping a large database.
const PATIENCE: Duration = Duration::from_mins(5);

/// Durable as in production, and with room enough that no checkpoint falls into a measurement by the log's size.
const SETTINGS: [&str; 7] = [
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=1GB",
    "max_wal_size=16GB",
    "checkpoint_timeout=30min",
    "autovacuum=on",
    "log_min_duration_statement=-1",
];

/// Dropping the value stops the server and deletes its folder.
pub(super) struct Server(Conversation);

impl Server {
    pub(super) fn start() -> anyhow::Result<Self> {
        let arguments = [&["serve"][..], &SETTINGS].concat();
        Ok(Self(Conversation::start(test_postgres(&arguments))?))
    }

    /// The URL of a new, empty database. The one before it is dropped, with all that autovacuum would do there.
    pub(super) fn fresh_database(&mut self) -> anyhow::Result<String> {
        self.0.say("bench_peers")?;
        self.0.wait(PATIENCE)
    }

    /// Vacuums, analyses and writes out the database: what a backlog's insertion has left undone must not be done while it
    /// is worked off.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        self.0.say("")?;
        self.0.wait(PATIENCE)?;
        Ok(())
    }
}
