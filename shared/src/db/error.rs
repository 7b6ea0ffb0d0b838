//! The one error of this module: what the database answered, and whether it is worth asking again.

/// What a question to the database can end with, besides an answer.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The write came under a lease that is no longer held, and did nothing.
    #[error("the lease is no longer held: the run was given to another attempt")]
    Stale,
    /// Anything else.
    #[error("database: {0}")]
    Sqlx(#[from] sqlx::Error),
}

/// A result of this module.
pub type DbResult<T> = Result<T, DbError>;

impl DbError {
    /// The name of the violated constraint, if that is what happened.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Sqlx(sqlx::Error::Database(error)) => error.constraint(),
            _ => None,
        }
    }
}

impl DbError {
    /// True if the same question may be answered later: the connection broke, the server is restarting, full or read-only, or
    /// the transaction lost against another.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Stale => false,
            Self::Sqlx(error) => is_transient(error),
        }
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        // Classes of Postgres' Appendix A: 08 connection, 25 transaction state (read-only, idle time-out), 40 rollback,
        // 53 resources, 55 lock not available, 57 operator intervention, 58 system error.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "25", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}
