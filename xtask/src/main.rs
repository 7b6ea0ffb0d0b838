//! `cargo xtask`: one command for each chore, the same on a developer's machine and in CI.
//!
//! It depends on almost nothing, so that it builds in seconds; what needs Postgres is done by the program
//! `syncline-test-postgres` of the crate that the tests use, too.
#![expect(clippy::print_stdout, reason = "a command-line program")]

mod cdk;
mod ci;
mod command;
mod database;
mod peers;
mod requirements;
mod tests;
mod tools;

use clap::{Parser, Subcommand};

/// Chores of the Syncline workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Runs all tests but the long ones; installs what is missing.
    Test {
        /// Handed to cargo-nextest, after `--`: filters, --no-fail-fast, ...
        #[arg(last = true)]
        nextest: Vec<String>,
    },
    /// Runs the tests, then those named `proof_...`, against a release build.
    Proof {
        /// Handed to cargo-nextest's second run, after `--`.
        #[arg(last = true)]
        nextest: Vec<String>,
    },
    /// Runs the tests named `soak_...`, which take hours, against a release build.
    Soak {
        /// Handed to cargo-nextest, after `--`.
        #[arg(last = true)]
        nextest: Vec<String>,
    },
    /// Everything that must hold before a merge: format, lints, docs, queries, dependencies, tests.
    Ci,
    /// Writes the checked queries to .sqlx, so that the workspace builds without a database.
    Prepare {
        /// Changes nothing; fails if .sqlx is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Prints the `DATABASE_URL` of a migrated development database.
    Db {
        /// Makes the database anew.
        #[arg(long)]
        fresh: bool,
        /// Stops the server instead.
        #[arg(long, conflicts_with = "fresh")]
        stop: bool,
    },
    /// Writes what airbyte-cdk makes of the tests' cases and scenarios: the goldens that the tests compare with.
    CdkGoldens,
    /// Measures our queue beside those we are compared with: bench/README.md.
    BenchPeers(peers::BenchPeers),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().chore {
        Chore::Test { nextest } => tests::test(&nextest),
        Chore::Proof { nextest } => tests::proof(&nextest),
        Chore::Soak { nextest } => tests::soak(&nextest),
        Chore::Ci => ci::run(),
        Chore::Prepare { check } => database::prepare(check),
        Chore::Db { stop: true, .. } => database::stop(),
        Chore::Db { fresh, .. } => {
            println!("{}", database::development_url(fresh)?);
            Ok(())
        }
        Chore::CdkGoldens => cdk::write_goldens(),
        Chore::BenchPeers(arguments) => peers::run(&arguments),
    }
}

#[cfg(test)]
mod unit_tests {
    use clap::{CommandFactory, Parser as _};

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn goldens_are_written_all_or_not_at_all() {
        let parse = |words: &[&str]| super::Cli::try_parse_from([&["cargo xtask"], words].concat());
        assert!(parse(&["cdk-goldens"]).is_ok());
        for wrong in ["options.py", "--table=options", "--", "--check"] {
            let words = ["cdk-goldens", wrong, "x"];
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }
}
