//! `syncline bench sync`: what a whole sync costs beyond fetching its pages.
//!
//! A simulator and a worker run as processes of their own on a fresh embedded Postgres (durable, `synchronous_commit` on).
//! In turn, a bare client fetches and parses all pages one after the other over one connection, and the worker syncs the same
//! pages into an empty part of the table: claim, permits, checkpoints, COPY and merge, completion. Budgets are lifted, the
//! simulator takes its time for each page.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use secrecy::SecretString;
use serde_json::Value;
use syncline_postgres::{Embedded, EmbeddedConfig, StopMode};
use syncline_shared::config::{ConnectorsConfig, DatabaseConfig, SecretConfig};
use syncline_shared::db;
use syncline_shared::db::Database;
use syncline_shared::db::batch::{self, NewBatch};
use syncline_shared::db::connection;
use syncline_shared::db::history::find_run;
use syncline_shared::db::run::{self, NewRun, RunTarget};
use syncline_shared::ids::RunId;
use syncline_shared::run::{PRIORITY_MANUAL, RunKind, RunOrigin, RunStatus, SYNC_QUEUE};
use syncline_simulator::G2aAccount;
use tokio::process::{Child, Command};

use super::{Output, Report, machine, median, rounded};
use crate::dev::set_up_connection;

pub(super) const PAGE_SIZE: u32 = 20;
/// Longer than any sync here can take; only a fault reaches it.
const PATIENCE: Duration = Duration::from_mins(10);
pub(super) const SECRET_KEY: &str = "only for the benchmark, which throws it away";

/// See [`super::Bench::Sync`].
#[derive(Debug, Args)]
pub(super) struct SyncBench {
    /// Pages to sync.
    #[arg(long, default_value_t = 771, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pages: u32,
    /// Milliseconds that the simulator takes for each page.
    #[arg(long, default_value_t = 20)]
    latency_ms: u64,
    /// How often each side is measured; the medians count.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    connectors: ConnectorsConfig,
    #[command(flatten)]
    output: Output,
}

impl SyncBench {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir().context("no temporary folder could be made")?;
        let postgres = Embedded::start(EmbeddedConfig::new(folder.path().join("postgres"))).await?;
        let result = self.run_on(&postgres).await;
        postgres.stop(StopMode::Fast).await?;
        result?.print(&self.output)
    }

    async fn run_on(&self, postgres: &Embedded) -> anyhow::Result<Report> {
        postgres.ensure_database("bench").await?;
        let database = DatabaseConfig::direct(postgres.url("bench"), 4);
        let database = Database::connect(&database, "syncline bench").await?;
        db::migrate(&database).await?;
        let mut processes = Processes::start(
            self.pages,
            self.latency_ms,
            1,
            &self.connectors,
            &postgres.url("bench"),
        )
        .await?;
        let result = self.measure(&database, &processes).await;
        processes.stop().await;
        database.close().await;
        result
    }

    async fn measure(&self, database: &Database, processes: &Processes) -> anyhow::Result<Report> {
        let secret = SecretConfig {
            secret_key: SecretString::from(SECRET_KEY),
        };
        let records = u64::from(self.pages * PAGE_SIZE);
        let (mut bare, mut full, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let fetched = bare_client(&processes.simulator_url, records).await?;
            // A connection of its own: every round inserts all its rows.
            let key = format!("bench-{round}");
            set_up_connection(
                database,
                &secret,
                &self.connectors,
                "bench",
                &key,
                &processes.simulator_url,
            )
            .await?;
            let synced = sync(database, &key, records).await?;
            ratios.push(synced / fetched);
            bare.push(fetched);
            full.push(synced);
        }
        let mut report = Report::new("sync", machine::describe(database).await);
        report.ratio("fetch_overhead", median(ratios.clone()));
        report.figure("pages", self.pages);
        report.figure("records", records);
        report.figure("latency_ms", self.latency_ms);
        report.figure("bare_seconds", rounded(median(bare)));
        report.figure("sync_seconds", rounded(median(full)));
        report.figure(
            "rounds",
            ratios.into_iter().map(rounded).collect::<Vec<_>>(),
        );
        if let Some(pid) = processes.worker.id() {
            report.figure("worker_peak_memory_mib", machine::peak_memory_mib(pid));
            report.figure(
                "worker_cpu_seconds_a_sync",
                machine::cpu_seconds(pid).map(|seconds| rounded(seconds / f64::from(self.rounds))),
            );
        }
        Ok(report)
    }
}

/// The processes under measurement. They are killed when this is dropped.
pub(super) struct Processes {
    simulator: Child,
    pub(super) simulator_url: String,
    worker: Child,
}

