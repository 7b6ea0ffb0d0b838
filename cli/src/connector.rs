//! `syncline connector`: work on manifests.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use syncline_engine::Connector;

/// See [`crate::args::Command::Connector`].
#[derive(Debug, Args)]
pub(crate) struct ConnectorCommand {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what is wrong with manifests: every component, field and expression that is not supported, by its path.
    Lint {
        /// Manifests to read.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
pub(crate) fn run(command: &ConnectorCommand) -> ExitCode {
    let Verb::Lint { files } = &command.command;
    let mut clean = true;
    for file in files {
        match Connector::load_file(file) {
            Ok(connector) => {
                let streams: Vec<_> = connector
                    .streams()
                    .iter()
                    .map(|stream| stream.name.as_str())
                    .collect();
                println!("{}: fine; streams: {}", file.display(), streams.join(", "));
            }
            Err(errors) => {
                clean = false;
                println!("{}: {errors}", file.display());
            }
        }
    }
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
