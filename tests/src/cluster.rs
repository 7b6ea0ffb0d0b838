//! A cluster of real processes on a database of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use syncline_postgres::testing::{self, TestDatabase};
use tempfile::TempDir;

use crate::process::{end_all, marked};
use crate::secrets::{Secrets, g2a_api_key};
use crate::{ApiClient, Feed, Process, Simulator, program};

/// Encrypts credentials of test clusters.
const SECRET_KEY: &str = "a-key-of-tests-that-seals-credentials-0001";
const JWT_SECRET: &str = "a-key-of-tests-that-signs-sessions-00001";

/// The account through which tests sync G2A.
#[derive(Debug, Clone, Copy)]
pub struct Platform;

impl Platform {
    /// Client id.
    pub const CLIENT_ID: &str = "tests-client";
    /// E-mail address.
    pub const EMAIL: &str = "tests@example.com";
    /// Client secret: must appear nowhere.
    pub const CLIENT_SECRET: &str = "tests-client-secret-5b1f9c";
}

/// What a cluster is made of.
#[derive(Debug)]
pub struct ClusterBuilder {
    workers: usize,
    slots: u16,
    schedulers: usize,
    lease_seconds: u32,
    products: u32,
    out_of_stock: u32,
    empty_database: bool,
    connectors: PathBuf,
    allow_hosts: String,
}

/// Running processes, their database, and clients of both sides.
#[derive(Debug)]
pub struct Cluster {
    processes: Vec<Process>,
    started: usize,
    environment: Vec<(String, String)>,
    secrets: Secrets,
    mark: String,
    /// The API, as an administrator.
    pub api: ApiClient,
    /// The platforms.
    pub simulator: Simulator,
    /// For reading `syncline.runs` and `synced.*`.
    pub pool: PgPool,
    folder: TempDir,
    // Dropped last: whoever is still connected is thrown out.
    _database: TestDatabase,
}

impl ClusterBuilder {
    /// Workers: worker-1, worker-2, ... Default 1.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Runs that a worker executes at once. Default 8.
    #[must_use]
    pub fn slots(mut self, slots: u16) -> Self {
        self.slots = slots;
        self
    }

    /// Schedulers: scheduler-1, ... Default 1.
    #[must_use]
    pub fn schedulers(mut self, schedulers: usize) -> Self {
        self.schedulers = schedulers;
        self
    }

    /// How long a lease lasts. Default 3 s, so that a rescue is seen within seconds.
    #[must_use]
    pub fn lease_seconds(mut self, seconds: u32) -> Self {
        self.lease_seconds = seconds;
        self
    }

    /// Products in stock at the simulator, 20 a page. Default 400.
    #[must_use]
    pub fn products(mut self, products: u32) -> Self {
        self.products = products;
        self
    }

    /// Products besides that are out of stock.
    #[must_use]
    pub fn out_of_stock(mut self, products: u32) -> Self {
        self.out_of_stock = products;
        self
    }

    /// Begins with a database without any table, migrated by `syncline migrate`, not with a clone of a migrated template.
    #[must_use]
    pub fn empty_database(mut self) -> Self {
        self.empty_database = true;
        self
    }

    /// A folder of manifests in place of the shipped one.
    #[must_use]
    pub fn connectors(mut self, folder: impl Into<PathBuf>) -> Self {
        self.connectors = folder.into();
        self
    }

    /// Private targets that connectors may call. Default 127.0.0.1.
    #[must_use]
    pub fn allow_hosts(mut self, hosts: &str) -> Self {
        hosts.clone_into(&mut self.allow_hosts);
        self
    }