impl Processes {
    pub(super) async fn start(
        pages: u32,
        latency_ms: u64,
        slots: usize,
        connectors: &ConnectorsConfig,
        database_url: &str,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let address = free_address()?;
        let simulator_url = format!("http://{address}");
        let mut simulator = quiet(&program);
        simulator.args(["simulator", "--listen", &address.to_string()]);
        simulator.args(["--latency-ms", &latency_ms.to_string()]);
        simulator.args(["--products", &(pages * PAGE_SIZE).to_string()]);
        let mut worker = quiet(&program);
        worker
            .args(["worker", "--slots", &slots.to_string()])
            .args(["--allow-hosts", "127.0.0.1"])
            .arg("--connectors-dir")
            .arg(&connectors.connectors_dir)
            .env("DATABASE_URL", database_url)
            .env("SYNCLINE_SECRET_KEY", SECRET_KEY);
        let processes = Self {
            simulator: simulator.spawn()?,
            simulator_url,
            worker: worker.spawn()?,
        };
        processes.wait_until_up().await?;
        Ok(processes)
    }

    async fn wait_until_up(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let client = http_client()?;
        let url = format!("{}/healthz", self.simulator_url);
        while client.get(&url).send().await.is_err() {
            ensure!(began.elapsed() < PATIENCE, "the simulator did not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub(super) async fn stop(&mut self) {
        // They hold nothing worth keeping.
        self.worker.kill().await.ok();
        self.simulator.kill().await.ok();
    }
}

fn quiet(program: &PathBuf) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .env("SYNCLINE_LOG_FILTER", "warn")
        .env_remove("SYNCLINE_LISTEN")
        .env_remove("SYNCLINE_LOG_FILE")
        .kill_on_drop(true);
    command
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn http_client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// Fetches and parses every page, one after the other. Answers how long that took, in seconds.
async fn bare_client(simulator_url: &str, records: u64) -> anyhow::Result<f64> {
    let client = http_client()?;
    let account = G2aAccount::sandbox();
    let authorization = format!("{}, {}", account.client_id, account.api_key());
    let began = Instant::now();
    let mut seen = 0_u64;
    for page in 1_u32.. {
        let url = format!("{simulator_url}/g2a/v1/products?page={page}&includeOutOfStock=true");
        let answer = client
            .get(url)
            .header("Authorization", &authorization)
            .send()
            .await?;
        let body = answer.error_for_status()?.bytes().await?;
        let parsed: Value = serde_json::from_slice(&body)?;
        let docs = parsed
            .get("docs")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        seen += u64::try_from(docs)?;
        if docs < usize::try_from(PAGE_SIZE)? || seen >= records {
            break;
        }
    }
    ensure!(
        seen == records,
        "the bare client saw {seen} records instead of {records}"
    );
    Ok(began.elapsed().as_secs_f64())
}

/// Has the worker sync a connection. Answers how long that took from enqueueing to the end, in seconds.
pub(super) async fn sync(database: &Database, key: &str, records: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let id = enqueue(database, key).await?;
    db::notify::send(database, db::notify::RUN_QUEUED).await?;
    while began.elapsed() < PATIENCE {
        if let Some(inserted) = ended(database, id).await? {
            let seconds = began.elapsed().as_secs_f64();
            ensure!(
                inserted == records,
                "the sync inserted {inserted} records instead of {records}"
            );
            return Ok(seconds);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("the sync did not end within {} s", PATIENCE.as_secs())
}

/// Enqueues a full run of a connection.
async fn enqueue(database: &Database, key: &str) -> anyhow::Result<RunId> {
    let mut db = database.begin().await?;
    let connection = connection::find(&mut db, key)
        .await?
        .context("the connection is gone")?;
    let batch = NewBatch {
        runs: 1,
        ..NewBatch::of_runs("syncline bench")
    };
    let run = NewRun {
        queue: SYNC_QUEUE,
        batch_id: batch::create(&mut db, &batch).await?,
        schedule_id: None,
        origin: RunOrigin::Manual,
        requested_by: Some("syncline bench"),
        kind: RunKind::Full,
        streams: None,
        page: None,
        priority: PRIORITY_MANUAL,
        delay: Duration::ZERO,
        range: None,
        time_limit_seconds: None,
    };
    let target = RunTarget {
        connection_id: connection.id,
        business_id: connection.business_id,
        platform: connection.platform,
        retry_of: None,
        delay: Duration::ZERO,
    };
    let enqueued = run::enqueue(&mut db, &run, &[target]).await?;
    db.commit().await?;
    Ok(enqueued.first().context("nothing was enqueued")?.id)
}

async fn ended(database: &Database, id: RunId) -> anyhow::Result<Option<u64>> {
    let mut db = database.session().await?;
    let run = find_run(&mut db, id).await?.context("the run is gone")?;
    match run.status {
        RunStatus::Succeeded => Ok(Some(run.progress.total().inserted)),
        status if status.is_terminal() => {
            let error = run
                .last_error
                .map(|error| error.0.message)
                .unwrap_or_default();
            bail!("the sync ended as {status}: {error}")
        }
        _ => Ok(None),
    }
}
