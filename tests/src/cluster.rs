//! A cluster of real processes on a database of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tempfile::TempDir;

use crate::process::{end_all, marked};
use crate::secrets::{Secrets, g2a_api_key};
use crate::server::{PrivateDatabase, ServerOfCluster};
use crate::wait::{Look, until};
use crate::{Account, ApiClient, Feed, Pooler, PoolerSettings, Process, Proxy, Simulator, program};

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
    accounts: u32,
    private_postgres: Option<Vec<(String, String)>>,
    through_proxy: bool,
    api_directly: bool,
    pooler: Option<PoolerSettings>,
    variables: Vec<Variable>,
}

/// A variable of all processes of one role.
#[derive(Debug, Clone)]
struct Variable {
    role: String,
    name: String,
    value: String,
}

/// Running processes, their database, and clients of both sides.
#[derive(Debug)]
pub struct Cluster {
    processes: Vec<Process>,
    started: usize,
    schedulers_started: usize,
    environment: Vec<(String, String)>,
    variables: Vec<Variable>,
    secrets: Secrets,
    mark: String,
    url: String,
    proxy: Option<Proxy>,
    pooler: Option<Pooler>,
    /// The API, as an administrator.
    pub api: ApiClient,
    /// The platforms.
    pub simulator: Simulator,
    /// For reading `syncline.runs` and `synced.*`.
    pub pool: PgPool,
    folder: TempDir,
    // Dropped last: whoever is still connected is thrown out.
    server: ServerOfCluster,
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

    /// G2A accounts besides [`Platform`]: those of [`Account::number`] 1, 2, ... Default 0.
    #[must_use]
    pub fn accounts(mut self, accounts: u32) -> Self {
        self.accounts = accounts;
        self
    }

    /// A server of the cluster's own, that the test may stop, restart and fill, with these settings.
    #[must_use]
    pub fn private_postgres(mut self, settings: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.private_postgres = Some(settings.iter().map(owned).collect());
        self
    }

    /// Workers, schedulers and the API reach Postgres through [`Cluster::proxy`]; the test itself and the command line go there
    /// directly.
    #[must_use]
    pub fn through_proxy(mut self) -> Self {
        self.through_proxy = true;
        self
    }

    /// Workers, schedulers and the API reach Postgres through [`Cluster::pooler`], and know that; the test itself and the command
    /// line go there directly.
    #[must_use]
    pub fn through_pooler(mut self, settings: PoolerSettings) -> Self {
        self.pooler = Some(settings);
        self
    }

    /// The API goes to Postgres directly, whatever the others do.
    #[must_use]
    pub fn api_directly(mut self) -> Self {
        self.api_directly = true;
        self
    }

