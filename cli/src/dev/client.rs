//! The database of commands that are typed beside a running `syncline dev`: unless another is named, it is that one's.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use syncline_shared::config::{DatabaseConfig, Pooler, SecretConfig};

use super::folder::Secrets;

/// Connections that a command opens at most.
const CONNECTIONS: u32 = 2;

/// Which database a command speaks to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientDatabase {
    /// Postgres 15 or later; without it, the database of the `syncline dev` of this folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<SecretString>,
    /// Whether a connection pooler stands before that database, and how it shares its connections.
    #[arg(long, env = "SYNCLINE_DATABASE_POOLER", default_value = "none")]
    database_pooler: Pooler,
    /// Folder of `syncline dev`.
    #[arg(long, env = "SYNCLINE_DATA_DIR", default_value = ".syncline")]
    data_dir: PathBuf,
}

/// The key that a command seals credentials with.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientSecret {
    /// Encrypts stored credentials; without it, the key of the `syncline dev` of this folder.
    #[arg(long, env = "SYNCLINE_SECRET_KEY", hide_env_values = true)]
    secret_key: Option<SecretString>,
}

impl ClientDatabase {
    /// The database that was named, or that of the dev folder.
    pub(crate) fn config(&self) -> anyhow::Result<DatabaseConfig> {
        let own = || Secrets::read(&self.data_dir).map(|secrets| secrets.database_url());
        let (found, database_pooler) = match &self.database_url {
            Some(named) => (Some(named.clone()), self.database_pooler),
            None => (own(), Pooler::None),
        };
        let database_url = found.with_context(|| {
            format!(
                "no database is named: set DATABASE_URL, or start syncline dev here ({} holds none)",
                self.data_dir.display()
            )
        })?;
        Ok(DatabaseConfig {
            database_pooler,
            ..DatabaseConfig::direct(database_url, CONNECTIONS)
        })
    }

    /// The key that was named, or that of the dev folder, unless another database was named.
    pub(crate) fn secret(&self, named: &ClientSecret) -> anyhow::Result<SecretConfig> {
        let found = named
            .secret_key
            .clone()
            .or_else(|| match self.database_url {
                Some(_) => None,
                None => Secrets::read(&self.data_dir).map(|secrets| secrets.secret_key()),
            });
        let secret_key = found
            .context("no key is named: set SYNCLINE_SECRET_KEY to that of the other processes")?;
        Ok(SecretConfig { secret_key })
    }
}
