//! Finding the server's programs on this machine.
//!
//! Searched in this order: `SYNCLINE_POSTGRES_BIN`, `pg_config --bindir`, the folders of PATH, the places where
//! distributions put them (newest first). Each candidate is asked for its version under the account that will run
//! it. An existing database needs its own major version; a new one takes the first candidate that is new enough.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::account::Account;
use crate::{EmbeddedError, download};

/// The oldest major version of Postgres that Syncline runs on.
pub const OLDEST_MAJOR: u32 = 15;

/// Names the folder with the server's programs, above every search.
const BIN_VARIABLE: &str = "SYNCLINE_POSTGRES_BIN";

/// A folder with `postgres` and `initdb`, and their major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub dir: PathBuf,
    /// Major version, such as 15.
    pub major: u32,
}

impl Binaries {
    /// Is there a usable server on this machine, without a download?
    ///
    /// # Errors
    /// Names each folder that was refused, and why.
    pub fn installed() -> Result<Self, EmbeddedError> {
        let account = Account::for_folder(Path::new("/"))?;
        search(&account, None)?.map_err(|rejected| no_binaries(None, &rejected, "not tried"))
    }
}

/// The programs for a database of major version `wanted` (a new database: `None`).
pub(crate) async fn find(
    account: &Account,
    wanted: Option<u32>,
    may_download: bool,
) -> Result<Binaries, EmbeddedError> {
    let rejected = match search(account, wanted)? {
        Ok(binaries) => return Ok(binaries),
        Err(rejected) => rejected,
    };
    if !may_download {
        return Err(no_binaries(wanted, &rejected, "it is switched off"));
    }
    let dir = download::fetch(wanted)
        .await
        .map_err(|reason| no_binaries(wanted, &rejected, &reason))?;
    check(account, &dir, wanted).map_err(|reason| {
        let reason = format!(
            "the downloaded programs in {} do not run: {reason}",
            dir.display()
        );
        no_binaries(wanted, &rejected, &reason)
    })
}

type Rejected = Vec<(PathBuf, String)>;

fn search(
    account: &Account,
    wanted: Option<u32>,
) -> Result<Result<Binaries, Rejected>, EmbeddedError> {
    if let Some(dir) = env::var_os(BIN_VARIABLE).filter(|value| !value.is_empty()) {
        let dir = PathBuf::from(dir);
        return match check(account, &dir, wanted) {
            Ok(binaries) => Ok(Ok(binaries)),
            Err(reason) => Err(EmbeddedError::BadBinFolder {
                dir,
                reason,
                wanted: wanted_text(wanted),
            }),
        };
    }
    let mut rejected = Rejected::new();
    for dir in candidates() {
        if rejected.iter().any(|(seen, _)| *seen == dir) {
            continue;
        }
        match check(account, &dir, wanted) {
            Ok(binaries) => return Ok(Ok(binaries)),
            Err(reason) => rejected.push((dir, reason)),
        }
    }
    Ok(Err(rejected))
}

fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output()
        && output.status.success()
    {
        found.push(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        ));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    found.extend(env::split_paths(&path));
    found.extend(versioned_dirs(Path::new("/usr/lib/postgresql"), ""));
    found.extend(versioned_dirs(Path::new("/usr"), "pgsql-"));
    found.extend(versioned_dirs(
        Path::new("/opt/homebrew/opt"),
        "postgresql@",
    ));
    found.extend(versioned_dirs(Path::new("/usr/local/opt"), "postgresql@"));
    // A folder without the server is no candidate, rather than a rejected one.
    found.retain(|dir| dir.join("postgres").is_file());
    found
}

/// `<parent>/<prefix><version>/bin`, newest version first.
fn versioned_dirs(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(Ok(version)) = name.strip_prefix(prefix).map(str::parse) {
            versions.push((version, entry.path().join("bin")));
        }
    }
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, dir)| dir).collect()
}

