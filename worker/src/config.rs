//! Configuration of a worker.

use anyhow::Context;
use clap::Args;
use syncline_engine::AddressPolicy;
use syncline_shared::config::{ConnectorsConfig, LeaseConfig, SecretConfig};

/// Configuration of a worker.
#[derive(Debug, Clone, Args)]
pub struct WorkerConfig {
    /// Runs that are executed at once.
    #[arg(long, env = "SYNCLINE_WORKER_SLOTS", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub slots: u16,
    /// Private and loopback targets that connectors may call: addresses, CIDR blocks and host names, separated by commas.
    #[arg(long, env = "SYNCLINE_ALLOW_HOSTS", default_value = "")]
    pub allow_hosts: String,
    /// Where the manifests are.
    #[command(flatten)]
    pub connectors: ConnectorsConfig,
    /// The key of stored credentials.
    #[command(flatten)]
    pub secret: SecretConfig,
    /// How long a lease lasts.
    #[command(flatten)]
    pub lease: LeaseConfig,
}

impl WorkerConfig {
    /// The targets that connectors may call besides public ones.
    pub fn address_policy(&self) -> anyhow::Result<AddressPolicy> {
        AddressPolicy::parse(&self.allow_hosts)
            .with_context(|| format!("SYNCLINE_ALLOW_HOSTS {:?} is not usable", self.allow_hosts))
    }
}
