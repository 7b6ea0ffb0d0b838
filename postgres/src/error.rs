//! What can go wrong with the embedded server. Every message ends with what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// A failure to find, set up, start or stop the embedded Postgres.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No usable server binaries on this machine, and none could be downloaded.
    #[error(
        "no Postgres {wanted} found on this machine{rejected}, and the download failed ({download}); \
         install it (Debian: apt-get install postgresql), set SYNCLINE_POSTGRES_BIN to the folder that holds \
         `postgres` and `initdb`, or set DATABASE_URL to a server of your own"
    )]
    NoBinaries {
        /// The version that was looked for, such as "15 or newer".
        wanted: String,
        /// The folders that were looked at and the reason each was refused; empty or starts with " (".
        rejected: String,
        /// Why the download failed or was not tried.
        download: String,
    },

    /// `SYNCLINE_POSTGRES_BIN` names a folder that cannot be used.
    #[error(
        "SYNCLINE_POSTGRES_BIN={} cannot be used: {reason}; set it to a folder with the programs `postgres` \
         and `initdb` of version {wanted}, or unset it to let Syncline search",
        dir.display()
    )]
    BadBinFolder {
        /// The value of the variable.
        dir: PathBuf,
        /// Why the folder was refused.
        reason: String,
        /// The version that is needed.
        wanted: String,
    },

    /// The process is root, Postgres refuses root, and no other account can be used.
    #[error(
        "Postgres refuses to run as root and there is neither a user `postgres` nor a user `nobody` to run it \
         as; create one (useradd --system postgres) or run syncline as an ordinary user"
    )]
    NoAccount,

    /// The data folder exists, holds something, and the account of the server cannot enter it.
    #[error(
        "the data folder {} cannot be entered by the user `{account}`, which runs Postgres; give that user \
         access to it and to the folders above it, or move the folder away to begin with an empty database",
        folder.display()
    )]
    Unreachable {
        /// The data folder.
        folder: PathBuf,
        /// The account's name or number.
        account: String,
    },

    /// Something that is not a folder stands where the data folder should be.
    #[error("{} is not a folder; move it away, Syncline keeps its database there", .0.display())]
    NotAFolder(PathBuf),

    /// Another living process owns the folder.
    #[error(
        "the database in {} is in use by process {owner}; stop that process first, or run in another folder",
        folder.display()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// Process id of the owner, or "unknown".
        owner: String,
    },

    /// The password of the data folder is gone.
    #[error(
        "{} is missing although the database beside it exists; restore the file, or move the whole folder away \
         to begin with an empty database",
        .0.display()
    )]
    PasswordLost(PathBuf),

    /// `initdb` ended with an error.
    #[error(
        "initdb failed in {}: {output}; free the cause it names (often a full disk or missing rights) and start \
         again, nothing half done is left",
        folder.display()
    )]
    Initdb {
        /// Folder in which it worked.
        folder: PathBuf,
        /// The end of what it printed.
        output: String,
    },

    /// The server ended while it was starting.
    #[error("Postgres did not start ({why}); the end of its log {} says:\n{tail}", log.display())]
    Start {
        /// How it ended.
        why: String,
        /// Path of the log.
        log: PathBuf,
        /// The last lines of this start.
        tail: String,
    },

    /// The server does not answer.
    #[error("the Postgres server in {} does not answer a query: {reason}; see {}", folder.display(), log.display())]
    NoAnswer {
        /// The data folder.
        folder: PathBuf,
        /// The last error of the connection.
        reason: String,
        /// Path of the log.
        log: PathBuf,
    },

    /// The server would not end.
    #[error(
        "Postgres (process {pid}) still runs {waited_s} s after the request to stop ({mode}); end it by: kill -QUIT {pid}"
    )]
    StillRunning {
        /// The server's process id.
        pid: i32,
        /// How long it was waited for, in seconds.
        waited_s: u64,
        /// The mode of the last request.
        mode: &'static str,
    },

    /// A statement sent by this crate failed.
    #[error("could not {doing}: {source}; the server's log has the details")]
    Sql {
        /// What was being done.
        doing: String,
        /// The database's answer.
        source: sqlx::Error,
    },

    /// A file or process operation failed.
    #[error("could not {doing} {}: {source}; check the rights and the free space there", path.display())]
    Io {
        /// What was being done, a verb that fits before the path.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl EmbeddedError {
    /// For `map_err`: names the operation and the path beside the system's answer.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
