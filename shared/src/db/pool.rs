//! Connections to the database, with the settings that the queue relies on.
//!
//! Two ways lead there. Directly, a connection keeps its settings and its prepared statements. Behind a pooler in transaction
//! mode (PgBouncer and its kin) consecutive statements of a client may reach different servers, so every statement runs inside an
//! explicit transaction, statements are prepared without a name (`session.rs`), and settings are local to the transaction.
//! [`Database`] is the one place that knows which way it is: there is no other access to the pool.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use super::notify::Listener;
use super::session::{Session, Transaction};
use super::{DbError, DbResult};
use crate::config::{DatabaseConfig, Pooler};

/// How long a process waits for a connection before it gives up.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that was idle for longer is asked whether its server is still there before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// A server that takes longer to answer to nothing at all has gone.
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(3);
/// No statement of the control tables takes nearly as long.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Settings of every connection. The time-outs lie below the shortest useful lease, so that a worker that stalls in
/// mid-transaction lets go of its locks before its runs are rescued.
const SETTINGS: [(&str, &str); 7] = [
    // A custom plan made while no run was queued reads the whole table; a generic plan does not know which states are rare.
    ("plan_cache_mode", "force_generic_plan"),
    // And a plan that was made while the queue was empty reads it as a whole, and sorts it, when it has long become full: the
    // tables change faster than their statistics. Every statement has an index that it is meant to use.
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("tcp_user_timeout", "15s"),
    ("jit", "off"),
    // What a server forgets in a crash is done again: a permit given twice, a run claimed twice.
    ("synchronous_commit", "on"),
];
/// Those that a connection cannot have when a pooler's server lies behind it: the network's end is the pooler.
const OF_THE_CONNECTION: &str = "tcp_user_timeout";

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    /// How a transaction begins behind a pooler; `None`: there is none.
    behind_pooler: Option<Arc<str>>,
    /// Where LISTEN works; `None`: nowhere.
    direct: Option<PgConnectOptions>,
}

impl Database {
    /// Opens a pool and one connection, so that a wrong address, and a pooler that was not declared, are told at once.
    pub async fn connect(config: &DatabaseConfig, application: &str) -> anyhow::Result<Self> {
        let database = Self::lazy(config, application)?;
        probe(&database.pool.connect_options(), config.database_pooler).await?;
        Ok(database)
    }

    /// Opens a pool that connects when it is first used. Must be called within a tokio runtime.
    pub fn lazy(config: &DatabaseConfig, application: &str) -> anyhow::Result<Self> {
        // Named after the process, so that its connections can be told from those of others of its kind.
        let application = &format!("{application} {:08x}", rand::random::<u32>());
        let options = read_url("DATABASE_URL", config.database_url.expose_secret())?
            .application_name(application);
        let direct = match &config.database_direct_url {
            Some(url) => Some(
                read_url("SYNCLINE_DATABASE_DIRECT_URL", url.expose_secret())?
                    .application_name(application)
                    .options(SETTINGS),
            ),
            None => None,
        };
        let (options, direct) = match config.database_pooler {
            Pooler::None => {
                let options = options.options(SETTINGS);
                let direct = direct.unwrap_or_else(|| options.clone());
                (options, Some(direct))
            }
            // No settings that a pooler would refuse. What keeps statements from being named is in `session.rs`.
            Pooler::Transaction => (
                options.statement_cache_capacity(0).extra_float_digits(None),
                direct,
            ),
        };
        let behind_pooler = match config.database_pooler {
            Pooler::None => None,
            Pooler::Transaction => Some(begin_behind_pooler(application).into()),
        };
        let pool = pool_options()
            .max_connections(config.database_connections)
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            behind_pooler,
            direct,
        })
    }

    /// A connection for questions, or for one statement that writes.
    pub async fn session(&self) -> DbResult<Session> {
        Ok(match self.behind_pooler {
            None => Session::plain(self.pool.acquire().await?),
            Some(_) => Session::within(self.begin().await?),
        })
    }

    /// A transaction.
    pub async fn begin(&self) -> DbResult<Transaction> {
        Ok(match &self.behind_pooler {
            None => Transaction::new(self.pool.begin().await?, true),
            Some(statement) => {
                let begun = self.pool.begin_with(AssertSqlSafe(statement.clone()));
                Transaction::new(begun.await?, false)
            }
        })
    }

    /// The same database through connections of its own: what uses it never waits for the others'. One is used at a time; more are
    /// there so that a connection which has fallen silent, and takes a while to be given up, keeps nobody waiting.
    #[must_use]
    pub fn apart(&self) -> Self {
        let pool = pool_options()
            .max_connections(4)
            .connect_lazy_with((*self.pool.connect_options()).clone());
        Self {
            pool,
            behind_pooler: self.behind_pooler.clone(),
            direct: self.direct.clone(),
        }
    }

    /// Listens on a channel. `None`: behind a pooler of which no direct way is known.
    pub async fn listen(&self, channel: &str) -> DbResult<Option<Listener>> {
        match &self.direct {
            Some(options) => Ok(Some(Listener::connect(options, channel).await?)),
            None => Ok(None),
        }
    }

    /// A pool of one connection that no pooler stands before, for migrations. Fails where no direct way is known.
    pub(super) fn direct_pool(&self) -> anyhow::Result<PgPool> {
        let options = self.direct.clone().context(
            "migrations cannot run through a pooler: set SYNCLINE_DATABASE_DIRECT_URL to the address of Postgres itself",
        )?;
        Ok(PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options))
    }

    /// True if [`Database::listen`] hears of wake-ups; else only polling does.
    pub fn can_listen(&self) -> bool {
        self.direct.is_some()
    }

    /// Closes all connections, once those in use have come back.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Waits for an answer of the database, but not for ever: a connection whose other end has vanished without a word stays silent.
