//! The server's log: appended to by every start, turned over when large, quoted when a start fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::EmbeddedError;

/// A log larger than this is set aside as `postgres.log.1` at the next start.
const TURN_OVER_BYTES: u64 = 20 * 1024 * 1024;
/// How much of the end is looked at for a message.
const TAIL_BYTES: u64 = 8 * 1024;
const TAIL_LINES: usize = 20;

/// The log of one start: what came before `start_at` belongs to earlier starts.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    start_at: u64,
}

impl LogFile {
    /// Opens the log for appending; the handle is for the server's output.
    pub(crate) fn open(path: &Path) -> Result<(Self, File), EmbeddedError> {
        let failed = || EmbeddedError::io("open the log", path);
        if path
            .metadata()
            .is_ok_and(|metadata| metadata.len() > TURN_OVER_BYTES)
        {
            std::fs::rename(path, path.with_extension("log.1")).map_err(failed())?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(failed())?;
        let start_at = file.metadata().map_err(failed())?.len();
        Ok((
            Self {
                path: path.to_path_buf(),
                start_at,
            },
            file,
        ))
    }

    /// The path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines of this start.
    pub(crate) fn tail(&self) -> String {
        match self.read_tail() {
            Ok(tail) if tail.trim().is_empty() => "(nothing)".to_owned(),
            Ok(tail) => tail,
            Err(error) => format!("(the log cannot be read: {error})"),
        }
    }

    fn read_tail(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            self.start_at.max(length.saturating_sub(TAIL_BYTES)),
        ))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        Ok(lines
            .into_iter()
            .skip(skipped)
            .collect::<Vec<_>>()
            .join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_tail_holds_only_this_start_and_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        std::fs::write(&path, "of an earlier start\n").unwrap();
        let (log, mut file) = LogFile::open(&path).unwrap();
        assert_eq!(log.tail(), "(nothing)");
        for number in 1..=30 {
            writeln!(file, "line {number}").unwrap();
        }
        let tail = log.tail();
        assert!(
            tail.starts_with("line 11\n") && tail.ends_with("line 30"),
            "{tail}"
        );
    }

    #[test]
    fn a_large_log_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        File::create(&path)
            .unwrap()
            .set_len(TURN_OVER_BYTES + 1)
            .unwrap();
        LogFile::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 0);
        assert!(folder.path().join("postgres.log.1").exists());
    }
}
