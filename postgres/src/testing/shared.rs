//! The one server of all test processes.
//!
//! Each process asks for it once: under a file lock it starts the server or adopts the running one, and lets go of
//! it at once. So nobody owns the server, and nobody's death takes it away.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnection;
use tokio::sync::OnceCell;

use super::template::close;
use super::{TestingError, database, private, test_config};
use crate::address::{connect_options, database_url};
use crate::lock::FolderLock;
use crate::{Embedded, EmbeddedError, StopMode};

/// How to reach the shared server.
#[derive(Clone)]
pub struct TestServer {
    port: u16,
    password: String,
}

static SHARED: OnceCell<TestServer> = OnceCell::const_new();

impl TestServer {
    /// The running server, started if need be.
    pub async fn shared() -> Result<&'static Self, TestingError> {
        SHARED.get_or_try_init(Self::find_or_start).await
    }

    async fn find_or_start() -> Result<Self, TestingError> {
        let turn = wait_for_turn("start.lock").await?;
        private::sweep();
        let server = Embedded::start(test_config(shared_dir().join("server"))).await?;
        let found = Self {
            port: server.port(),
            password: server.password().to_owned(),
        };
        server.detach();
        drop(turn);
        database::sweep(&found).await?;
        Ok(found)
    }

    /// URL of a database on this server.
    pub fn url(&self, database: &str) -> String {
        database_url(self.port, &self.password, database)
    }

    /// A connection as superuser to the database `postgres`.
    pub(super) async fn admin(&self) -> Result<PgConnection, TestingError> {
        let options = connect_options(self.port, &self.password).database("postgres");
        options
            .connect()
            .await
            .map_err(TestingError::sql("connect to the test server"))
    }
}

impl std::fmt::Debug for TestServer {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestServer")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// What became of a request to stop the shared server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It ran, and has ended.
    Stopped,
    /// It did not run.
    NotRunning,
    /// A living test process has a database on it, so it was left alone.
    InUse,
}

/// Stops the shared server, unless another test run is using it.
pub async fn stop_shared() -> Result<Stopped, TestingError> {
    let _turn = wait_for_turn("start.lock").await?;
    private::sweep();
    let Some(server) = Embedded::adopt(test_config(shared_dir().join("server"))).await? else {
        return Ok(Stopped::NotRunning);
    };
    let found = TestServer {
        port: server.port(),
        password: server.password().to_owned(),
    };
    let mut admin = found.admin().await?;
    let in_use = database::in_use(&mut admin).await?;
    close(admin).await;
    if in_use {
        server.detach();
        return Ok(Stopped::InUse);
    }
    server.stop(StopMode::Fast).await?;
    Ok(Stopped::Stopped)
}

/// The folder of everything that tests keep about servers: `test-postgres` in the target folder.
pub fn shared_dir() -> PathBuf {
    if let Some(dir) = env::var_os("SYNCLINE_TEST_POSTGRES_DIR").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    if let Some(target) = env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(target).join("test-postgres");
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    workspace.join("target").join("test-postgres")
}

/// Waits for a lock in the shared folder without holding up the runtime.
pub(super) async fn wait_for_turn(name: &'static str) -> Result<FolderLock, EmbeddedError> {
    let dir = shared_dir();
    let path = dir.join(name);
    let waiting = tokio::task::spawn_blocking(move || {
        fs::create_dir_all(&dir).map_err(EmbeddedError::io("make", &dir))?;
        FolderLock::wait(&path)
    });
    match waiting.await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