/// The statement may have been carried out, as with any lost answer.
pub async fn answered<T>(asking: impl Future<Output = DbResult<T>>) -> DbResult<T> {
    answered_within(ANSWER_WITHIN, asking).await
}

/// As [`answered`], for what may take longer, or should not take as long.
pub async fn answered_within<T>(
    within: Duration,
    asking: impl Future<Output = DbResult<T>>,
) -> DbResult<T> {
    match tokio::time::timeout(within, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(DbError::Sqlx(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {} s", within.as_secs()),
        )))),
    }
}

/// Begins a transaction with the settings that can be local to it. The name, too: by it a silent worker's transactions are found and
/// ended, and not every pooler passes a client's own name on.
fn begin_behind_pooler(application: &str) -> String {
    let own_name = [("application_name", application)];
    let settings = SETTINGS.into_iter().chain(own_name);
    let mut begin = "begin".to_owned();
    for (name, value) in settings.filter(|(name, _)| *name != OF_THE_CONNECTION) {
        let value = value.replace('\'', "''");
        begin.push_str(&format!("; set local {name} = '{value}'"));
    }
    begin
}

fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The pool's own test would cost a round trip each time.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for <= TRUSTED_IDLE {
                    return Ok(true);
                }
                let ping = tokio::time::timeout(SIGN_OF_LIFE_WITHIN, connection.ping());
                Ok(matches!(ping.await, Ok(Ok(()))))
            })
        })
        // A task may be cancelled while its BEGIN is under way. sqlx 0.9 then takes the connection for one without a
        // transaction, and whoever got it next would work inside a transaction that nobody commits.
        .after_release(|connection, _| {
            Box::pin(async move {
                // The begin keeps the server from noting at every release that there was nothing to roll back.
                let clearing = connection.execute("begin; rollback");
                let cleared = tokio::time::timeout(SIGN_OF_LIFE_WITHIN, clearing).await;
                Ok(matches!(cleared, Ok(Ok(_))))
            })
        })
}

fn read_url(name: &str, url: &str) -> anyhow::Result<PgConnectOptions> {
    PgConnectOptions::from_str(url)
        .ok()
        .filter(|_| url.starts_with("postgres://") || url.starts_with("postgresql://"))
        .with_context(|| {
            format!(
                "{name} is not a Postgres address; allowed: postgres://user:password@host:port/database"
            )
        })
}

/// Connects once and looks whether what answers is what was declared. A pool would try for as long as a connection may take, and
/// then tell of the time that has passed, not of the cause.
async fn probe(options: &PgConnectOptions, pooler: Pooler) -> anyhow::Result<()> {
    let (host, port) = (options.get_host().to_owned(), options.get_port());
    let cannot_be_reached = || {
        format!(
            "the database at {host}:{port} cannot be reached; check DATABASE_URL and that Postgres is running"
        )
    };
    let probing = async {
        let mut connection = PgConnection::connect_with(options).await?;
        let direct = match pooler {
            Pooler::None => keeps_its_session(&mut connection, options).await?,
            Pooler::Transaction => true,
        };
        connection.close().await.ok();
        Ok::<bool, sqlx::Error>(direct)
    };
    let probed = tokio::time::timeout(ACQUIRE_TIMEOUT, probing)
        .await
        .with_context(|| format!("no answer within {} s", ACQUIRE_TIMEOUT.as_secs()))
        .with_context(cannot_be_reached)?;
    match probed {
        Ok(true) => Ok(()),
        Ok(false) => bail!(
            "a connection pooler answers at {host}:{port}, which mixes up statements of different clients unless Syncline knows of \
             it; set SYNCLINE_DATABASE_POOLER=transaction, and SYNCLINE_DATABASE_DIRECT_URL to the address of Postgres itself"
        ),
        // PgBouncer's words for settings that it does not pass on.
        Err(error) if error.to_string().contains("unsupported startup parameter") => bail!(
            "a connection pooler answers at {host}:{port} ({error}); set SYNCLINE_DATABASE_POOLER=transaction, and \
             SYNCLINE_DATABASE_DIRECT_URL to the address of Postgres itself"
        ),
        Err(error) => Err(error).with_context(cannot_be_reached),
    }
}

/// True if the settings of the start took effect, and if the same server answers after another client has worked in between: a
/// pooler in transaction mode gives the server that has just become free to whoever asks first.
async fn keeps_its_session(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> sqlx::Result<bool> {
    // Text queries: a prepared statement might meet a server that does not know it.
    let look = "select pg_backend_pid()::text || current_setting('plan_cache_mode')";
    let mut first = String::new();
    for round in 0..3_u8 {
        let seen = ask(connection, look).await?;
        if round == 0 {
            first = seen;
        } else if seen != first {
            return Ok(false);
        }
        let mut other = PgConnection::connect_with(options).await?;
        other.execute("begin; select 1").await?;
        let again = ask(connection, look).await;
        other.execute("rollback").await?;
        other.close().await.ok();
        if again? != first {
            return Ok(false);
        }
    }
    Ok(first.ends_with("force_generic_plan"))
}

async fn ask(connection: &mut PgConnection, query: &'static str) -> sqlx::Result<String> {
    use sqlx::Row;
    let row = connection.fetch_one(sqlx::raw_sql(query)).await?;
    row.try_get(0)
}
