//! `syncline dev`: every role in one process, on an embedded Postgres, with a demo to watch.
//!
//! Everything lives in one folder (`./.syncline`): the database, the secrets, the log. A second start goes on where the first
//! ended. The end is orderly: the roles drain first, Postgres stops last.

mod client;
mod demo;
mod folder;
mod progress;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use syncline_api::auth::PasswordHasher;
use syncline_api::{ApiConfig, SessionConfig};
use syncline_postgres::{Embedded, EmbeddedConfig, StopMode};
use syncline_scheduler::SchedulerConfig;
use syncline_shared::config::{
    ConnectorsConfig, DatabaseConfig, LeaseConfig, LogConfig, SecretConfig,
};
use syncline_shared::db::Database;
use syncline_shared::db::access::{self, Role};
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::{db, telemetry};
use syncline_simulator::SimulatorConfig;
use syncline_worker::WorkerConfig;
use tokio::net::TcpListener;

pub(crate) use client::{ClientDatabase, ClientSecret};
pub(crate) use demo::set_up_connection;

use crate::roles::{API_LISTEN, GraceConfig, listen};
use folder::{DevFolder, Secrets};

/// Name of the database, of the administrator and of the token.
const DATABASE: &str = "syncline";
const ADMIN: &str = "admin";
const TOKEN: &str = "dev";
/// Connections: the roles share one database.
const CONNECTIONS: u32 = 40;
/// The demo's simulator answers as a platform on the internet would.
const SIMULATED_LATENCY_MS: u64 = 20;
/// What connectors may call besides public addresses: this machine.
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// See [`crate::args::Command::Dev`].
#[derive(Debug, Args)]
pub(crate) struct DevCommand {
    /// Folder of the database, secrets and log.
    #[arg(long, env = "SYNCLINE_DATA_DIR", default_value = ".syncline")]
    data_dir: PathBuf,
    /// Address and port of the web page and the API.
    #[arg(long, env = "SYNCLINE_LISTEN", default_value_t = API_LISTEN)]
    listen: SocketAddr,
    /// Private targets that connectors may call, besides this machine: addresses, CIDR blocks, host names.
    #[arg(long, env = "SYNCLINE_ALLOW_HOSTS", default_value = "")]
    allow_hosts: String,
    /// Runs that are executed at once.
    #[arg(long, env = "SYNCLINE_WORKER_SLOTS", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    slots: u16,
    /// Do not create the demo business.
    #[arg(long)]
    no_demo: bool,
    #[command(flatten)]
    connectors: ConnectorsConfig,
    #[command(flatten)]
    lease: LeaseConfig,
    #[command(flatten)]
    grace: GraceConfig,
    #[command(flatten)]
    log: LogConfig,
}

pub(crate) async fn run(mut command: DevCommand) -> anyhow::Result<()> {
    let folder = DevFolder::open(&command.data_dir)?;
    // On a terminal the live lines have the screen, and the log has a file.
    if command.log.file.is_none() && std::io::stderr().is_terminal() {
        command.log.file = Some(folder.log_file());
    }
    telemetry::init(&command.log)?;
    let life = command.grace.lifecycle();
    life.heed_signals().context("signals cannot be received")?;
    // Before anything is started: a taken port leaves nothing behind.
    let api_listener = listen(command.listen).await?;

    progress::say("starting Postgres …");
    let postgres = Embedded::start(EmbeddedConfig::new(folder.postgres())).await?;
    let result = run_on(&command, &folder, &postgres, api_listener, &life).await;
    progress::say("stopping Postgres …");
    let stopped = postgres.stop(StopMode::Fast).await;
    result?;
    stopped.context("Postgres did not stop in an orderly way")?;
    progress::say("stopped; start again to go on");
    Ok(())
}

async fn run_on(
    command: &DevCommand,
    folder: &DevFolder,
    postgres: &Embedded,
    api_listener: TcpListener,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    postgres.ensure_database(DATABASE).await?;
    let database_url = postgres.url(DATABASE);
    let database = DatabaseConfig::direct(database_url.clone(), CONNECTIONS);
    let database = Database::connect(&database, "syncline dev").await?;
    db::migrate(&database).await?;
    let secrets = folder.secrets(&database_url)?;
    save_access(&database, &secrets).await?;

    let simulator = folder.simulator_listener().await?;
    let simulator_url = format!("http://{}", simulator.local_addr()?);
    let mut simulated = SimulatorConfig::default();
    simulated.g2a.faults.latency_ms = SIMULATED_LATENCY_MS;
    let draining = life.draining().clone();
    life.spawn("simulator", async move {
        syncline_simulator::run(
            simulated,
            simulator,
            async move { draining.cancelled().await },
        )
        .await
    });

    let secret = SecretConfig {
        secret_key: secrets.secret_key(),
    };
    if !command.no_demo {
        demo::set_up(&database, &secret, &command.connectors, &simulator_url).await?;
    }
    let web = format!("http://{}", api_listener.local_addr()?);
    start_roles(command, &database, &secret, &secrets, api_listener, life)?;
    life.spawn("progress", progress::show(database.clone(), life.clone()));
    progress::greet(&progress::Greeting {
        web,
        user: ADMIN,
        password: secrets.admin_password(),
        token: secrets.token(),
        database: &database_url,
        simulator: &simulator_url,
        log: command.log.file.as_deref(),
    });
    let finished = life.finished().await;
    database.close().await;
    finished
}

fn start_roles(
    command: &DevCommand,
    database: &Database,
    secret: &SecretConfig,
    secrets: &Secrets,
    api_listener: TcpListener,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    let scheduler = SchedulerConfig::new(command.lease.clone());
    let worker = WorkerConfig {
        limit_patience_ms: 2_000,
        slots: command.slots,
        stall_seconds: 600,
        time_slice_seconds: 60,
        platform_share: 50,
        allow_hosts: [LOOPBACK, &command.allow_hosts]
            .join(",")
            .trim_end_matches(',')
            .to_owned(),
        connectors: command.connectors.clone(),
        secret: secret.clone(),
        lease: command.lease.clone(),
    };
    // Told before the roles are under way.
    worker.address_policy()?;
    let api = ApiConfig {
        connectors: command.connectors.clone(),
        secret: secret.clone(),
        sessions: SessionConfig {
            jwt_secret: secrets.jwt_secret(),
        },
        lease: command.lease.clone(),
    };
    life.spawn(
        "scheduler",
        syncline_scheduler::run(scheduler, database.clone(), life.child()),
    );
    life.spawn(
        "worker",
        syncline_worker::run(worker, database.clone(), life.child()),
    );
    life.spawn(
        "api",
        syncline_api::run(api, database.clone(), life.child(), api_listener),
    );
    Ok(())
}

/// Makes the administrator and the token that this folder's secrets say.
async fn save_access(database: &Database, secrets: &Secrets) -> anyhow::Result<()> {
    let mut db = database.session().await?;
    let hash = PasswordHasher::hash(secrets.admin_password())?;
    access::save_user(&mut db, ADMIN, &hash, Role::Admin).await?;
    access::save_token(&mut db, TOKEN, Role::Admin, &secrets.token_hash(), None).await?;
    db.end().await?;
    Ok(())
}
