//! `syncline apply`: config as code.

use std::path::PathBuf;

use clap::Args;
use syncline_api::apply::{ApplyOptions, Document, apply};
use syncline_engine::Catalog;
use syncline_shared::config::ConnectorsConfig;
use syncline_shared::db;
use syncline_shared::db::Database;
use syncline_shared::secret::Cipher;

use crate::dev::{ClientDatabase, ClientSecret};

/// See [`crate::args::Command::Apply`].
#[derive(Debug, Args)]
pub(crate) struct ApplyCommand {
    /// The file that says what there should be.
    #[arg(short, long)]
    file: PathBuf,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Remove what an earlier file made and this one does not name.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    database: ClientDatabase,
    #[command(flatten)]
    secret: ClientSecret,
    #[command(flatten)]
    connectors: ConnectorsConfig,
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn run(command: ApplyCommand) -> anyhow::Result<()> {
    // What can be wrong without a database is told without one.
    let document = Document::load(&command.file)?;
    let catalog = Catalog::load(&command.connectors.connectors_dir)?;
    let cipher = Cipher::new(&command.database.secret(&command.secret)?.secret_key)?;
    let database = Database::connect(&command.database.config()?, "syncline apply").await?;
    db::check_schema(&database).await?;
    let options = ApplyOptions {
        dry_run: command.dry_run,
        prune: command.prune,
    };
    let report = apply(&database, &cipher, &catalog, &document, options).await?;
    println!("{report}");
    Ok(())
}
