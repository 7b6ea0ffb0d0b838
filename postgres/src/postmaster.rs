//! The server's process: spawned away from our process group, asked to stop, waited for.
//!
//! A process that we spawned is waited for as a child; an adopted one belongs to init, so its end is polled for.
//! Before each signal to an adopted process it is checked that the number still belongs to the server.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::binaries::Binaries;
use crate::folder::Folder;
use crate::{EmbeddedError, pid_file};

/// How the server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Waits until every client has left.
    Smart,
    /// Ends the connections, rolls their transactions back, writes a checkpoint.
    Fast,
    /// Ends at once, without a checkpoint: the next start recovers from the log, as after a crash.
    Immediate,
}

impl StopMode {
    fn signal(self) -> Signal {
        match self {
            Self::Smart => Signal::SIGTERM,
            Self::Fast => Signal::SIGINT,
            Self::Immediate => Signal::SIGQUIT,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smart => "smart",
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pid: i32,
    data: PathBuf,
    /// `None` for an adopted server.
    child: Option<Child>,
}

/// How often the end of an adopted server is looked for.
const POLL: Duration = Duration::from_millis(50);

impl Postmaster {
    /// Starts the server. It has not answered anything yet when this returns.
    pub(crate) fn spawn(
        folder: &Folder,
        binaries: &Binaries,
        options: &[(String, String)],
        log: File,
    ) -> Result<Self, EmbeddedError> {
        let program = binaries.dir.join("postgres");
        let data = folder.data();
        let mut command = folder.account.command(&program);
        command.arg("-D").arg(&data);
        for (name, value) in options {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let log_too = log
            .try_clone()
            .map_err(EmbeddedError::io("open", &folder.log()))?;
        command.stdout(log).stderr(log_too).env("LC_ALL", "C");
        // Ctrl-C in the terminal goes to the foreground group: the owner, not the server.
        command.process_group(0);
        let child = Command::from(command)
            .spawn()
            .map_err(EmbeddedError::io("run", &program))?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .unwrap_or_default();
        Ok(Self {
            pid,
            data,
            child: Some(child),
        })
    }

    /// Takes charge of a server that an earlier owner left running.
    pub(crate) fn adopt(pid: i32, data: &Path) -> Self {
        Self {
            pid,
            data: data.to_path_buf(),
            child: None,
        }
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// How the server ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match &mut self.child {
            Some(child) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(format!("its end cannot be told: {error}")),
            },
            None if pid_file::is_postmaster_of(self.pid, &self.data) => None,
            None => Some("the process has gone".to_owned()),
        }
    }

    /// Waits for the end. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> String {
        if let Some(child) = &mut self.child {
            return match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => format!("its end cannot be told: {error}"),
            };
        }
        loop {
            if let Some(how) = self.ended() {
                return how;
            }
            sleep(POLL).await;
        }
    }

    /// Asks the server to stop and waits until it has. A fast stop that takes longer than `patience` is repeated
    /// as an immediate one, which loses nothing (the log is replayed) but makes the next start slower.
    pub(crate) async fn stop(
        &mut self,
        mode: StopMode,
        patience: Duration,
    ) -> Result<(), EmbeddedError> {
        if self.request(mode, patience).await {
            return Ok(());
        }
        let mut last_mode = mode;
        if mode == StopMode::Fast {
            tracing::warn!(
                "Postgres did not stop within {} s: immediate stop",
                patience.as_secs()
            );
            last_mode = StopMode::Immediate;
            if self.request(last_mode, patience).await {
                return Ok(());
            }
        }
        Err(EmbeddedError::StillRunning {
            pid: self.pid,
            waited_s: patience.as_secs(),
            mode: last_mode.name(),
        })
    }

    /// True if the server has ended within `patience`.
    async fn request(&mut self, mode: StopMode, patience: Duration) -> bool {
        if self.ended().is_some() {
            return true;
        }
        // A failure means that the process ended in between, which the wait below sees.
        let _ = kill(Pid::from_raw(self.pid), mode.signal());
        let deadline = Instant::now() + patience;
        tokio::time::timeout_at(deadline, self.wait()).await.is_ok()
    }
}
