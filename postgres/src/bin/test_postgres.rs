//! The shared test server from the command line, for `cargo xtask`, which so needs none of its dependencies.

use std::path::Path;
use std::process::ExitCode;

use syncline_postgres::Binaries;
use syncline_postgres::testing::{Stopped, named_database, stop_shared};

const USAGE: &str = "usage:
  syncline-test-postgres installed
      prints the folder of the installed Postgres programs; fails if there are none
  syncline-test-postgres database NAME MIGRATIONS_FOLDER
      prints the URL of a migrated database on the test server, made when it is missing
  syncline-test-postgres fresh-database NAME MIGRATIONS_FOLDER
      the same, made anew
  syncline-test-postgres stop
      stops the test server, unless a running test uses it";

#[tokio::main]
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program"
)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments).await {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<String, String> {
    match arguments {
        ["installed"] => {
            let binaries = Binaries::installed().map_err(|error| error.to_string())?;
            Ok(binaries.dir.display().to_string())
        }
        ["database", name, folder] => database(name, folder, false).await,
        ["fresh-database", name, folder] => database(name, folder, true).await,
        ["stop"] => match stop_shared().await.map_err(|error| error.to_string())? {
            Stopped::Stopped => Ok("the test server is stopped".to_owned()),
            Stopped::NotRunning => Ok("no test server runs".to_owned()),
            Stopped::InUse => {
                Ok("the test server is in use by a running test and stays".to_owned())
            }
        },
        _ => Err(USAGE.to_owned()),
    }
}

async fn database(name: &str, folder: &str, fresh: bool) -> Result<String, String> {
    named_database(name, Path::new(folder), fresh)
        .await
        .map_err(|error| error.to_string())
}
