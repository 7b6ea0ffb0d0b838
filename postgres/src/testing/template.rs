//! Migrated templates: one a state of the migrations folder, named by its hash, cloned by every test.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::shared::wait_for_turn;
use super::{TestServer, TestingError};
use crate::hex::hex;

const PREFIX: &str = "migrated_";
/// Templates kept: older states of the folder make way, in order of age.
const KEPT: i64 = 8;

/// The name of the template for this folder, built if nobody has yet.
pub(super) async fn ensure(server: &TestServer, folder: &Path) -> Result<String, TestingError> {
    let name = format!("{PREFIX}{}", hash_of(folder)?);
    let mut admin = server.admin().await?;
    if !is_ready(&mut admin, &name).await? {
        let turn = wait_for_turn("template.lock").await?;
        // Another process may have built it while this one waited.
        if !is_ready(&mut admin, &name).await? {
            build(server, &mut admin, &name, folder).await?;
        }
        drop(turn);
    }
    close(admin).await;
    Ok(name)
}

async fn is_ready(admin: &mut PgConnection, name: &str) -> Result<bool, TestingError> {
    let query = "select exists (select from pg_database where datname = $1 and datistemplate)";
    let ready = sqlx::query_scalar(query).bind(name).fetch_one(admin).await;
    ready.map_err(TestingError::sql("look for the template"))
}

/// Only a complete template is marked as one, so a killed build is repeated.
async fn build(
    server: &TestServer,
    admin: &mut PgConnection,
    name: &str,
    folder: &Path,
) -> Result<(), TestingError> {
    drop_old(admin, PREFIX, KEPT - 1).await?;
    run(
        admin,
        format!("drop database if exists {name} with (force)"),
    )
    .await?;
    run(admin, format!("create database {name} template template0")).await?;
    migrate(&server.url(name), folder).await?;
    run(
        admin,
        format!("alter database {name} with allow_connections false is_template true"),
    )
    .await
}

/// Applies the migrations of a folder to the database at `url`.
pub(super) async fn migrate(url: &str, folder: &Path) -> Result<(), TestingError> {
    let failed = |source| TestingError::Migrations {
        folder: folder.to_path_buf(),
        source,
    };
    let mut migrator = Migrator::new(folder).await.map_err(failed)?;
    // As `syncline migrate` does it. The default, a name without a schema, would be looked up in schema `syncline`
    // as soon as that exists, because the user has the same name; every migration would then be run again.
    migrator.dangerous_set_table_name("syncline._migrations");
    migrator.create_schema("syncline");
    let doing = "connect to the database to be migrated";
    let mut connection = PgConnection::connect(url)
        .await
        .map_err(TestingError::sql(doing))?;
    let result = migrator.run(&mut connection).await.map_err(failed);
    close(connection).await;
    result
}

/// Drops all but the newest `kept` templates whose name begins with `prefix`.
async fn drop_old(admin: &mut PgConnection, prefix: &str, kept: i64) -> Result<(), TestingError> {
    let query = "select datname from pg_database where starts_with(datname, $1) and datistemplate \
                 order by oid desc offset $2";
    let old: Vec<String> = sqlx::query_scalar(query)
        .bind(prefix)
        .bind(kept)
        .fetch_all(&mut *admin)
        .await
        .map_err(TestingError::sql("list old templates"))?;
    for name in old {
        run(
            admin,
            format!("alter database {name} with is_template false"),
        )
        .await?;
        run(
            admin,
            format!("drop database if exists {name} with (force)"),
        )
        .await?;
    }
    Ok(())
}

/// Runs one statement whose names are all ours.
pub(super) async fn run(admin: &mut PgConnection, statement: String) -> Result<(), TestingError> {
    let doing = statement.clone();
    admin
        .execute(AssertSqlSafe(statement))
        .await
        .map_err(TestingError::sql(doing))?;
    Ok(())
}

/// Says goodbye; what was asked for is done, so a failure to do so has no consequence.
pub(super) async fn close(connection: PgConnection) {
    let _ = connection.close().await;
}

/// Changes with every name and every byte in the folder.
fn hash_of(folder: &Path) -> Result<String, TestingError> {
    let read_error = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TestingError::Read { path, source }
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error(folder))? {
        files.push(entry.map_err(read_error(folder))?.path());
    }
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).map_err(read_error(&path))?;
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        hash.update(name.len().to_le_bytes());
        hash.update(name);
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    Ok(hex(&hash.finalize()[..10]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_sees_names_and_contents() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1_a.sql"), "select 1").unwrap();
        let first = hash_of(folder.path()).unwrap();
        assert_eq!(hash_of(folder.path()).unwrap(), first);
        fs::write(folder.path().join("1_a.sql"), "select 2").unwrap();
        let changed = hash_of(folder.path()).unwrap();
        fs::rename(folder.path().join("1_a.sql"), folder.path().join("1_b.sql")).unwrap();
        let renamed = hash_of(folder.path()).unwrap();
        assert!(first != changed && changed != renamed);
        assert!(hash_of(&folder.path().join("missing")).is_err());
    }

    #[tokio::test]
    async fn only_the_oldest_of_our_templates_are_dropped() {
        let server = TestServer::shared().await.unwrap();
        let mut admin = server.admin().await.unwrap();
        let names = ["template_x1", "template_x2", "template_x3"];
        for name in names {
            run(&mut admin, format!("drop database if exists {name}"))
                .await
                .unwrap();
            let create = format!("create database {name} template template0 is_template true");
            run(&mut admin, create).await.unwrap();
        }
        // The underscore is no wildcard: Postgres' own template1 stays.
        drop_old(&mut admin, "template_", 1).await.unwrap();
        let left: Vec<String> = sqlx::query_scalar(
            "select datname from pg_database where datname like 'template%' order by datname",
        )
        .fetch_all(&mut admin)
        .await
        .unwrap();
        assert_eq!(left, ["template0", "template1", "template_x3"]);
        drop_old(&mut admin, "template_", 0).await.unwrap();
    }
}
