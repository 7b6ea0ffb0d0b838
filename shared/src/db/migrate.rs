//! Migrations, embedded in the binary. Their record is kept in schema `syncline`, so that Syncline can share a database
//! with an application that has migrations of its own.

use std::borrow::Cow;

use anyhow::{Context, bail};
use sqlx::migrate::Migrator;

use super::{Database, DbError, DbResult};

/// Where the record of applied migrations is.
const RECORD: &str = "syncline._migrations";

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations");
    migrator.dangerous_set_table_name(RECORD);
    migrator.create_schema(Cow::Borrowed("syncline"));
    migrator
}

/// Brings the schema up to date; does nothing when it is. Safe to run while older processes serve.
pub async fn migrate(database: &Database) -> anyhow::Result<()> {
    migrator()
        .run(&database.direct_pool()?)
        .await
        .context("the database could not be migrated")
}

/// Refuses a database whose schema is older than this binary.
pub async fn check_schema(database: &Database) -> anyhow::Result<()> {
    let applied: Vec<i64> = match applied_versions(database).await {
        Ok(versions) => versions,
        Err(DbError::Sqlx(sqlx::Error::Database(error)))
            if matches!(error.code().as_deref(), Some("42P01" | "3F000")) =>
        {
            Vec::new()
        }
        Err(error) => return Err(error).context("the schema's version could not be read"),
    };
    let missing = migrator()
        .iter()
        .filter(|step| !applied.contains(&step.version))
        .count();
    if missing > 0 {
        bail!("the database lacks {missing} migrations; run: syncline migrate");
    }
    Ok(())
}

/// The record's table is made by the migrator, so this statement cannot be checked at compile time.
async fn applied_versions(database: &Database) -> DbResult<Vec<i64>> {
    let mut db = database.session().await?;
    let versions = sqlx::query_scalar("select version from syncline._migrations where success")
        .fetch_all(&mut *db)
        .await?;
    Ok(versions)
}