fn check(account: &Account, dir: &Path, wanted: Option<u32>) -> Result<Binaries, String> {
    let dir = std::path::absolute(dir).map_err(|error| error.to_string())?;
    for program in ["postgres", "initdb"] {
        if !dir.join(program).is_file() {
            return Err(format!("there is no program `{program}` in it"));
        }
    }
    let output = account
        .command(&dir.join("postgres"))
        .arg("--version")
        .output();
    let output = output.map_err(|error| {
        format!(
            "`postgres --version` cannot be run by the user `{}`: {error}",
            account.name()
        )
    })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("`postgres --version` failed: {reason}"));
    }
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let Some(major) = parse_major(&answer) else {
        return Err(format!(
            "`postgres --version` answered {answer:?}, which has no version"
        ));
    };
    let fits = wanted.map_or(major >= OLDEST_MAJOR, |wanted| major == wanted);
    if !fits {
        return Err(format!(
            "it is version {major}, needed is {}",
            wanted_text(wanted)
        ));
    }
    Ok(Binaries { dir, major })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-1)` and `... 18beta2` have their version after the name.
fn parse_major(answer: &str) -> Option<u32> {
    let version = answer.split_once("(PostgreSQL)")?.1.trim_start();
    let end = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..end].parse().ok()
}

fn wanted_text(wanted: Option<u32>) -> String {
    match wanted {
        Some(major) => format!("{major} (the version that made the existing database)"),
        None => format!("{OLDEST_MAJOR} or newer"),
    }
}

fn no_binaries(wanted: Option<u32>, rejected: &Rejected, download: &str) -> EmbeddedError {
    let mut text = String::new();
    for (dir, reason) in rejected {
        let lead = if text.is_empty() { " (" } else { "; " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{lead}{}: {reason}", dir.display());
    }
    if !text.is_empty() {
        text.push(')');
    }
    let download = download.to_owned();
    EmbeddedError::NoBinaries {
        wanted: wanted_text(wanted),
        rejected: text,
        download,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fake_server(answer: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for program in ["postgres", "initdb"] {
            let path = dir.path().join(program);
            fs::write(&path, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    fn account() -> Account {
        Account::for_folder(Path::new("/")).unwrap()
    }

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) "), None);
        assert_eq!(parse_major("something else 15"), None);
    }

    #[test]
    fn an_old_server_is_refused_with_both_versions_named() {
        let old = fake_server("postgres (PostgreSQL) 13.2");
        let reason = check(&account(), old.path(), None).unwrap_err();
        assert_eq!(reason, "it is version 13, needed is 15 or newer");
        let new = fake_server("postgres (PostgreSQL) 17.2");
        assert_eq!(check(&account(), new.path(), None).unwrap().major, 17);
        let reason = check(&account(), new.path(), Some(15)).unwrap_err();
        assert!(
            reason.contains("version 17") && reason.contains("needed is 15 "),
            "{reason}"
        );
    }

    #[test]
    fn a_folder_without_the_programs_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        let reason = check(&account(), empty.path(), None).unwrap_err();
        assert!(reason.contains("no program `postgres`"), "{reason}");
    }

    #[test]
    fn newer_versions_come_first() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["9", "15", "17", "common", "16"] {
            fs::create_dir_all(parent.path().join(name).join("bin")).unwrap();
        }
        let found = versioned_dirs(parent.path(), "");
        let expected: Vec<PathBuf> = ["17", "16", "15", "9"]
            .iter()
            .map(|v| parent.path().join(v).join("bin"))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_message_lists_what_was_refused_and_what_to_do() {
        let rejected = vec![(PathBuf::from("/old/bin"), "it is version 13".to_owned())];
        let text = no_binaries(None, &rejected, "no network").to_string();
        for part in [
            "/old/bin: it is version 13",
            "no network",
            "apt-get install",
            BIN_VARIABLE,
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
