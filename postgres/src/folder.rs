//! The data folder: made, owned by the server's account, reachable for it, and held by one process.
//!
//! Layout: `data/` is Postgres' own, `password`, `postgres.log`, `settings` (what the running server was started
//! with) and `lock` are ours. `<folder>.lock` beside the folder guards the moment in which the folder itself is
//! made or linked; `lock` inside guards a folder that two links point at (a copied clone).
//!
//! When the account cannot enter the folder, the data lies in `reachable_dir/<hash of the path>` and the folder is
//! a link to it. A missing link means a fresh start, so an older data folder of the same path is never taken
//! up again: the keys that would decrypt its contents are gone with the old clone.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::hex::hex;
use crate::lock::FolderLock;
use crate::{EmbeddedConfig, EmbeddedError};

/// A data folder that this process owns until it drops the value.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    pub(crate) account: Account,
    _locks: [FolderLock; 2],
}

impl Folder {
    /// Makes the folder when it is missing and takes its locks.
    pub(crate) fn open(config: &EmbeddedConfig) -> Result<Self, EmbeddedError> {
        let link = std::path::absolute(&config.data_dir)
            .map_err(EmbeddedError::io("find", &config.data_dir))?;
        let parent = link.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(EmbeddedError::io("make", parent))?;
        let link_lock = FolderLock::take(&lock_beside(&link), &link)?;
        let (root, account) = resolve(&link, &config.reachable_dir)?;
        let root_lock = FolderLock::take(&root.join("lock"), &root)?;
        Ok(Self {
            root,
            account,
            _locks: [link_lock, root_lock],
        })
    }

    /// The real folder, links followed.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Postgres' own folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The superuser's password, one line.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.root.join("password")
    }

    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    /// What the server was last started with.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.root.join("settings")
    }

    /// A folder for the unix socket. Socket paths end at about 100 bytes, and the server's option is a
    /// comma-separated list, so a long or strange path makes way for one under the temporary folder.
    pub(crate) fn socket_dir(&self) -> Result<PathBuf, EmbeddedError> {
        let inside = self.root.join("socket");
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let text = inside.to_string_lossy().into_owned();
        let socket_dir = if text.len() <= 80 && text.chars().all(plain) {
            inside
        } else {
            std::env::temp_dir().join(format!("syncline-{}", hash_of(&self.root)))
        };
        make_private(&socket_dir)?;
        self.account.own(&socket_dir)?;
        // A name under the temporary folder can be taken by anyone: what is not the account's own is refused.
        if !self.account.can_use(&socket_dir) {
            let account = self.account.name().to_owned();
            return Err(EmbeddedError::Unreachable {
                folder: socket_dir,
                account,
            });
        }
        Ok(socket_dir)
    }

    /// Deletes the data, the link to it and the lock beside it. The server must have ended.
    pub(crate) fn remove(self, config: &EmbeddedConfig) -> Result<(), EmbeddedError> {
        let link = &config.data_dir;
        fs::remove_dir_all(&self.root).map_err(EmbeddedError::io("delete", &self.root))?;
        if link.is_symlink() {
            fs::remove_file(link).map_err(EmbeddedError::io("delete the link", link))?;
        }
        let beside = lock_beside(link);
        fs::remove_file(&beside).map_err(EmbeddedError::io("delete", &beside))
    }
}

fn lock_beside(link: &Path) -> PathBuf {
    let mut name = link.file_name().unwrap_or_default().to_os_string();
    name.push(".lock");
    link.with_file_name(name)
}

fn resolve(link: &Path, reachable_dir: &Path) -> Result<(PathBuf, Account), EmbeddedError> {
    let found = match fs::symlink_metadata(link) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(EmbeddedError::io("look at", link)(error)),
    };
    match found {
        Some(kind) if kind.is_symlink() => follow(link),
        Some(kind) if kind.is_dir() => use_in_place(link, reachable_dir),
        Some(_) => Err(EmbeddedError::NotAFolder(link.to_path_buf())),
        None => {
            make_private(link)?;
            use_in_place(link, reachable_dir)
        }
    }
}

fn follow(link: &Path) -> Result<(PathBuf, Account), EmbeddedError> {
    let target = fs::read_link(link).map_err(EmbeddedError::io("read the link", link))?;
    let target = link.parent().unwrap_or(Path::new("/")).join(target);
    make_private(&target)?;
    let root = target
        .canonicalize()
        .map_err(EmbeddedError::io("find", &target))?;
    let account = Account::for_folder(&root)?;
    account.own(&root)?;
    if !account.can_use(&root) {
        let account = account.name().to_owned();
        return Err(EmbeddedError::Unreachable {
            folder: root,
            account,
        });
    }
    Ok((root, account))
}

