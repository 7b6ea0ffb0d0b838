//! The folder of `syncline dev`: the database, the secrets, the log.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// File with the secrets; readable by its owner only.
const FILE: &str = "dev.json";

/// The folder, held by one `syncline dev` at a time.
pub(super) struct DevFolder {
    path: PathBuf,
    /// Locked for as long as the folder is open.
    _lock: File,
}

/// What a start makes up once and every later start finds again.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Secrets {
    secret_key: String,
    jwt_secret: String,
    admin_password: String,
    token: String,
    /// Where the database is now; for commands in another terminal.
    #[serde(default)]
    database_url: String,
}

impl DevFolder {
    /// Opens the folder, and makes it if it is missing. Refuses one that another `syncline dev` uses.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| {
            format!(
                "the folder {} cannot be made; choose another by --data-dir",
                path.display()
            )
        })?;
        let path = path.canonicalize()?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("dev.lock"))
            .with_context(|| {
                format!(
                    "the folder {} cannot be written; choose another by --data-dir",
                    path.display()
                )
            })?;
        lock.try_lock().map_err(|_| {
            anyhow::anyhow!(
                "another syncline dev uses {}; stop it first, or choose another folder by --data-dir",
                path.display()
            )
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// Where Postgres keeps its data.
    pub(super) fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// Where the log goes while the terminal shows progress.
    pub(super) fn log_file(&self) -> PathBuf {
        self.path.join("dev.log")
    }

    /// The secrets: those of the last start, or new ones.
    pub(super) fn secrets(&self, database_url: &str) -> anyhow::Result<Secrets> {
        let file = self.path.join(FILE);
        let mut secrets = match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} is damaged; delete it to have new secrets made",
                    file.display()
                )
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Secrets::random(),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", file.display()));
            }
        };
        database_url.clone_into(&mut secrets.database_url);
        write_private(&file, &serde_json::to_vec_pretty(&secrets)?)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(secrets)
    }

    /// A port for the simulator: that of the last start if it is free, so that runs under way find it again.
    pub(super) async fn simulator_listener(&self) -> anyhow::Result<TcpListener> {
        let file = self.path.join("simulator.port");
        let port = fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = match TcpListener::bind(at(port)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind(at(0))
                .await
                .context("the simulator found no free port")?,
        };
        fs::write(&file, listener.local_addr()?.port().to_string())
            .with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(listener)
    }
}

/// Replaces a file that only its owner may read; a reader sees the old one or the new one.
fn write_private(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = file.with_extension("new");
    if let Err(error) = fs::remove_file(&new)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut writer = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&new)?;
    writer.write_all(content)?;
    writer.sync_all()?;
    fs::rename(&new, file)
}

impl Secrets {
    fn random() -> Self {
        let word = |bytes: usize| {
            let random: [u8; 32] = rand::random();
            URL_SAFE_NO_PAD.encode(&random[..bytes])
        };
        Self {
            secret_key: word(32),
            jwt_secret: word(32),
            admin_password: word(12),
            token: format!("syn_{}", word(32)),
            database_url: String::new(),
        }
    }

    /// Reads the secrets of a folder, for a command in another terminal.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub(super) fn secret_key(&self) -> SecretString {
        SecretString::from(self.secret_key.clone())
    }

    pub(super) fn jwt_secret(&self) -> SecretString {
        SecretString::from(self.jwt_secret.clone())
    }

    pub(super) fn admin_password(&self) -> &str {
        &self.admin_password
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn token_hash(&self) -> Vec<u8> {
        Sha256::digest(&self.token).to_vec()
    }

    pub(super) fn database_url(&self) -> SecretString {
        SecretString::from(self.database_url.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_start_finds_the_secrets_of_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = DevFolder::open(folder.path())
            .expect("opens")
            .secrets("a")
            .expect("secrets");
        let second = DevFolder::open(folder.path())
            .expect("opens")
            .secrets("b")
            .expect("secrets");
        assert_eq!(first.secret_key, second.secret_key);
        assert_eq!(first.token, second.token);
        assert_eq!(
            Secrets::read(folder.path()).expect("reads").database_url,
            "b"
        );
        let mode = fs::metadata(folder.path().join(FILE))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let _held = DevFolder::open(folder.path()).expect("opens");
        let error = DevFolder::open(folder.path()).err().expect("refused");
        assert!(
            error.to_string().contains("another syncline dev"),
            "{error}"
        );
    }
}
