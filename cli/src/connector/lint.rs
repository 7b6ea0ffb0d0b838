//! `syncline connector lint`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use syncline_engine::Connector;

#[derive(Debug, Args)]
pub(super) struct LintCommand {
    /// Manifests to read.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
pub(super) fn run(command: &LintCommand) -> ExitCode {
    let mut clean = true;
    for file in &command.files {
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
