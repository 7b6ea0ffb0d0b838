//! Configuration of a worker.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use syncline_engine::AddressPolicy;
use syncline_shared::config::{ConnectorsConfig, LeaseConfig, SecretConfig};

use crate::queue::QueueConfig;

/// Configuration of a worker.
#[derive(Debug, Clone, Args)]
pub struct WorkerConfig {
    /// Runs that are executed at once.
    #[arg(long, env = "SYNCLINE_WORKER_SLOTS", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub slots: u16,
    /// An attempt that makes no progress (no request, no answer, nothing written) for so long is ended and tried again.
    #[arg(long, env = "SYNCLINE_STALL_SECONDS", default_value_t = 600,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub stall_seconds: u64,
    /// How long an attempt may keep its slot while other runs wait for one.
    #[arg(long, env = "SYNCLINE_TIME_SLICE_SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub time_slice_seconds: u64,
    /// Percentage of the slots that one platform may hold while runs of others are ready.
    #[arg(long, env = "SYNCLINE_PLATFORM_SHARE", default_value_t = 50,
          value_parser = clap::value_parser!(u64).range(1..=100))]
    pub platform_share: u64,
    /// Waits for a platform's limit up to this many milliseconds are waited out in the slot; for longer ones a run gives it back.
    #[arg(long, env = "SYNCLINE_LIMIT_PATIENCE_MS", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub limit_patience_ms: u64,
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
    /// How the queue is worked off.
    pub fn queue(&self) -> QueueConfig {
        let share = (u64::from(self.slots) * self.platform_share).div_ceil(100);
        QueueConfig {
            share: usize::try_from(share).unwrap_or(usize::MAX).max(1),
            stall: Duration::from_secs(self.stall_seconds),
            slice: Duration::from_secs(self.time_slice_seconds),
        }
    }

    /// The targets that connectors may call besides public ones.
    pub fn address_policy(&self) -> anyhow::Result<AddressPolicy> {
        AddressPolicy::parse(&self.allow_hosts)
            .with_context(|| format!("SYNCLINE_ALLOW_HOSTS {:?} is not usable", self.allow_hosts))
    }
}
