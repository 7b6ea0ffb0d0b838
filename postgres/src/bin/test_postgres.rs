//! The shared test server from the command line, for `cargo xtask`, which so needs none of its dependencies.

use std::io::{BufRead, stdin};
use std::path::Path;
use std::process::ExitCode;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use syncline_postgres::Binaries;
use syncline_postgres::testing::{PrivateServer, Stopped, named_database, stop_shared};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage:
  syncline-test-postgres installed
      prints the folder of the installed Postgres programs; fails if there are none
  syncline-test-postgres database NAME MIGRATIONS_FOLDER
      prints the URL of a migrated database on the test server, made when it is missing
  syncline-test-postgres fresh-database NAME MIGRATIONS_FOLDER
      the same, made anew
  syncline-test-postgres serve [SETTING=VALUE ...]
      starts a server of its own and serves it until standard input ends: for each line, the name of a database,
      the database made before is dropped, and the URL of the new, empty one is printed; for an empty line, the
      database is vacuumed and analysed, a checkpoint is made, and an empty line is printed
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
        ["serve", settings @ ..] => serve(settings).await.map_err(|error| error.to_string()),
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

/// For benchmarks: what one contestant leaves behind must not be written or vacuumed while the next one runs.
#[expect(clippy::print_stdout, reason = "the answers")]
async fn serve(settings: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    // Ctrl-C reaches the caller, too; its end is what ends this program, in order.
    let _interrupts = signal(SignalKind::interrupt())?;
    let mut pairs = Vec::new();
    for setting in settings {
        pairs.push(setting.split_once('=').ok_or(USAGE)?);
    }
    let private = PrivateServer::start(&pairs).await?;
    let server = private.server();
    let mut admin = PgConnection::connect(&server.url("postgres")).await?;
    let mut last: Option<String> = None;
    for line in stdin().lock().lines() {
        let name = line?;
        if name.is_empty() {
            let last = last.as_deref().ok_or(USAGE)?;
            let mut database = PgConnection::connect(&server.url(last)).await?;
            database.execute("vacuum analyze").await?;
            database.close().await?;
            admin.execute("checkpoint").await?;
            println!();
            continue;
        }
        if !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return Err("a name has small letters and underscores only".into());
        }
        if let Some(last) = last {
            let drop = format!("drop database {last} with (force)");
            admin.execute(AssertSqlSafe(drop)).await?;
        }
        server.ensure_database(&name).await?;
        admin.execute("checkpoint").await?;
        println!("{}", server.url(&name));
        last = Some(name);
    }
    Ok("the server is stopped".to_owned())
}
