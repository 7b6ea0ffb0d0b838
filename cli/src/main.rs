//! The `syncline` binary: parses the command line and calls the role or command.

mod apply;
mod args;
mod bench;
mod connector;
mod dev;
mod health;
mod migrate;
mod roles;
mod token;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The HTTP client names no provider of its own; that one is installed already is no error.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&anyhow::Error::new(error).context("threads could not be started"));
        }
    };
    let result = runtime.block_on(run(cli));
    // A task that does not heed its stop must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Dev(command) => dev::run(command).await?,
        Command::Migrate(command) => migrate::run(command).await?,
        Command::Scheduler(command) => roles::scheduler(command).await?,
        Command::Worker(command) => roles::worker(command).await?,
        Command::Api(command) => roles::api(command).await?,
        Command::Simulator(command) => roles::simulator(command).await?,
        Command::Apply(command) => apply::run(command).await?,
        Command::Token(command) => token::run(command).await?,
        Command::Connector(command) => return Ok(connector::run(command).await),
        Command::Healthcheck(command) => health::check(&command).await?,
        Command::Bench(command) => bench::run(command).await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "the error of the whole command")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("syncline: {error:#}");
    ExitCode::FAILURE
}
