//! [`Embedded`]: one running server and the right to stop it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::time::{Instant, sleep};

use crate::address::{connect_options, database_url, quote_identifier};
use crate::binaries;
use crate::folder::Folder;
use crate::launch::{ATTEMPT_INTERVAL, Launch, await_answer, settings_text};
use crate::log_file::LogFile;
use crate::postmaster::{Postmaster, StopMode};
use crate::{EmbeddedConfig, EmbeddedError, cluster, pid_file};

/// The name of the one database user there is.
pub const SUPERUSER: &str = "syncline";

/// A running embedded server, owned by this process.
///
/// Dropping it leaves the server running, as the owner's sudden death would; the next start adopts it. To end the
/// server call [`Embedded::stop`].
pub struct Embedded {
    config: EmbeddedConfig,
    folder: Folder,
    socket_dir: PathBuf,
    password: String,
    port: u16,
    postmaster: Postmaster,
}

impl Embedded {
    /// Finds the server that runs on the folder, or starts one: finds (or downloads) the programs, makes the
    /// cluster, and returns once a query has been answered.
    pub async fn start(config: EmbeddedConfig) -> Result<Self, EmbeddedError> {
        let folder = Folder::open(&config)?;
        match Self::adopt_running(config, folder).await? {
            Found::Adopted(server) => Ok(*server),
            Found::None(config, folder) => Self::start_new(config, folder).await,
        }
    }

    /// The server that runs on the folder, if one does; never starts anything. The settings are not compared.
    pub async fn adopt(config: EmbeddedConfig) -> Result<Option<Self>, EmbeddedError> {
        if fs::metadata(&config.data_dir).is_err() {
            return Ok(None);
        }
        let folder = Folder::open(&config)?;
        let Some((postmaster, port)) = running(&folder, config.start_timeout).await? else {
            return Ok(None);
        };
        Self::take_over(config, folder, postmaster, port)
            .await
            .map(Some)
    }

    /// URL of a database on this server, with user and password.
    pub fn url(&self, database: &str) -> String {
        database_url(self.port, &self.password, database)
    }

    /// Password of the user [`SUPERUSER`].
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// The folder of the unix socket, for `psql -h`.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id of the server.
    pub fn pid(&self) -> i32 {
        self.postmaster.pid()
    }

    /// The real folder of the database, links followed.
    pub fn folder(&self) -> &Path {
        self.folder.root()
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.folder.log()
    }

    /// Makes the database unless it exists.
    pub async fn ensure_database(&self, name: &str) -> Result<(), EmbeddedError> {
        let doing = || format!("make the database {name:?}");
        let failed = |source| EmbeddedError::Sql {
            doing: doing(),
            source,
        };
        let mut connection = self.connect("postgres").await?;
        let known: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
            .bind(name)
            .fetch_optional(&mut connection)
            .await
            .map_err(failed)?;
        if known.is_none() {
            let statement = format!("create database {}", quote_identifier(name));
            connection
                .execute(sqlx::AssertSqlSafe(statement))
                .await
                .map_err(failed)?;
        }
        // A failed goodbye changes nothing: the database is there.
        let _ = connection.close().await;
        Ok(())
    }

    /// Waits until the server has ended without our doing; tells how. May be dropped and called again.
    pub async fn wait(&mut self) -> String {
        self.postmaster.wait().await
    }

    /// Stops the server and gives the folder free.
    pub async fn stop(mut self, mode: StopMode) -> Result<(), EmbeddedError> {
        self.postmaster.stop(mode, self.config.stop_timeout).await
    }

    /// Stops the server and deletes its folder.
    pub async fn remove(mut self) -> Result<(), EmbeddedError> {
        self.postmaster
            .stop(StopMode::Immediate, self.config.stop_timeout)
            .await?;
        // The socket folder may lie outside; an emptied one is no use to anybody.
        if !self.socket_dir.starts_with(self.folder.root()) {
            fs::remove_dir_all(&self.socket_dir)
                .map_err(EmbeddedError::io("delete", &self.socket_dir))?;
        }
        self.folder.remove(&self.config)
    }

    /// Gives the folder free and leaves the server running.
    pub fn detach(self) {
        drop(self);
    }

