//! One start of the server: a port, the process, and the wait until a query has been answered.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep, timeout};

use crate::address::connect_options;
use crate::binaries::Binaries;
use crate::folder::Folder;
use crate::log_file::LogFile;
use crate::postmaster::{Postmaster, StopMode};
use crate::{EmbeddedConfig, EmbeddedError, pid_file};

/// Starts after which a port that others keep taking is given up.
const PORT_TRIES: u32 = 5;
/// How long orphaned backends of a killed server may still hold its shared memory.
const ORPHANS_MAY_TAKE: Duration = Duration::from_secs(30);
/// Pause between two looks at a server that is starting.
pub(crate) const ATTEMPT_INTERVAL: Duration = Duration::from_millis(40);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What one start of the server needs.
pub(crate) struct Launch<'a> {
    pub(crate) config: &'a EmbeddedConfig,
    pub(crate) folder: &'a Folder,
    pub(crate) binaries: &'a Binaries,
    pub(crate) socket_dir: &'a Path,
    pub(crate) password: &'a str,
}

impl Launch<'_> {
    /// Starts the server on the wanted port, or on the last one, or on any; again when another program took the
    /// port in between, and when orphans of a killed server have not left yet.
    pub(crate) async fn run(
        &self,
        wanted: Option<u16>,
    ) -> Result<(Postmaster, u16), EmbeddedError> {
        let data = self.folder.data();
        pid_file::disarm_stale(&data, self.socket_dir)
            .map_err(EmbeddedError::io("clear the stale process file in", &data))?;
        let orphans_deadline = Instant::now() + ORPHANS_MAY_TAKE;
        let mut port_tries = 0;
        let mut last_port = last_port(self.folder);
        loop {
            let port = match wanted.or(last_port.take().filter(|port| is_free(*port))) {
                Some(port) => port,
                None => free_port()?,
            };
            let error = match self.attempt(port).await {
                Ok(postmaster) => return Ok((postmaster, port)),
                Err(error) => error,
            };
            let EmbeddedError::Start { tail, .. } = &error else {
                return Err(error);
            };
            let port_taken = tail.contains("Address already in use");
            let orphans = tail.contains("pre-existing shared memory block")
                || tail.contains("terminate any old server processes");
            port_tries += u32::from(port_taken);
            let again = (port_taken && port_tries < PORT_TRIES)
                || (orphans && Instant::now() < orphans_deadline);
            if !again {
                return Err(error);
            }
            sleep(ATTEMPT_INTERVAL * 5).await;
        }
    }

    async fn attempt(&self, port: u16) -> Result<Postmaster, EmbeddedError> {
        let settings_file = self.folder.settings_file();
        // Before the start, so that an owner killed in mid-start leaves a true record.
        fs::write(&settings_file, settings_text(self.config))
            .map_err(EmbeddedError::io("write", &settings_file))?;
        let (log, log_handle) = LogFile::open(&self.folder.log())?;
        let ours = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            (
                "unix_socket_directories",
                self.socket_dir.to_string_lossy().into_owned(),
            ),
            ("unix_socket_permissions", "0700".to_owned()),
            ("logging_collector", "off".to_owned()),
            ("log_destination", "stderr".to_owned()),
            ("lc_messages", "C".to_owned()),
        ];
        let mut options = self.config.settings.clone();
        options.extend(ours.map(|(name, value)| (name.to_owned(), value)));
        let mut postmaster = Postmaster::spawn(self.folder, self.binaries, &options, log_handle)?;
        let patience = self.config.start_timeout;
        let answer = await_answer(
            &mut postmaster,
            self.folder,
            &log,
            port,
            self.password,
            patience,
        )
        .await;
        match answer {
            Ok(()) => Ok(postmaster),
            Err(error) => {
                // A server that runs but does not answer must not be left behind.
                postmaster
                    .stop(StopMode::Immediate, self.config.stop_timeout)
                    .await?;
                Err(error)
            }
        }
    }
}

/// Waits until the server has answered a query, from the right data folder.
pub(crate) async fn await_answer(
    postmaster: &mut Postmaster,
    folder: &Folder,
    log: &LogFile,
    port: u16,
    password: &str,
    patience: Duration,
) -> Result<(), EmbeddedError> {
    let deadline = Instant::now() + patience;
    loop {
        let asked = timeout(CONNECT_TIMEOUT, ask_data_directory(port, password));
        // Whoever else listens on that port may never answer, so the server's end cuts the question short.
        let outcome = tokio::select! {
            outcome = asked => Ok(outcome),
            why = postmaster.wait() => Err(why),
        };
        let reason = match outcome {
            Ok(Ok(Ok(answered))) if Path::new(&answered) == folder.data() => return Ok(()),
            Ok(Ok(Ok(answered))) => format!("port {port} belongs to the server of {answered}"),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            Err(why) => {
                let log_path = log.path().to_path_buf();
                return Err(EmbeddedError::Start {
                    why,
                    log: log_path,
                    tail: log.tail(),
                });
            }
        };
        if Instant::now() > deadline {
            let log = log.path().to_path_buf();
            return Err(EmbeddedError::NoAnswer {
                folder: folder.root().to_path_buf(),
                reason,
                log,
            });
        }
        sleep(ATTEMPT_INTERVAL).await;
    }
}

async fn ask_data_directory(port: u16, password: &str) -> Result<String, sqlx::Error> {
    let mut connection = connect_options(port, password)
        .database("postgres")
        .connect()
        .await?;
    let answer = sqlx::query_scalar("select current_setting('data_directory')")
        .fetch_one(&mut connection)
        .await;
    // The answer counts, not the goodbye.
    let _ = connection.close().await;
    answer
}

/// The settings as one text, whatever their order, to be compared with those of a running server.
pub(crate) fn settings_text(config: &EmbeddedConfig) -> String {
    let mut settings: Vec<String> = config
        .settings
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    settings.sort();
    settings.concat()
}

/// The port of the last start, from the line that Postgres keeps of its options.
fn last_port(folder: &Folder) -> Option<u16> {
    let options = fs::read_to_string(folder.data().join("postmaster.opts")).ok()?;
    let text = options.split("\"port=").nth(1)?.split('"').next()?;
    u16::from_str(text).ok()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn free_port() -> Result<u16, EmbeddedError> {
    let failed = || EmbeddedError::io("find a free port on", Path::new("127.0.0.1"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed())?;
    Ok(listener.local_addr().map_err(failed())?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_settings_does_not_matter() {
        let one = EmbeddedConfig::new("x").setting("a", "1").setting("b", "2");
        let other = EmbeddedConfig::new("x")
            .setting("b", "2")
            .setting("a", "0")
            .setting("a", "1");
        assert_eq!(settings_text(&one), settings_text(&other));
    }
}
