//! The roles, each a process of its own: connect, check the schema, run until the life ends.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use syncline_api::ApiConfig;
use syncline_scheduler::SchedulerConfig;
use syncline_shared::config::{DatabaseConfig, ListenConfig, LogConfig};
use syncline_shared::db::Database;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::{db, telemetry};
use syncline_simulator::{G2aConfig, SimulatorConfig};
use syncline_worker::WorkerConfig;
use tokio::net::TcpListener;

use crate::health;

/// Where the API listens unless told otherwise.
pub(crate) const API_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// How long a process may take to drain.
#[derive(Debug, Clone, Args)]
pub(crate) struct GraceConfig {
    /// Seconds that running work may take to reach a checkpoint after SIGTERM; a second signal stops at once.
    #[arg(long, env = "SYNCLINE_GRACE_SECONDS", default_value_t = 25,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    grace_seconds: u64,
}

impl GraceConfig {
    pub(crate) fn lifecycle(&self) -> Lifecycle {
        Lifecycle::new(Duration::from_secs(self.grace_seconds))
    }
}

/// See [`crate::args::Command::Scheduler`].
#[derive(Debug, Args)]
pub(crate) struct SchedulerCommand {
    #[command(flatten)]
    scheduler: SchedulerConfig,
    #[command(flatten)]
    process: ProcessConfig,
}

/// See [`crate::args::Command::Worker`].
#[derive(Debug, Args)]
pub(crate) struct WorkerCommand {
    #[command(flatten)]
    worker: WorkerConfig,
    #[command(flatten)]
    process: ProcessConfig,
}

/// See [`crate::args::Command::Api`].
#[derive(Debug, Args)]
pub(crate) struct ApiCommand {
    #[command(flatten)]
    api: ApiConfig,
    #[command(flatten)]
    process: ProcessConfig,
}

/// See [`crate::args::Command::Simulator`].
#[derive(Debug, Args)]
pub(crate) struct SimulatorCommand {
    /// Address and port of the simulated platforms.
    #[arg(long, env = "SYNCLINE_LISTEN", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Decides every record; the same seed serves the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// G2A products.
    #[arg(long, default_value_t = G2aConfig::default().products)]
    products: u32,
    /// G2A products besides, which are out of stock.
    #[arg(long, default_value_t = G2aConfig::default().out_of_stock)]
    out_of_stock: u32,
    /// Milliseconds that every answer takes.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    #[command(flatten)]
    log: LogConfig,
}

/// What every role needs.
#[derive(Debug, Args)]
struct ProcessConfig {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    listen: ListenConfig,
    #[command(flatten)]
    grace: GraceConfig,
    #[command(flatten)]
    log: LogConfig,
}

impl ProcessConfig {
    /// Logging, database, signals; refuses a database whose schema is too old.
    async fn begin(&self, application: &str) -> anyhow::Result<(Database, Lifecycle)> {
        telemetry::init(&self.log)?;
        let database = Database::connect(&self.database, application).await?;
        db::check_schema(&database).await?;
        let life = self.grace.lifecycle();
        life.heed_signals().context("signals cannot be received")?;
        Ok((database, life))
    }
}

pub(crate) async fn scheduler(command: SchedulerCommand) -> anyhow::Result<()> {
    let (database, life) = command.process.begin("syncline scheduler").await?;
    health::serve_if_asked(command.process.listen.listen, &database, &life).await?;
    life.spawn(
        "scheduler",
        syncline_scheduler::run(command.scheduler, database, life.clone()),
    );
    life.finished().await
}

pub(crate) async fn worker(command: WorkerCommand) -> anyhow::Result<()> {
    let (database, life) = command.process.begin("syncline worker").await?;
    health::serve_if_asked(command.process.listen.listen, &database, &life).await?;
    life.spawn(
        "worker",
        syncline_worker::run(command.worker, database, life.clone()),
    );
    life.finished().await
}

pub(crate) async fn api(command: ApiCommand) -> anyhow::Result<()> {
    let (database, life) = command.process.begin("syncline api").await?;
    let listener = listen(command.process.listen.listen.unwrap_or(API_LISTEN)).await?;
    tracing::info!("the API listens on http://{}", listener.local_addr()?);
    life.spawn(
        "api",
        syncline_api::run(command.api, database, life.clone(), listener),
    );
    life.finished().await
}

pub(crate) async fn simulator(command: SimulatorCommand) -> anyhow::Result<()> {
    telemetry::init(&command.log)?;
    let life = Lifecycle::new(Duration::from_secs(5));
    life.heed_signals().context("signals cannot be received")?;
    let listener = listen(command.listen).await?;
    tracing::info!("the simulator listens on http://{}", listener.local_addr()?);
    let mut config = SimulatorConfig {
        seed: command.seed,
        ..SimulatorConfig::default()
    };
    config.g2a.products = command.products;
    config.g2a.out_of_stock = command.out_of_stock;
    config.g2a.faults.latency_ms = command.latency_ms;
    let draining = life.draining().clone();
    let simulator =
        syncline_simulator::run(config, listener, async move { draining.cancelled().await });
    // A simulator that ends by itself ends the process.
    let ended = life.clone();
    life.spawn("simulator", async move {
        simulator.await?;
        ended.drain();
        Ok(())
    });
    life.finished().await
}

/// Opens a port; says what to do when it is taken.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "SYNCLINE_LISTEN {address} cannot be opened; choose another by --listen, such as 127.0.0.1:0 for any free port"
        )
    })
}
