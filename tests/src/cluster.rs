//! A cluster of real processes on a database of its own.

mod builder;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::str::FromStr;

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tempfile::TempDir;

pub use self::builder::ClusterBuilder;
use crate::process::{end_all, marked};
use crate::secrets::Secrets;
use crate::server::{PrivateDatabase, ServerOfCluster};
use crate::wait::{Look, until};
use crate::{Account, ApiClient, Pooler, Process, Proxy, Simulator, program};

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

impl Cluster {
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
        let number = name.rsplit('-').next().unwrap_or(name);
        for variable in self.variables.iter().filter(|of| of.role == role) {
            command.env(&variable.name, variable.value.replace("{number}", number));
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
