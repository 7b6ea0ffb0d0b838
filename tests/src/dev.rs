//! `syncline dev` as a person starts it: one process, a folder, and what it prints.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::cluster::bare_command;
use crate::process::{Process, end_all, marked};
use crate::secrets::Secrets;
use crate::{ApiClient, Simulator, program};

/// A running `syncline dev`, or one that has ended. Nothing of it outlives the value but its folder.
#[derive(Debug)]
pub struct Dev {
    /// The process.
    pub process: Process,
    /// What it printed.
    pub greeting: Greeting,
    folder: PathBuf,
    mark: String,
}

/// What a start prints.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Address of page and API.
    pub web: String,
    /// Name to sign in with.
    pub user: String,
    /// Its password.
    pub password: String,
    /// API token.
    pub token: String,
    /// The database's URL.
    pub database: String,
    /// Address of the simulator.
    pub simulator: String,
}

impl Greeting {
    fn read(log: &str) -> Self {
        let line = |label: &str| {
            let found = log.lines().find_map(|line| line.trim().strip_prefix(label));
            found
                .unwrap_or_else(|| panic!("no {label:?} in:\n{log}"))
                .trim()
                .to_owned()
        };
        let sign_in = line("sign in");
        let (user, password) = sign_in.split_once(" / ").unwrap();
        Self {
            web: line("web page"),
            user: user.to_owned(),
            password: password.to_owned(),
            token: line("API token"),
            database: line("database"),
            simulator: line("simulator"),
        }
    }
}

impl Dev {
    /// Starts it on a data folder, with logs in another one, and waits until it has greeted.
    pub async fn start(data: &Path, logs: &Path, name: &str) -> Self {
        let mark = format!(
            "SYNCLINE_TEST_CLUSTER={}-{}",
            std::process::id(),
            data.display()
        );
        let mut command = bare_command();
        command
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data);
        // Leases end soon, so that a test of a crash need not wait for half a minute.
        command.env("SYNCLINE_LEASE_SECONDS", "3");
        command
            .env("SYNCLINE_CONNECTORS_DIR", program::connectors())
            .current_dir(logs);
        let (variable, value) = mark.split_once('=').unwrap();
        command.env(variable, value);
        let mut process = Process::start(name, command, logs);
        process.wait_for_log("Ctrl-C stops everything").await;
        let greeting = Greeting::read(&process.log());
        Self {
            process,
            greeting,
            folder: data.to_owned(),
            mark,
        }
    }

    /// The API with the printed token.
    pub fn api(&self) -> ApiClient {
        let mut secrets = Secrets::default();
        secrets.add(
            "the administrator's password",
            self.greeting.password.clone(),
        );
        secrets.add("the API token", self.greeting.token.clone());
        ApiClient::new(
            self.greeting.web.clone(),
            Some(self.greeting.token.clone()),
            secrets,
        )
    }

    /// The simulator.
    pub fn simulator(&self) -> Simulator {
        Simulator::new(self.greeting.simulator.clone())
    }

    /// The database.
    pub fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&self.greeting.database)
            .unwrap()
    }

    /// Where Postgres' folder is; elsewhere, if it is a link.
    pub fn postgres_folder(&self) -> PathBuf {
        self.folder.join("postgres").canonicalize().unwrap()
    }

    /// The server's process id, while there is one.
    pub fn postgres_pid(&self) -> Option<i32> {
        let file = fs::read_to_string(self.folder.join("postgres/data/postmaster.pid")).ok()?;
        let pid: i32 = file.lines().next()?.trim().parse().ok()?;
        kill(Pid::from_raw(pid), None).ok().map(|()| pid)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let problems = self.process.problems();
        self.process.bury();
        // Between a kill -9 and the next start Postgres goes on; only a test that failed leaves it for good.
        if std::thread::panicking() {
            if let Some(pid) = self.postgres_pid() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
            }
            if let Ok(elsewhere) = self.folder.join("postgres").canonicalize() {
                let _ = fs::remove_dir_all(elsewhere);
            }
        }
        let own = |(_, command): &(i32, String)| !command.contains("postgres");
        let leftovers: Vec<_> = marked(&self.mark).into_iter().filter(own).collect();
        end_all(&leftovers);
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.process.name(), self.process.log());
            return;
        }
        assert!(problems.is_empty(), "{}", problems.join("; "));
        assert!(leftovers.is_empty(), "left behind: {leftovers:?}");
    }
}
