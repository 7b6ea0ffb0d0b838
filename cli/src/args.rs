//! The command line.

use clap::{Parser, Subcommand};

use crate::{apply, bench, connector, dev, health, migrate, roles, token};

/// Keeps a Postgres database in step with third-party platforms.
///
/// Every flag has a variable; the flag wins. Start with: syncline dev
#[derive(Debug, Parser)]
#[command(name = "syncline", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Roles first, then what is done from outside.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every role in one process on an embedded Postgres, with a demo to watch.
    Dev(dev::DevCommand),
    /// Bring the database's schema up to date, then exit.
    Migrate(migrate::MigrateCommand),
    /// Run a scheduler: turns schedules into runs, and keeps house. Any number may run.
    Scheduler(roles::SchedulerCommand),
    /// Run a worker: executes runs. Any number may run.
    Worker(roles::WorkerCommand),
    /// Run the API and the web page. Any number may run.
    Api(roles::ApiCommand),
    /// Run a stand-in for the platforms' APIs, for demo and tests.
    Simulator(roles::SimulatorCommand),
    /// Bring businesses, connections and schedules in line with a file.
    Apply(apply::ApplyCommand),
    /// Make, list and delete API tokens.
    Token(token::TokenCommand),
    /// Work on connectors.
    Connector(connector::ConnectorCommand),
    /// Ask a process on this machine whether it is healthy; for container health checks.
    Healthcheck(health::HealthcheckCommand),
    /// Measure Syncline against a limit or a peer in the same run.
    Bench(bench::BenchCommand),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
