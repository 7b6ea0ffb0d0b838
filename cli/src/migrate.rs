//! `syncline migrate`.

use clap::Args;
use syncline_shared::config::{DatabaseConfig, LogConfig};
use syncline_shared::db::Database;
use syncline_shared::{db, telemetry};

/// See [`crate::args::Command::Migrate`].
#[derive(Debug, Args)]
pub(crate) struct MigrateCommand {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    log: LogConfig,
}

pub(crate) async fn run(command: MigrateCommand) -> anyhow::Result<()> {
    telemetry::init(&command.log)?;
    let database = Database::connect(&command.database, "syncline migrate").await?;
    db::migrate(&database).await?;
    tracing::info!("the database's schema is up to date");
    Ok(())
}
