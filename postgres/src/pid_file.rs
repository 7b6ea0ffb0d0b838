//! `postmaster.pid`: is the server of this folder running?
//!
//! The file alone proves nothing: it stays behind after a crash, and its number may by now belong to another
//! program. A process counts as the server only if its current folder is the data folder, which every postmaster
//! makes it (systems without /proc: if it is called postgres).
//!
//! A stale file is not deleted. Postgres also reads the key of the shared memory from it, to be sure that no
//! orphaned backend still writes; so only the process number is replaced, by one that no process can have.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Above every system's largest process number (Linux: 4,194,304), yet a valid one for Postgres.
const NOBODYS_PID: i32 = i32::MAX - 1;

/// The lines of `postmaster.pid` that matter here (1: process, 4: port).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: i32,
    /// Absent in the first instant of a start.
    pub(crate) port: Option<u16>,
}

impl PidFile {
    /// Reads the file; `None` when there is none, or none that makes sense.
    pub(crate) fn read(data: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(data.join("postmaster.pid")) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
        Some(Self { pid, port })
    }
}

/// The running server of the data folder, if there is one.
pub(crate) fn running_server(data: &Path) -> io::Result<Option<PidFile>> {
    let found = PidFile::read(data)?;
    Ok(found.filter(|file| is_postmaster_of(file.pid, data)))
}

/// Is this process the server of that data folder?
pub(crate) fn is_postmaster_of(pid: i32, data: &Path) -> bool {
    if pid <= 0 || kill(Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH) {
        return false;
    }
    if Path::new("/proc/self/cwd").exists() {
        // A zombie has no current folder any more, so it does not count as running.
        let Ok(current) = fs::read_link(format!("/proc/{pid}/cwd")) else {
            return false;
        };
        return data.canonicalize().is_ok_and(|data| data == current);
    }
    let listed = Command::new("ps")
        .args(["-o", "comm=", "-p", &pid.to_string()])
        .output();
    listed.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .ends_with("postgres")
    })
}

/// Makes a stale file harmless, so that the next start is not refused by the number's new holder. The caller
/// knows that the server does not run, and holds the folder's lock.
pub(crate) fn disarm_stale(data: &Path, socket_dir: &Path) -> io::Result<()> {
    let path = data.join("postmaster.pid");
    match fs::read_to_string(&path) {
        Ok(text) => {
            if let Some((_, rest)) = text.split_once('\n') {
                tracing::warn!("{} is left from a server that has gone", path.display());
                fs::write(&path, format!("{NOBODYS_PID}\n{rest}"))?;
            } else {
                // Torn at its first write: no shared memory was made yet, nothing is lost with it.
                fs::remove_file(&path)?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    for entry in fs::read_dir(socket_dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_read_and_a_half_written_file_is_survived() {
        let full = "4711\n/data\n1700000000\n5433\n/socket\n127.0.0.1\n  123 456\nready\n";
        assert_eq!(
            PidFile::parse(full),
            Some(PidFile {
                pid: 4711,
                port: Some(5433)
            })
        );
        assert_eq!(
            PidFile::parse("4711\n/da"),
            Some(PidFile {
                pid: 4711,
                port: None
            })
        );
        for torn in ["", "\n", "x\n", "-1\n", "0\n/data\n"] {
            assert_eq!(PidFile::parse(torn), None, "{torn:?}");
        }
    }

    #[test]
    fn a_number_that_another_program_took_over_is_not_the_server() {
        let data = tempfile::tempdir().unwrap();
        let ours = std::process::id();
        fs::write(
            data.path().join("postmaster.pid"),
            format!("{ours}\n/d\n1\n5432\n"),
        )
        .unwrap();
        assert_eq!(running_server(data.path()).unwrap(), None);
    }

    #[test]
    fn disarming_keeps_the_key_of_the_shared_memory() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("postmaster.pid");
        fs::write(&path, "4711\n/d\n1\n5432\n/s\n*\n 77 88\n").unwrap();
        fs::write(data.path().join(".s.PGSQL.5432.lock"), "4711\n").unwrap();
        disarm_stale(data.path(), data.path()).unwrap();
        let left = fs::read_to_string(&path).unwrap();
        assert!(left.starts_with(&format!("{NOBODYS_PID}\n/d\n")) && left.contains("77 88"));
        assert!(!data.path().join(".s.PGSQL.5432.lock").exists());
        assert!(!is_postmaster_of(NOBODYS_PID, data.path()));
    }
}
