//! `syncline token`: the first token of an installation, and all after it.

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use syncline_api::auth::NewToken;
use syncline_shared::db;
use syncline_shared::db::access::{self, Role};
use syncline_shared::db::{Database, DbConnection};

use crate::dev::ClientDatabase;

/// See [`crate::args::Command::Token`].
#[derive(Debug, Args)]
pub(crate) struct TokenCommand {
    #[command(subcommand)]
    command: Verb,
    #[command(flatten)]
    database: ClientDatabase,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token and print it, once. A token of the same name is replaced.
    Create {
        /// Names the token, also in the history of what it did.
        name: String,
        /// What it may do: admin, operator or viewer.
        #[arg(long, default_value = "operator")]
        role: Role,
        /// Days until it expires; without, it works until it is deleted.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
    },
    /// List the tokens: name, role, when made, until when they work.
    List,
    /// Delete a token. It stops working at once.
    Delete {
        /// The token's name.
        name: String,
    },
}

pub(crate) async fn run(command: TokenCommand) -> anyhow::Result<()> {
    let database = Database::connect(&command.database.config()?, "syncline token").await?;
    db::check_schema(&database).await?;
    let mut db = database.session().await?;
    match command.command {
        Verb::Create { name, role, days } => create(&mut db, &name, role, days).await?,
        Verb::List => list(&mut db).await?,
        Verb::Delete { name } => anyhow::ensure!(
            access::delete_token(&mut db, &name).await?,
            "there is no token {name:?}"
        ),
    }
    db.end().await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
async fn create(
    db: &mut DbConnection,
    name: &str,
    role: Role,
    days: Option<u16>,
) -> anyhow::Result<()> {
    let token = NewToken::random()?;
    let expires_at = match days {
        Some(days) => Some(db::now(db).await? + TimeDelta::days(i64::from(days))),
        None => None,
    };
    access::save_token(db, name, role, &token.hash, expires_at).await?;
    println!("{}", token.text);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
async fn list(db: &mut DbConnection) -> anyhow::Result<()> {
    for token in access::list_tokens(db).await? {
        let until = token
            .expires_at
            .map_or_else(|| "-".to_owned(), |at| at.to_rfc3339());
        println!(
            "{}\t{}\t{}\t{until}",
            token.name,
            token.role,
            token.created_at.to_rfc3339()
        );
    }
    Ok(())
}
