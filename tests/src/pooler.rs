//! A pooler before Postgres: `PgBouncer` on a port of its own, for one cluster.
//!
//! It shares few servers among many clients and hands them out in turn, so that hardly two transactions of a client meet the same
//! one: what is left behind on a server reaches somebody else at once.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use nix::unistd::{User, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::wait::{Look, until};

/// How a pooler is set up.
#[derive(Debug, Clone)]
pub struct PoolerSettings {
    /// Connections to Postgres.
    pub servers: u32,
    /// `transaction` or `session`.
    pub mode: &'static str,
    /// Startup parameters that are dropped without a word; others that it does not know it refuses.
    pub ignored: &'static str,
    /// Do the processes know where Postgres itself is?
    pub direct_way: bool,
}

impl Default for PoolerSettings {
    /// Three servers in transaction mode; the processes know the direct way.
    fn default() -> Self {
        Self {
            servers: 3,
            mode: "transaction",
            ignored: "",
            direct_way: true,
        }
    }
}

/// A running pooler; it ends when it is dropped.
#[derive(Debug)]
pub struct Pooler {
    settings: PoolerSettings,
    port: u16,
    upstream: String,
    child: Child,
    folder: TempDir,
}

impl Pooler {
    /// Starts one before the database with this address, and waits until it serves.
    pub async fn start(upstream: &str, settings: PoolerSettings) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        write_config(folder.path(), port, upstream, &settings);
        let mut pooler = Self {
            child: spawn(folder.path()),
            settings,
            port,
            upstream: upstream.to_owned(),
            folder,
        };
        pooler.serves().await;
        pooler
    }

    /// The database's address through it.
    pub fn url(&self) -> String {
        let options = PgConnectOptions::from_str(&self.upstream).unwrap();
        let here = format!(":{}/", options.get_port());
        self.upstream
            .replacen(&here, &format!(":{}/", self.port), 1)
    }

    /// How it is set up.
    pub fn settings(&self) -> &PoolerSettings {
        &self.settings
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// kill -9: all connections break, new ones are refused.
    pub fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port, and waits until it serves.
    pub async fn start_again(&mut self) {
        self.child = spawn(self.folder.path());
        self.serves().await;
    }

    /// A client's connection through it. Only texts without parameters may be sent on it: nothing is prepared then.
    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        let options = PgConnectOptions::from_str(&self.url())?.extra_float_digits(None);
        PgConnection::connect_with(&options).await
    }

    async fn serves(&mut self) {
        until("the pooler to serve", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Look::Failed(format!("it ended with {status}: {}", self.log()));
            }
            match self.connect().await {
                Ok(client) => {
                    client.close().await.ok();
                    Look::Done(())
                }
                Err(error) => Look::not_yet(error),
            }
        })
        .await;
    }

    /// What is left on its servers after the transactions of others: settings, prepared statements, temporary tables, locks,
    /// channels. Holds all servers at once, so that each is looked at.
    pub async fn left_behind(&self) -> Vec<String> {
        let mut clients = Vec::new();
        let mut seen = Vec::new();
        let mut left = Vec::new();
        for _ in 0..self.settings.servers {
            let mut client = self.connect().await.unwrap();
            // The first statement chooses the server, the transaction keeps it.
            client.execute("begin").await.unwrap();
            let pid = ask(&mut client, "select pg_backend_pid()::text").await;
            assert!(!seen.contains(&pid), "one server has two clients");
            for (what, query) in LEFT {
                let found = ask(&mut client, query).await;
                if !found.is_empty() {
                    left.push(format!("server {pid} keeps {what}: {found}"));
                }
            }
            seen.push(pid);
            clients.push(client);
        }
        for mut client in clients {
            client.execute("rollback").await.unwrap();
            client.close().await.ok();
        }
        left
    }
}

/// What may be left on a server, and how to find it. The settings are those that `PgBouncer` itself keeps for each client.
const LEFT: [(&str, &str); 5] = [
    (
        "prepared statements",
        "select coalesce(string_agg(name || ' ' || statement, '; '), '') from pg_prepared_statements",
    ),
    (
        "settings",
        "select coalesce(string_agg(name || '=' || setting, ', '), '') from pg_settings where source = 'session' \
         and name not in ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')",
    ),
    (
        "temporary tables",
        "select coalesce(string_agg(relname, ', '), '') from pg_class where relnamespace = pg_my_temp_schema()",
    ),
    (
        "locks",
        "select coalesce(string_agg(locktype || ' ' || mode, ', '), '') from pg_locks \
         where pid = pg_backend_pid() and locktype = 'advisory'",
    ),
    (
        "channels",
        "select coalesce(string_agg(channel, ', '), '') from pg_listening_channels() channel",
    ),
];

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask(client: &mut PgConnection, query: &'static str) -> String {
    use sqlx::Row;
    let row = client.fetch_one(sqlx::raw_sql(query)).await.unwrap();
    row.try_get(0).unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn write_config(folder: &Path, port: u16, upstream: &str, settings: &PoolerSettings) {
    let options = PgConnectOptions::from_str(upstream).unwrap();
    let (user, rest) = upstream
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once(':'))
        .unwrap();
    let (password, _) = rest.split_once('@').unwrap();
    let mut config = String::new();
    let PoolerSettings {
        servers,
        mode,
        ignored,
        ..
    } = settings;
    writeln!(
        config,
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = {servers}\n\
         server_round_robin = 1\nmax_client_conn = 500\nlog_connections = 0\nlog_disconnections = 0",
        options.get_port(),
        folder.join("users").display()
    )
    .unwrap();
    if !ignored.is_empty() {
        writeln!(config, "ignore_startup_parameters = {ignored}").unwrap();
    }
    fs::write(folder.join("config"), config).unwrap();
    // In clear: it has to sign in to Postgres as the client that it has just let in.
    fs::write(folder.join("users"), format!("\"{user}\" \"{password}\"\n")).unwrap();
    if let Some((user, group)) = account() {
        for path in [folder, &folder.join("config"), &folder.join("users")] {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.join("users"), private).unwrap();
}

/// Who runs it: it refuses to run as root, as Postgres does. `None`: the caller.
fn account() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let names = ["postgres", "nobody"];
    let user = names
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten());
    let user = user.unwrap_or_else(|| panic!("there is neither of the users {names:?}"));
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

fn spawn(folder: &Path) -> Child {
    let installed = Path::new("/usr/sbin/pgbouncer");
    let program = if installed.is_file() {
        installed
    } else {
        Path::new("pgbouncer")
    };
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let mut command = Command::new(program);
    command
        .arg(folder.join("config"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
    match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!(
            "{} cannot be started: {error}; `cargo xtask test` installs it",
            program.display()
        ),
    }
}
