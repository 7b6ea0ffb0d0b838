//! What is handed in: the manifest, the connection's config, the way to the platform.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;
use syncline_engine::{AddressPolicy, Connector, HttpClient, HttpSettings};
use syncline_shared::clock::{Clock, SystemClock};

/// The member of a config in which airbyte-cdk looks for a manifest when no file is named.
const INJECTED: &str = "__injected_declarative_manifest";

/// Flags of every command that runs a manifest.
#[derive(Debug, Args)]
pub(super) struct Given {
    /// The manifest, YAML. Without it, the config's `__injected_declarative_manifest`.
    #[arg(long)]
    manifest_path: Option<PathBuf>,
    /// The connection's config, JSON.
    #[arg(long)]
    config: PathBuf,
    /// Stands in for the manifest's `url_base`, so that a test server can take the platform's place.
    #[arg(long)]
    base_url: Option<String>,
    /// Private and loopback targets that may be called: addresses, CIDR blocks and host names, separated by commas.
    #[arg(long, env = "SYNCLINE_ALLOW_HOSTS", default_value = "")]
    allow_hosts: String,
    /// The present moment, RFC 3339, instead of the machine's clock: for repeatable output.
    #[arg(long, hide = true)]
    now: Option<DateTime<Utc>>,
}

/// Everything that was handed in, read and checked.
pub(super) struct Inputs {
    pub(super) connector: Connector,
    pub(super) config: Value,
    pub(super) base_url: Option<String>,
    pub(super) http: HttpClient,
    /// The moment at which the command began.
    pub(super) now: DateTime<Utc>,
}

impl Given {
    /// Tells the time: the machine's, or the one that was fixed.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        match self.now {
            Some(now) => Arc::new(FixedClock(now)),
            None => Arc::new(SystemClock),
        }
    }

    /// Reads the files.
    pub(super) fn read(&self) -> anyhow::Result<Inputs> {
        let mut config = json_file(&self.config, "config")?;
        let Some(members) = config.as_object_mut() else {
            bail!("the config {} is no JSON object", self.config.display());
        };
        // Never part of what the connector sees, nor of what is checked.
        let injected = members.shift_remove(INJECTED);
        let connector = match (&self.manifest_path, injected) {
            (Some(path), _) => Connector::load_file(path)?,
            (None, Some(manifest)) => Connector::load("manifest", &manifest.to_string())?,
            (None, None) => bail!("no manifest: give --manifest-path"),
        };
        let addresses = AddressPolicy::parse(&self.allow_hosts)?;
        let http = HttpClient::new(HttpSettings {
            addresses,
            ..HttpSettings::default()
        })?;
        Ok(Inputs {
            connector,
            config,
            base_url: self.base_url.clone(),
            http,
            now: self.clock().now(),
        })
    }
}

/// A JSON file; `what` names it in messages, which never show its content.
pub(super) fn json_file(path: &Path, what: &str) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the {what} {} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("the {what} {} is no JSON", path.display()))
}

struct FixedClock(DateTime<Utc>);

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}