    /// Boots everything and waits until it serves.
    pub async fn start(self) -> Cluster {
        let database = if self.empty_database {
            testing::empty_database().await
        } else {
            testing::database(&program::checkout().join("migrations")).await
        };
        let database = database.unwrap();
        let mut cluster = Cluster::around(&self, database);
        if self.empty_database {
            let migrated = cluster.run(&["migrate"]);
            assert!(migrated.status.success(), "{migrated:?}");
        }
        let token = cluster.run(&["token", "create", "tests", "--role", "admin"]);
        let token_text = String::from_utf8_lossy(&token.stdout).trim().to_owned();
        assert!(
            token.status.success() && token_text.starts_with("syn_"),
            "{token:?}"
        );
        cluster.secrets.add("the API token", token_text.clone());

        cluster.begin("simulator", |command| {
            command.args(["simulator", "--listen", "127.0.0.1:0"]);
            command.args(["--products", &self.products.to_string()]);
            command.args(["--out-of-stock", &self.out_of_stock.to_string()]);
        });
        cluster.begin("api", |command| {
            command.args(["api", "--listen", "127.0.0.1:0"]);
        });
        for number in 1..=self.schedulers {
            cluster.begin(&format!("scheduler-{number}"), |command| {
                command.arg("scheduler");
            });
        }
        for _ in 0..self.workers {
            cluster.begin_worker();
        }
        let simulator = cluster
            .process("simulator")
            .wait_for_log("the simulator listens on ")
            .await;
        cluster.simulator = Simulator::new(simulator.trim().to_owned());
        let api = cluster
            .process("api")
            .wait_for_log("the API listens on ")
            .await;
        cluster.api = ApiClient::new(api.trim(), Some(token_text), cluster.secrets.clone());
        for number in 1..=self.schedulers {
            cluster
                .process(&format!("scheduler-{number}"))
                .wait_for_log("is up")
                .await;
        }
        for number in 1..=self.workers {
            cluster
                .process(&format!("worker-{number}"))
                .wait_for_log("is up")
                .await;
        }
        cluster
            .simulator
            .put_account(
                Platform::CLIENT_ID,
                Platform::EMAIL,
                Platform::CLIENT_SECRET,
            )
            .await;
        cluster
    }
}

