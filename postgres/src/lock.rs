//! A file lock that says who holds it. The kernel releases it when the holder ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::EmbeddedError;

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock on `path` for `folder`, or says which process has it.
    pub(crate) fn take(path: &Path, folder: &Path) -> Result<Self, EmbeddedError> {
        let mut file = open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // The number is a courtesy: without it the message still says what is wrong.
                if file.read_to_string(&mut owner).is_err() || owner.trim().is_empty() {
                    "unknown".clone_into(&mut owner);
                }
                let owner = owner.trim().to_owned();
                return Err(EmbeddedError::InUse {
                    folder: folder.to_path_buf(),
                    owner,
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(EmbeddedError::io("lock", path)(source));
            }
        }
        write_owner(&mut file).map_err(EmbeddedError::io("write", path))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock, waiting for its turn as long as it takes. Blocks the thread.
    pub(crate) fn wait(path: &Path) -> Result<Self, EmbeddedError> {
        let mut file = open(path)?;
        file.lock().map_err(EmbeddedError::io("lock", path))?;
        write_owner(&mut file).map_err(EmbeddedError::io("write", path))?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> Result<File, EmbeddedError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(EmbeddedError::io("open the lock file", path))
}

fn write_owner(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_taker_is_told_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = FolderLock::take(&path, folder.path()).unwrap();
        let refused = FolderLock::take(&path, folder.path())
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        drop(first);
        FolderLock::take(&path, folder.path()).unwrap();
    }
}
