//! The test server, by way of the program `syncline-test-postgres`, and what is done with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::command::{Run, debug_dir, root};
use crate::tools;

/// A command of `syncline-test-postgres`, built first. Cargo stays silent unless the build fails.
pub(crate) fn test_postgres(arguments: &[&str]) -> Run {
    let front = ["run", "--quiet", "--package", "syncline-postgres", "--bin"];
    Run::cargo(&front)
        .args(&["syncline-test-postgres", "--"])
        .args(arguments)
}

/// Are the server's programs on this machine?
pub(crate) fn is_installed() -> bool {
    test_postgres(&["installed"]).succeeds()
}

/// Starts the server if need be and prepares the development database.
pub(crate) fn development_url(fresh: bool) -> anyhow::Result<String> {
    migrated_url("syncline_dev", fresh)
}

/// Stops the test server.
pub(crate) fn stop() -> anyhow::Result<()> {
    test_postgres(&["stop"]).run()
}

/// Checks every query of the workspace against a database that was migrated from empty, and writes the result to
/// .sqlx, or (`check`) compares it with what is there.
pub(crate) fn prepare(check: bool) -> anyhow::Result<()> {
    tools::need(&tools::SQLX)?;
    let url = migrated_url("syncline_prepare", true)?;
    let mut arguments = vec!["sqlx", "prepare", "--workspace"];
    if check {
        arguments.push("--check");
    }
    // Its own --workspace says where .sqlx is; without the second one only the default member would be compiled.
    arguments.extend(["--", "--workspace", "--all-targets", "--quiet"]);
    let command = Run::cargo(&arguments)
        .env("DATABASE_URL", url)
        .env("SQLX_OFFLINE", "false");
    if check {
        command
            .run()
            .context("unless the workspace does not compile: run `cargo xtask prepare`")?;
        return compare();
    }
    // A target folder of its own: queries are recorded only while their crate is compiled, so an editor that checks
    // the same folder in the background would now and then leave nothing to compile, and so nothing to record.
    command
        .env("CARGO_TARGET_DIR", root().join("target/prepare"))
        .run()
}

/// Every query in .sqlx must have been seen by the check just made: one that was not is out of use, or its crate was
/// compiled by someone else in that moment, and then nothing has been checked.
fn compare() -> anyhow::Result<()> {
    let target = debug_dir()?;
    let target = target.parent().context("the target folder is unknown")?;
    let seen = query_files(&target.join("sqlx-prepare-check"))?;
    let kept = query_files(&root().join(".sqlx"))?;
    let unseen: Vec<&String> = kept.difference(&seen).collect();
    if let Some(first) = unseen.first() {
        bail!(
            "{} queries in .sqlx were not met, among them {first}: remove what is out of use by \
             `cargo xtask prepare`, or check again if another cargo was at work",
            unseen.len()
        );
    }
    Ok(())
}

/// The names of the recorded queries; a folder that is not there has none.
fn query_files(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    if !folder.is_dir() {
        return Ok(names);
    }
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            names.insert(name);
        }
    }
    Ok(names)
}

fn migrated_url(name: &str, fresh: bool) -> anyhow::Result<String> {
    let migrations = root().join("migrations");
    let migrations = migrations
        .to_str()
        .context("the path of this checkout is not UTF-8")?;
    let verb = if fresh { "fresh-database" } else { "database" };
    test_postgres(&[verb, name, migrations]).output()
}
