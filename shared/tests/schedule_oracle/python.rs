//! Runs the oracle in a virtual environment of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the oracle prints when it is called with these arguments.
pub(crate) fn ask(arguments: &[&str]) -> String {
    let python = environment();
    output(
        Command::new(python)
            .arg(folder().join("oracle.py"))
            .args(arguments)
            // The machine's own zones may be of another release.
            .env("PYTHONTZPATH", ""),
    )
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedule_oracle")
}

/// The Python of the environment, which is made if it is not there.
fn environment() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Two tests, which may be two processes, do not make it at once.
    let making = File::create(place.join("schedule_oracle.lock")).unwrap();
    making.lock().unwrap();
    let environment = place.join("schedule_oracle_venv");
    let python = environment.join("bin/python");
    if !python.exists() {
        output(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        );
    }
    output(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(folder().join("requirements.txt")),
    );
    python
}

fn output(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}
