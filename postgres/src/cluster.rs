//! Making the database cluster: `initdb` into a side folder that is renamed when it is complete, so that a data
//! folder either does not exist or is whole.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokio::process::Command;

use crate::EmbeddedError;
use crate::binaries::Binaries;
use crate::folder::Folder;
use crate::hex::hex;
use crate::server::SUPERUSER;

/// The side folders begin with this.
const SIDE_PREFIX: &str = "data.new.";

/// The major version that made the cluster; `None` when there is no cluster yet.
pub(crate) fn existing_major(folder: &Folder) -> Result<Option<u32>, EmbeddedError> {
    let path = folder.data().join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(error) => {
                let source = io::Error::new(io::ErrorKind::InvalidData, error);
                Err(EmbeddedError::io("read the version in", &path)(source))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EmbeddedError::io("read", &path)(error)),
    }
}

/// Makes the cluster, with a new password for its superuser.
pub(crate) async fn create(folder: &Folder, binaries: &Binaries) -> Result<(), EmbeddedError> {
    clear_interrupted(folder);
    // A name of its own for each try: the initdb of a killed owner may still be running.
    let side = folder
        .root()
        .join(format!("{SIDE_PREFIX}{:08x}", rand::random::<u32>()));
    write_password(folder)?;

    // Sorted by bytes, yet aware of letters; not every system knows that locale by name.
    let mut output = initdb(folder, binaries, &side, "C.UTF-8").await?;
    if !output.status.success() && text(&output.stderr).contains("invalid locale name") {
        remove_if_there(&side)?;
        output = initdb(folder, binaries, &side, "C").await?;
    }
    if !output.status.success() {
        let printed = format!(
            "{} {}",
            text(&output.stdout).trim(),
            text(&output.stderr).trim()
        );
        let output = last_lines(&printed, 12);
        remove_if_there(&side)?;
        return Err(EmbeddedError::Initdb {
            folder: side,
            output,
        });
    }
    let data = folder.data();
    fs::rename(&side, &data).map_err(EmbeddedError::io("move into place:", &data))
}

/// Deletes what interrupted tries have left. What an orphaned initdb still writes is left to a later start.
fn clear_interrupted(folder: &Folder) {
    let Ok(entries) = fs::read_dir(folder.root()) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(SIDE_PREFIX) {
            tracing::info!("an interrupted initdb is done again");
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!("{} cannot be deleted yet: {error}", entry.path().display());
            }
        }
    }
}

async fn initdb(
    folder: &Folder,
    binaries: &Binaries,
    side: &Path,
    locale: &str,
) -> Result<std::process::Output, EmbeddedError> {
    let program = binaries.dir.join("initdb");
    let mut command = folder.account.command(&program);
    command.args([
        "--username",
        SUPERUSER,
        "--encoding",
        "UTF8",
        "--locale",
        locale,
    ]);
    command.args([
        "--auth-local",
        "scram-sha-256",
        "--auth-host",
        "scram-sha-256",
    ]);
    command
        .arg("--data-checksums")
        .arg("--pwfile")
        .arg(folder.password_file());
    command.arg("--pgdata").arg(side);
    // Messages in English: one of them is looked for above.
    command.env("LC_ALL", "C");
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    command
        .output()
        .await
        .map_err(EmbeddedError::io("run", &program))
}

/// 256 random bits as hexadecimal text, which needs no quoting in any URL.
fn write_password(folder: &Folder) -> Result<(), EmbeddedError> {
    let path = folder.password_file();
    let secret = hex(&rand::random::<[u8; 32]>());
    remove_file_if_there(&path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(EmbeddedError::io("make", &path))?;
    writeln!(file, "{secret}").map_err(EmbeddedError::io("write", &path))?;
    // initdb syncs the cluster; a cluster that outlives its password after a power cut would be locked.
    file.sync_all().map_err(EmbeddedError::io("sync", &path))?;
    folder.account.own(&path)
}

/// The superuser's password.
pub(crate) fn read_password(folder: &Folder) -> Result<String, EmbeddedError> {
    let path = folder.password_file();
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(EmbeddedError::PasswordLost(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(EmbeddedError::PasswordLost(path))
        }
        Err(error) => Err(EmbeddedError::io("read", &path)(error)),
    }
}

fn remove_if_there(folder: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EmbeddedError::io("delete", folder)(error))
        }
        _ => Ok(()),
    }
}

fn remove_file_if_there(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EmbeddedError::io("delete", path)(error))
        }
        _ => Ok(()),
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(count);
    lines
        .into_iter()
        .skip(skipped)
        .collect::<Vec<_>>()
        .join(" / ")
}