    /// Stops the server and starts it again on the same port.
    pub async fn restart(&mut self, mode: StopMode) -> Result<(), EmbeddedError> {
        self.postmaster.stop(mode, self.config.stop_timeout).await?;
        let major = cluster::existing_major(&self.folder)?;
        let binaries = binaries::find(&self.folder.account, major, self.config.download).await?;
        let launch = Launch {
            config: &self.config,
            folder: &self.folder,
            binaries: &binaries,
            socket_dir: &self.socket_dir,
            password: &self.password,
        };
        let (postmaster, port) = launch.run(Some(self.port)).await?;
        self.postmaster = postmaster;
        self.port = port;
        Ok(())
    }

    async fn adopt_running(config: EmbeddedConfig, folder: Folder) -> Result<Found, EmbeddedError> {
        let Some((mut postmaster, port)) = running(&folder, config.start_timeout).await? else {
            return Ok(Found::None(config, folder));
        };
        let same_settings = fs::read_to_string(folder.settings_file())
            .is_ok_and(|stored| stored == settings_text(&config));
        let same_port = config.port.is_none_or(|wanted| wanted == port);
        if same_settings && same_port {
            tracing::info!(
                "the database server (process {}) still runs: adopted",
                postmaster.pid()
            );
            let server = Self::take_over(config, folder, postmaster, port).await?;
            return Ok(Found::Adopted(Box::new(server)));
        }
        tracing::info!("the database server runs with other settings: restarting it");
        postmaster.stop(StopMode::Fast, config.stop_timeout).await?;
        Ok(Found::None(config, folder))
    }

    async fn take_over(
        config: EmbeddedConfig,
        folder: Folder,
        mut postmaster: Postmaster,
        port: u16,
    ) -> Result<Self, EmbeddedError> {
        let password = cluster::read_password(&folder)?;
        let socket_dir = folder.socket_dir()?;
        let (log, _) = LogFile::open(&folder.log())?;
        await_answer(
            &mut postmaster,
            &folder,
            &log,
            port,
            &password,
            config.start_timeout,
        )
        .await?;
        Ok(Self {
            config,
            folder,
            socket_dir,
            password,
            port,
            postmaster,
        })
    }

    async fn start_new(config: EmbeddedConfig, folder: Folder) -> Result<Self, EmbeddedError> {
        let major = cluster::existing_major(&folder)?;
        let binaries = binaries::find(&folder.account, major, config.download).await?;
        if major.is_none() {
            cluster::create(&folder, &binaries).await?;
        }
        let password = cluster::read_password(&folder)?;
        let socket_dir = folder.socket_dir()?;
        let launch = Launch {
            config: &config,
            folder: &folder,
            binaries: &binaries,
            socket_dir: &socket_dir,
            password: &password,
        };
        let (postmaster, port) = launch.run(config.port).await?;
        Ok(Self {
            config,
            folder,
            socket_dir,
            password,
            port,
            postmaster,
        })
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, EmbeddedError> {
        let failed = |source| EmbeddedError::Sql {
            doing: format!("connect to {database:?}"),
            source,
        };
        connect_options(self.port, &self.password)
            .database(database)
            .connect()
            .await
            .map_err(failed)
    }
}

impl fmt::Debug for Embedded {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("folder", &self.folder.root())
            .field("port", &self.port)
            .field("pid", &self.postmaster.pid())
            .finish_non_exhaustive()
    }
}

enum Found {
    Adopted(Box<Embedded>),
    None(EmbeddedConfig, Folder),
}

/// The folder's running server and its port, which the first instant of a start has not written down yet.
async fn running(
    folder: &Folder,
    patience: Duration,
) -> Result<Option<(Postmaster, u16)>, EmbeddedError> {
    let data = folder.data();
    let deadline = Instant::now() + patience;
    loop {
        let found = pid_file::running_server(&data)
            .map_err(EmbeddedError::io("read the process file in", &data))?;
        let Some(file) = found else { return Ok(None) };
        if let Some(port) = file.port {
            return Ok(Some((Postmaster::adopt(file.pid, &data), port)));
        }
        if Instant::now() > deadline {
            let folder_path = folder.root().to_path_buf();
            let reason = format!("process {} never wrote its port down", file.pid);
            return Err(EmbeddedError::NoAnswer {
                folder: folder_path,
                reason,
                log: folder.log(),
            });
        }
        sleep(ATTEMPT_INTERVAL).await;
    }
}
