//! A database of its own for a test, gone when the value is dropped.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sqlx::PgConnection;

use super::template::{self, close, run};
use super::{TestServer, TestingError};
use crate::address::quote_identifier;

/// Longest wait for the removal of one database at the end of a test.
const DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// SQLSTATE of a database, here a template, that does not exist.
const INVALID_CATALOG_NAME: &str = "3D000";

/// A fresh database. Dropping the value drops the database, with whoever is still connected to it.
#[derive(Debug)]
pub struct TestDatabase {
    server: TestServer,
    name: String,
}

/// A database with the migrations of `folder` applied, cloned from a template.
pub async fn database(folder: &Path) -> Result<TestDatabase, TestingError> {
    let server = TestServer::shared().await?;
    loop {
        let template = template::ensure(server, folder).await?;
        match create(server, &template).await {
            // Dropped in between as the oldest of many: it is built again.
            Err(TestingError::Sql { source, .. }) if has_code(&source, INVALID_CATALOG_NAME) => {}
            result => return result,
        }
    }
}

/// A database without any table.
pub async fn empty_database() -> Result<TestDatabase, TestingError> {
    create(TestServer::shared().await?, "template0").await
}

/// Returns the URL of the database `name` on the shared server: made when it is missing, or anew when `fresh`, with
/// the migrations of `folder` applied. It stays when the process ends: for tools such as `cargo sqlx prepare`.
pub async fn named_database(
    name: &str,
    folder: &Path,
    fresh: bool,
) -> Result<String, TestingError> {
    let server = TestServer::shared().await?;
    let mut admin = server.admin().await?;
    let quoted = quote_identifier(name);
    if fresh {
        run(
            &mut admin,
            format!("drop database if exists {quoted} with (force)"),
        )
        .await?;
    }
    let query = "select exists (select from pg_database where datname = $1)";
    let known: bool = sqlx::query_scalar(query)
        .bind(name)
        .fetch_one(&mut admin)
        .await
        .map_err(TestingError::sql("look for the database"))?;
    if !known {
        run(
            &mut admin,
            format!("create database {quoted} template template0"),
        )
        .await?;
    }
    close(admin).await;
    let url = server.url(name);
    template::migrate(&url, folder).await?;
    Ok(url)
}

/// Does a living process still have a test database on this server?
pub(super) async fn in_use(admin: &mut PgConnection) -> Result<bool, TestingError> {
    let names = list(admin).await?;
    Ok(names.iter().any(|name| !owner_has_ended(name)))
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|found| found == code)
}

async fn create(server: &TestServer, template: &str) -> Result<TestDatabase, TestingError> {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // The random part keeps apart what two processes with the same number make, one after the other.
    let salt: u32 = rand::random();
    let name = format!("test_{}_{number}_{salt:08x}", std::process::id());
    let mut admin = server.admin().await?;
    run(
        &mut admin,
        format!("create database {name} template {template}"),
    )
    .await?;
    close(admin).await;
    Ok(TestDatabase {
        server: server.clone(),
        name,
    })
}

impl TestDatabase {
    /// The URL, with user and password.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    /// Best effort: what stays is swept by a later test.
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!("drop database if exists {} with (force)", self.name);
        // A thread with its own runtime, because a drop may happen inside any runtime or none.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            let removal = async {
                let mut admin = server.admin().await.ok()?;
                run(&mut admin, statement).await.ok()
            };
            runtime.block_on(async { tokio::time::timeout(DROP_TIMEOUT, removal).await.ok()? })
        });
        let _ = thread.join();
    }
}

/// Drops the databases whose test process has ended.
pub(super) async fn sweep(server: &TestServer) -> Result<(), TestingError> {
    let mut admin = server.admin().await?;
    let names = list(&mut admin).await?;
    for name in names {
        if owner_has_ended(&name) {
            // Two processes may sweep the same one; the loser's error means that it is gone.
            let _ = run(
                &mut admin,
                format!("drop database if exists {name} with (force)"),
            )
            .await;
        }
    }
    close(admin).await;
    Ok(())
}

async fn list(admin: &mut PgConnection) -> Result<Vec<String>, TestingError> {
    sqlx::query_scalar("select datname from pg_database where starts_with(datname, 'test_')")
        .fetch_all(admin)
        .await
        .map_err(TestingError::sql("list test databases"))
}

/// Reads the process number out of `test_<process>_<number>_<salt>`.
fn owner_has_ended(name: &str) -> bool {
    let number = name.split('_').nth(1).and_then(|text| text.parse().ok());
    number.is_some_and(|pid: i32| pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_ended_processes_are_swept() {
        let ours = format!("test_{}_1_00000000", std::process::id());
        assert!(!owner_has_ended(&ours));
        assert!(owner_has_ended("test_2147483646_1_00000000"));
        for strange in ["test_", "test_x_1", "test_-1_1", "test_0_1"] {
            assert!(!owner_has_ended(strange), "{strange}");
        }
    }
}
