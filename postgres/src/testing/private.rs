//! A server of its own for a test that kills, restarts or fills it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use tokio::net::TcpSocket;

use super::shared::shared_dir;
use super::{TestingError, test_config};
use crate::{Embedded, EmbeddedConfig, EmbeddedError, StopMode, pid_file};

/// A server that ends, and whose folder is deleted, when the value is dropped.
#[derive(Debug)]
pub struct PrivateServer {
    config: EmbeddedConfig,
    server: Option<Embedded>,
    /// While the server is stopped: keeps its port from being given to somebody else, and listens to nobody.
    port: Option<TcpSocket>,
    folder: PathBuf,
}

impl PrivateServer {
    /// Starts a new server with the settings of the shared one and those given.
    pub async fn start(settings: &[(&str, &str)]) -> Result<Self, TestingError> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let salt: u32 = rand::random();
        let name = format!("{}-{number}-{salt:08x}", std::process::id());
        let folder = private_dir().join(name);
        fs::create_dir_all(&folder).map_err(EmbeddedError::io("make", &folder))?;
        let mut config = test_config(folder.join("server")).setting("shared_buffers", "64MB");
        for (name, value) in settings {
            config = config.setting(name, value);
        }
        // Should the folder be out of reach for the server's account, its stand-in is swept with it.
        config.reachable_dir = reachable_dir();
        let server = Embedded::start(config.clone()).await?;
        config.port = Some(server.port());
        Ok(Self {
            config,
            server: Some(server),
            port: None,
            folder,
        })
    }

    /// The server. Panics while it is stopped.
    pub fn server(&self) -> &Embedded {
        match &self.server {
            Some(server) => server,
            None => panic!("the private server is stopped"),
        }
    }

    /// The server, to be restarted. Panics while it is stopped.
    pub fn server_mut(&mut self) -> &mut Embedded {
        match &mut self.server {
            Some(server) => server,
            None => panic!("the private server is stopped"),
        }
    }

    /// Stops the server: until [`Self::start_again`] connections to its port are refused.
    pub async fn stop(&mut self, mode: StopMode) -> Result<(), TestingError> {
        let Some(server) = self.server.take() else {
            return Ok(());
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
        server.stop(mode).await?;
        let failed = |source| EmbeddedError::io("keep the port of", &self.folder)(source);
        let socket = TcpSocket::new_v4().map_err(failed)?;
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(address).map_err(failed)?;
        self.port = Some(socket);
        Ok(())
    }

    /// Starts the stopped server again, on the same port and with the same data.
    pub async fn start_again(&mut self) -> Result<(), TestingError> {
        if self.server.is_none() {
            self.server = Some(Embedded::start(self.config.clone()).await?);
            self.port = None;
        }
        Ok(())
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            end(server.pid(), &server.folder().join("data"));
            let _ = fs::remove_dir_all(server.folder());
        } else if let Ok(root) = self.config.data_dir.canonicalize() {
            let _ = fs::remove_dir_all(root);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn private_dir() -> PathBuf {
    shared_dir().join("private")
}

fn reachable_dir() -> PathBuf {
    std::env::temp_dir().join("syncline-test-postgres")
}

/// Ends a server at once. Its folder is deleted next, so it is not waited for beyond a moment.
fn end(pid: i32, data: &Path) {
    if !pid_file::is_postmaster_of(pid, data) {
        return;
    }
    let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
    for _ in 0..100 {
        if !pid_file::is_postmaster_of(pid, data) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Ends the private servers of test processes that were killed.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(private_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().and_then(|text| text.parse().ok());
        let has_ended = |pid: i32| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
        if !owner.is_some_and(|pid: i32| pid > 0 && has_ended(pid)) {
            continue;
        }
        let Ok(root) = entry.path().join("server").canonicalize() else {
            let _ = fs::remove_dir_all(entry.path());
            continue;
        };
        if let Ok(Some(file)) = pid_file::running_server(&root.join("data")) {
            end(file.pid, &root.join("data"));
        }
        let _ = fs::remove_dir_all(&root);
        let _ = fs::remove_dir_all(entry.path());
    }
}
