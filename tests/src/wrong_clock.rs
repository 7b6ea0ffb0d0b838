//! Processes whose wall clocks are wrong, by libfaketime. Their monotonic clocks go on as they are.

use std::path::PathBuf;

use crate::ClusterBuilder;

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut candidates = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    candidates
        .find(|path| path.exists())
        .expect("libfaketime is missing: cargo xtask test installs it")
}

/// Sets the clock of each worker wrong by another time: by as many seconds as its number says, before or after.
pub fn of_workers(builder: ClusterBuilder, direction: char) -> ClusterBuilder {
    builder
        .variable("worker", "LD_PRELOAD", &library().display().to_string())
        .variable("worker", "FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .variable("worker", "FAKETIME", &format!("{direction}{{number}}s"))
}

/// Has a process believe that it is this moment (RFC 3339, UTC), all the time.
pub fn stand_still(command: &mut tokio::process::Command, now: &str) {
    let moment = chrono::DateTime::parse_from_rfc3339(now).unwrap().to_utc();
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME", moment.format("%Y-%m-%d %H:%M:%S").to_string());
}