impl Cluster {
    /// A builder with one worker, one scheduler, the API, and a simulator with 400 products.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            workers: 1,
            slots: 8,
            schedulers: 1,
            lease_seconds: 3,
            products: 400,
            out_of_stock: 0,
            empty_database: false,
            connectors: program::connectors(),
            allow_hosts: "127.0.0.1".to_owned(),
        }
    }

    /// A cluster without processes yet.
    fn around(builder: &ClusterBuilder, database: TestDatabase) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("SYNCLINE_TEST_CLUSTER={}-{number}", std::process::id());
        let mut secrets = Secrets::default();
        secrets.add("SYNCLINE_SECRET_KEY", SECRET_KEY);
        secrets.add("SYNCLINE_JWT_SECRET", JWT_SECRET);
        secrets.add("the client secret", Platform::CLIENT_SECRET);
        secrets.add("the token of the feed", Feed::TOKEN);
        let key = g2a_api_key(
            Platform::CLIENT_ID,
            Platform::EMAIL,
            Platform::CLIENT_SECRET,
        );
        secrets.add("the API key of G2A", key);
        secrets.add("the database's URL", database.url());
        let mut environment = vec![
            ("DATABASE_URL".to_owned(), database.url()),
            ("SYNCLINE_SECRET_KEY".to_owned(), SECRET_KEY.to_owned()),
            ("SYNCLINE_JWT_SECRET".to_owned(), JWT_SECRET.to_owned()),
            (
                "SYNCLINE_ALLOW_HOSTS".to_owned(),
                builder.allow_hosts.clone(),
            ),
            (
                "SYNCLINE_WORKER_SLOTS".to_owned(),
                builder.slots.to_string(),
            ),
            (
                "SYNCLINE_LEASE_SECONDS".to_owned(),
                builder.lease_seconds.to_string(),
            ),
            (
                "SYNCLINE_CONNECTORS_DIR".to_owned(),
                builder.connectors.display().to_string(),
            ),
        ];
        let (name, value) = mark.split_once('=').unwrap();
        environment.push((name.to_owned(), value.to_owned()));
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&database.url())
            .unwrap();
        Self {
            processes: Vec::new(),
            started: 0,
            environment,
            secrets,
            mark,
            api: ApiClient::new("http://127.0.0.1:1", None, Secrets::default()),
            simulator: Simulator::new(String::new()),
            pool,
            folder: TempDir::new().unwrap(),
            _database: database,
        }
    }

    /// The folder of logs and of files for the command line.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The words that nothing may give away.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The command line of the program, in the cluster's environment.
    pub fn command(&self) -> Command {
        let mut command = bare_command();
        command
            .current_dir(self.folder())
            .envs(self.environment.iter().cloned());
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command().args(arguments).output().unwrap();
        let what = format!("syncline {}", arguments.join(" "));
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        self.secrets.refuse(&what, &shown);
        assert!(!shown.contains("panicked at"), "{what}: {shown}");
        output
    }

    /// Starts a worker more, waits until it is up, and answers its name.
    pub async fn start_worker(&mut self) -> String {
        let name = self.begin_worker();
        self.process(&name).wait_for_log("is up").await;
        name
    }

    fn begin_worker(&mut self) -> String {
        self.started += 1;
        let name = format!("worker-{}", self.started);
        self.begin(&name, |command| {
            command.arg("worker");
        });
        name
    }

    fn begin(&mut self, name: &str, arguments: impl FnOnce(&mut Command)) {
        let mut command = self.command();
        arguments(&mut command);
        self.processes
            .push(Process::start(name, command, self.folder.path()));
    }

    /// A process by its name.
    pub fn process(&mut self, name: &str) -> &mut Process {
        let found = self
            .processes
            .iter_mut()
            .find(|process| process.name() == name);
        found.unwrap_or_else(|| panic!("there is no process {name}"))
    }

    /// The name of the process that calls itself `host:pid`.
    pub fn name_of(&self, host_and_pid: &str) -> String {
        let pid = host_and_pid
            .rsplit(':')
            .next()
            .and_then(|pid| pid.parse().ok());
        let found = self
            .processes
            .iter()
            .find(|process| Some(process.id()) == pid);
        found
            .unwrap_or_else(|| panic!("{host_and_pid} is no process of this cluster"))
            .name()
            .to_owned()
    }

    /// The worker of a run's latest attempt, and all the other workers that run.
    pub fn worker_of(&mut self, run: &Value) -> (String, Vec<String>) {
        let attempts = run["attempts"].as_array().unwrap();
        let latest = attempts
            .last()
            .unwrap_or_else(|| panic!("no attempt: {run}"));
        let name = self.name_of(latest["process"].as_str().unwrap());
        let mut others = Vec::new();
        for process in &mut self.processes {
            let is_worker = process.name().starts_with("worker-");
            if is_worker && process.name() != name && process.is_running() {
                others.push(process.name().to_owned());
            }
        }
        (name, others)
    }

    /// Makes a business and a G2A connection of it, with a budget so large that it never matters. Answers the connection's id.
    pub async fn connect(&self, key: &str) -> String {
        self.connect_with(
            key,
            json!({"requests": {"limit": 100_000, "per_seconds": 1}}),
        )
        .await
    }

    /// The same with these limits.
    pub async fn connect_with(&self, key: &str, limits: Value) -> String {
        let business = format!("{key}-business");
        self.api
            .post("/businesses", json!({"key": business, "name": key}))
            .await
            .expect(201);
        let connection = self.connection(key, &business, &limits);
        let made = self.api.post("/connections", connection).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    /// A G2A connection as the API takes it.
    pub fn connection(&self, key: &str, business: &str, limits: &Value) -> Value {
        json!({
            "key": key,
            "business": business,
            "platform": "g2a",
            "config": {
                "client_id": Platform::CLIENT_ID,
                "email": Platform::EMAIL,
                "client_secret": Platform::CLIENT_SECRET,
            },
            "base_url": self.simulator.base_url(),
            "limits": limits,
        })
    }

    /// Writes a file for the command line; answers its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn bury(&mut self) -> Vec<String> {
        let mut problems: Vec<String> = self.processes.iter_mut().flat_map(Process::bury).collect();
        let leftovers = marked(&self.mark);
        for (pid, command) in &leftovers {
            problems.push(format!("process {pid} was left behind: {command}"));
        }
        end_all(&leftovers);
        for process in &self.processes {
            for secret in self.secrets.found_in(&process.log()) {
                problems.push(format!("the log of {} gives away {secret}", process.name()));
            }
        }
        problems
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let problems = self.bury();
        if std::thread::panicking() || !problems.is_empty() {
            for process in &self.processes {
                eprintln!("--- log of {}", process.name());
                // The looks of the tests themselves would hide the rest.
                for line in process
                    .log()
                    .lines()
                    .filter(|line| !line.contains(": GET /api/"))
                {
                    eprintln!("{line}");
                }
            }
            for problem in &problems {
                eprintln!("--- {problem}");
            }
        }
        assert!(
            std::thread::panicking() || problems.is_empty(),
            "{}",
            problems.join("; ")
        );
    }
}

/// The program with an environment that holds none of this process's settings.
pub fn bare_command() -> Command {
    let mut command = Command::new(program::binary());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let postgres = name == "SYNCLINE_POSTGRES_BIN";
        if (name.starts_with("SYNCLINE_") && !postgres) || name.starts_with("DATABASE_") {
            command.env_remove(name);
        }
    }
    command
}
