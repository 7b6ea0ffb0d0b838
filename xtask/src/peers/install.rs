//! What the drivers need, at the locked versions, into target/bench-peers; and the command that starts a driver.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::list::{Driver, Peer};
use crate::command::{Run, root};

/// A driver's command line.
pub(super) type Command = Vec<PathBuf>;

/// Makes the peer's driver ready to run.
pub(super) fn install(peer: &Peer) -> anyhow::Result<Command> {
    match peer.driver {
        Driver::Rust(package) => build(package),
        Driver::Node(file) => {
            let dir = node()?;
            Ok(vec!["node".into(), dir.join(file)])
        }
        Driver::Python(file) => {
            let python = python()?;
            Ok(vec![python, source("python").join(file)])
        }
    }
    .map(|mut command| {
        command.push(peer.variant.into());
        command
    })
}

fn source(language: &str) -> PathBuf {
    root().join("bench/peers").join(language)
}

fn target(language: &str) -> PathBuf {
    root().join("target/bench-peers").join(language)
}

/// All at once: built one by one, each would have its dependencies compiled anew with features of its own.
fn build(package: &str) -> anyhow::Result<Command> {
    let target = target("rust");
    Run::cargo(&["build", "--quiet", "--release", "--locked"])
        .args(&["--manifest-path"])
        .args(&[source("rust").join("Cargo.toml")])
        .env("CARGO_TARGET_DIR", &target)
        .run()?;
    Ok(vec![target.join("release").join(package)])
}

/// The drivers are copied, because Node looks for packages beside the file that imports them.
fn node() -> anyhow::Result<PathBuf> {
    let (from, to) = (source("node"), target("node"));
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    once(&from.join("package-lock.json"), &to, || {
        Run::program("npm")
            .args(&["ci", "--silent", "--prefix"])
            .args(&[&to])
            .run()
    })?;
    Ok(to)
}

fn python() -> anyhow::Result<PathBuf> {
    let to = target("python");
    let requirements = source("python").join("requirements.txt");
    let python = to.join("bin/python");
    once(&requirements, &to, || {
        Run::program("python3")
            .args(&["-m", "venv"])
            .args(&[&to])
            .run()?;
        Run::program(&python)
            .args(&["-m", "pip", "install", "--quiet", "--require-hashes", "-r"])
            .args(&[&requirements])
            .run()
    })?;
    Ok(python)
}

/// Installs unless the same lock file has been installed before.
fn once(
    lock: &Path,
    to: &Path,
    install: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let wanted = fs::read(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = to.join("installed");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(&stamp, wanted)?;
    Ok(())
}