    /// A variable of all processes of a role: `worker`, `scheduler`, `api` or `simulator`.
    #[must_use]
    pub fn variable(mut self, role: &str, name: &str, value: &str) -> Self {
        self.variables.push(Variable {
            role: role.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self
    }

    /// Boots everything and waits until it serves.
    pub async fn start(self) -> Cluster {
        let server =
            ServerOfCluster::start(self.private_postgres.as_deref(), self.empty_database).await;
        let proxy = self.through_proxy.then(|| Proxy::start(server.port()));
        let needs_migration = self.empty_database || self.private_postgres.is_some();
        let mut cluster = Cluster::around(&self, server, proxy);
        if let Some(settings) = &self.pooler {
            cluster.put_behind_pooler(settings.clone()).await;
        }
        if needs_migration {
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
        for _ in 0..self.schedulers {
            cluster.begin_scheduler();
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
        for account in (1..=self.accounts).map(Account::number) {
            let (id, email, secret) = (&account.client_id, &account.email, &account.client_secret);
            cluster.simulator.put_account(id, email, secret).await;
        }
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
            accounts: 0,
            private_postgres: None,
            through_proxy: false,
            api_directly: false,
            pooler: None,
            variables: Vec::new(),
        }
    }

    /// A cluster without processes yet.
    fn around(builder: &ClusterBuilder, server: ServerOfCluster, proxy: Option<Proxy>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("SYNCLINE_TEST_CLUSTER={}-{number}", std::process::id());
        let mut secrets = Secrets::default();
        secrets.add("SYNCLINE_SECRET_KEY", SECRET_KEY);
        secrets.add("SYNCLINE_JWT_SECRET", JWT_SECRET);
        secrets.add("the token of the feed", Feed::TOKEN);
        for account in (0..=builder.accounts).map(Account::number) {
            let (id, email, secret) = (&account.client_id, &account.email, &account.client_secret);
            secrets.add("the API key of G2A", g2a_api_key(id, email, secret));
            secrets.add("the client secret", account.client_secret);
        }
        let url = server.url();
        secrets.add("the database's URL", url.clone());
        let mut variables = builder.variables.clone();
        if let Some(proxy) = &proxy {
            let through = server.url_at(proxy.port());
            secrets.add("the database's URL", through.clone());
            let roles = ["worker", "scheduler", "api"];
            for role in &roles[..if builder.api_directly { 2 } else { 3 }] {
                variables.push(Variable {
                    role: (*role).to_owned(),
                    name: "DATABASE_URL".to_owned(),
                    value: through.clone(),
                });
            }
        }
        let mut environment = vec![
            ("DATABASE_URL".to_owned(), url.clone()),
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
            .connect_lazy(&url)
            .unwrap();
        Self {
            processes: Vec::new(),
            started: 0,
            schedulers_started: 0,
            environment,
            variables,
            secrets,
            mark,
            url,
            proxy,
            pooler: None,
            api: ApiClient::new("http://127.0.0.1:1", None, Secrets::default()),
            simulator: Simulator::new(String::new()),
            pool,
            folder: TempDir::new().unwrap(),
            server,
        }
    }

    async fn put_behind_pooler(&mut self, settings: PoolerSettings) {
        let pooler = Pooler::start(&self.url, settings).await;
        self.secrets.add("the database's URL", pooler.url());
        let mut variables = vec![
            ("DATABASE_URL", pooler.url()),
            ("SYNCLINE_DATABASE_POOLER", "transaction".to_owned()),
        ];
        if pooler.settings().direct_way {
            variables.push(("SYNCLINE_DATABASE_DIRECT_URL", self.url.clone()));
        }
        for role in ["worker", "scheduler", "api"] {
            for (name, value) in &variables {
                self.variables.push(Variable {
                    role: role.to_owned(),
                    name: (*name).to_owned(),
                    value: value.clone(),
                });
            }
        }
        self.pooler = Some(pooler);
    }

    /// The database's own address.
    pub fn database_url(&self) -> &str {
        &self.url
    }

    /// The pooler before the database.
    pub fn pooler(&mut self) -> &mut Pooler {
        let Some(pooler) = &mut self.pooler else {
            panic!("the cluster was built without a pooler");
        };
        pooler
    }

    /// What the processes of the product have written, each with its name.
    pub fn logs(&self) -> Vec<(&str, String)> {
        let all = self.processes.iter();
        all.map(|process| (process.name(), process.log())).collect()
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

    /// Starts a scheduler more, waits until it is up, and answers its name.
    pub async fn start_scheduler(&mut self) -> String {
        let name = self.begin_scheduler();
        self.process(&name).wait_for_log("is up").await;
        name
    }

    /// Starts a worker or scheduler more and answers its name; it may take its time to come up.
    pub fn begin_another(&mut self, role: &str) -> String {
        match role {
            "worker" => self.begin_worker(),
            "scheduler" => self.begin_scheduler(),
            _ => panic!("no more of role {role:?}"),
        }
    }

    fn begin_scheduler(&mut self) -> String {
        self.schedulers_started += 1;
        let name = format!("scheduler-{}", self.schedulers_started);
        self.begin(&name, |command| {
            command.arg("scheduler");
        });
        name
    }

    fn begin(&mut self, name: &str, arguments: impl FnOnce(&mut Command)) {
        let mut command = self.command();
        let role = name.split('-').next().unwrap_or(name);
        for variable in self.variables.iter().filter(|of| of.role == role) {
            command.env(&variable.name, &variable.value);
        }
        arguments(&mut command);
        self.processes
            .push(Process::start(name, command, self.folder.path()));
    }

    /// The network between the processes and Postgres.
    pub fn proxy(&self) -> &Proxy {
        let Some(proxy) = &self.proxy else {
            panic!("the cluster was built without a proxy");
        };
        proxy
    }

    /// The server of the cluster's own.
    pub fn postgres(&mut self) -> &mut PrivateDatabase {
        self.server.private()
    }

    /// A connection of the test's own to the database, past the proxy and past settings of role and database.
    pub async fn connect_to_database(&self) -> PgConnection {
        self.try_connect_to_database().await.unwrap()
    }

    /// The same; the error says why there is none.
    pub async fn try_connect_to_database(&self) -> sqlx::Result<PgConnection> {
        let options = PgConnectOptions::from_str(&self.url)?.options([
            ("statement_timeout", "0"),
            ("default_transaction_read_only", "off"),
        ]);
        PgConnection::connect_with(&options).await
    }

    /// Names of the processes of a role that the test has not ended.
    pub fn living(&self, role: &str) -> Vec<String> {
        let is_one = |process: &&Process| {
            process.name().split('-').next() == Some(role) && !process.is_ended()
        };
        let found = self.processes.iter().filter(is_one);
        found.map(|process| process.name().to_owned()).collect()
    }

    /// Waits until some process of a role has logged the words: a fault that nobody felt proves nothing.
    pub async fn wait_for_log_of_any(&self, role: &str, words: &str) {
        let of_role = |process: &&Process| process.name().split('-').next() == Some(role);
        until(&format!("any {role} to log {words:?}"), async || {
            let mut processes = self.processes.iter().filter(of_role);
            let found = processes.any(|process| process.log().contains(words));
            Look::is(found, "none has")
        })
        .await;
    }

    /// What is wrong with the processes so far: those that ended by themselves or panicked, and secrets in logs.
    pub fn problems(&mut self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .processes
            .iter_mut()
            .flat_map(Process::problems)
            .collect();
        for process in &self.processes {
            for secret in self.secrets.found_in(&process.log()) {
                problems.push(format!("the log of {} gives away {secret}", process.name()));
            }
        }
        problems
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

    /// Makes a G2A connection of an existing business through an account of its own, without a limit that matters. Answers the
    /// connection's id.
    pub async fn connect_account(&self, key: &str, business: &str, account: &Account) -> String {
        let limits = json!({"requests": {"limit": 100_000, "per_seconds": 1}});
        let mut connection = self.connection(key, business, &limits);
        connection["config"] = json!({
            "client_id": account.client_id,
            "email": account.email,
            "client_secret": account.client_secret,
        });
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
        let mut problems = self.problems();
        for process in &mut self.processes {
            process.bury();
        }
        let leftovers = marked(&self.mark);
        for (pid, command) in &leftovers {
            problems.push(format!("process {pid} was left behind: {command}"));
        }
        end_all(&leftovers);
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
            if let Some(pooler) = &self.pooler {
                eprintln!("--- log of the pooler\n{}", pooler.log());
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