fn use_in_place(folder: &Path, reachable_dir: &Path) -> Result<(PathBuf, Account), EmbeddedError> {
    let account = Account::for_folder(folder)?;
    account.own(folder)?;
    if account.can_use(folder) {
        let root = folder
            .canonicalize()
            .map_err(EmbeddedError::io("find", folder))?;
        return Ok((root, account));
    }
    // Only an empty folder may turn into a link: anything else is a database that must not be left behind.
    if fs::remove_dir(folder).is_err() {
        let account = account.name().to_owned();
        return Err(EmbeddedError::Unreachable {
            folder: folder.to_path_buf(),
            account,
        });
    }
    let root = make_reachable(folder, reachable_dir)?;
    let account = Account::for_folder(&root)?;
    account.own(&root)?;
    if !account.can_use(&root) {
        let account = account.name().to_owned();
        return Err(EmbeddedError::Unreachable {
            folder: root,
            account,
        });
    }
    symlink(&root, folder).map_err(EmbeddedError::io("make the link", folder))?;
    tracing::info!(
        "the database lies in {} (linked from {}), because the user `{}` cannot enter the latter",
        root.display(),
        folder.display(),
        account.name()
    );
    Ok((root, account))
}

/// A new folder under `reachable_dir`, named after the path it stands for.
fn make_reachable(folder: &Path, reachable_dir: &Path) -> Result<PathBuf, EmbeddedError> {
    fs::create_dir_all(reachable_dir).map_err(EmbeddedError::io("make", reachable_dir))?;
    // Whatever the umask: the account has to pass through.
    fs::set_permissions(reachable_dir, fs::Permissions::from_mode(0o755))
        .map_err(EmbeddedError::io("open", reachable_dir))?;
    let reachable_dir = reachable_dir
        .canonicalize()
        .map_err(EmbeddedError::io("find", reachable_dir))?;
    let hash = hash_of(folder);
    let mut number = 1;
    loop {
        let name = if number == 1 {
            hash.clone()
        } else {
            format!("{hash}-{number}")
        };
        let root = reachable_dir.join(name);
        match fs::DirBuilder::new().mode(0o700).create(&root) {
            Ok(()) => return Ok(root),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                tracing::info!(
                    "{} is the database of an earlier clone at this path; delete it if it is not needed",
                    root.display()
                );
                number += 1;
            }
            Err(error) => return Err(EmbeddedError::io("make", &root)(error)),
        }
    }
}

/// Makes the folder for its owner only; one that exists stays as it is.
fn make_private(folder: &Path) -> Result<(), EmbeddedError> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(EmbeddedError::io("make", folder)(error))
        }
        _ => Ok(()),
    }
}

fn hash_of(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    hex(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::geteuid;

    fn config(outer: &Path, reachable: &Path) -> EmbeddedConfig {
        let mut config = EmbeddedConfig::new(outer.join("postgres"));
        config.reachable_dir = reachable.to_path_buf();
        config
    }

    #[test]
    fn a_folder_that_only_its_maker_can_enter_becomes_a_link_for_root_alone() {
        let closed = tempfile::tempdir().unwrap();
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let reachable = std::env::temp_dir().join(format!("syncline-test-{}", std::process::id()));
        let config = config(closed.path(), &reachable);
        let first = Folder::open(&config).unwrap();
        if geteuid().is_root() {
            assert!(config.data_dir.is_symlink());
            assert!(first.root().starts_with(reachable.canonicalize().unwrap()));
        } else {
            assert!(config.data_dir.is_dir() && !config.data_dir.is_symlink());
        }
        assert!(first.account.can_use(first.root()));
        let root = first.root().to_path_buf();
        drop(first);

        // The second start follows the link.
        let second = Folder::open(&config).unwrap();
        assert_eq!(second.root(), root);
        drop(second);

        if geteuid().is_root() {
            // A new clone at the same path begins anew.
            fs::remove_file(&config.data_dir).unwrap();
            let third = Folder::open(&config).unwrap();
            assert_ne!(third.root(), root);
            third.remove(&config).unwrap();
            assert!(!config.data_dir.is_symlink());
            fs::remove_dir_all(&reachable).unwrap();
        }
    }

    #[test]
    fn a_second_owner_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let config = config(outer.path(), outer.path());
        let _first = Folder::open(&config).unwrap();
        let refused = Folder::open(&config).unwrap_err();
        assert!(matches!(refused, EmbeddedError::InUse { .. }), "{refused}");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let config = config(outer.path(), outer.path());
        fs::write(&config.data_dir, "x").unwrap();
        let refused = Folder::open(&config).unwrap_err().to_string();
        assert!(refused.contains("is not a folder"), "{refused}");
    }
}
