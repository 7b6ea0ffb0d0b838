//! `syncline connector`: work on manifests without a database: lint them, try them, read with them.
//!
//! The commands that talk to a platform take the flags of `source-declarative-manifest`, the command of the Python package
//! airbyte-cdk, and print the same protocol, so that both can be run side by side.

mod catalog;
mod given;
mod host;
mod ledger;
mod lint;
mod message;
mod output;
mod read;
mod state;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// See [`crate::args::Command::Connector`].
#[derive(Debug, Args)]
pub(crate) struct ConnectorCommand {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what is wrong with manifests: every component, field and expression that is not supported, by its path.
    Lint(lint::LintCommand),
    /// Read streams from the platform and print records and states.
    Read(read::ReadCommand),
}

pub(crate) async fn run(command: ConnectorCommand) -> ExitCode {
    match command.command {
        Verb::Lint(command) => lint::run(&command),
        Verb::Read(command) => read::run(command).await,
    }
}
