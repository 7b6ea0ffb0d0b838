//! The reference of the connector language, airbyte-cdk: installed at the locked versions into target/cdk, and asked for the goldens
//! that the tests compare with.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::command::{Run, root};
use crate::tests;

/// Scripts that write tables of what the reference does, beside themselves.
const TABLES: [&str; 10] = [
    "clamping.py",
    "config_rules.py",
    "datetimes.py",
    "expressions.py",
    "options.py",
    "primary_keys.py",
    "reading.py",
    "records.py",
    "requesters.py",
    "signed_tokens.py",
];

/// The reference's environment, made unless the same lock file has been installed before.
pub(crate) fn environment() -> anyhow::Result<PathBuf> {
    let to = root().join("target/cdk");
    let lock = root().join("tests/differential/python/requirements.txt");
    let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = to.join("installed");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(to);
    }
    println!("installing airbyte-cdk into {}", to.display());
    Run::program("python3")
        .args(&["-m", "venv"])
        .args(&[&to])
        .run()?;
    Run::program(to.join("bin/python"))
        .args(&["-m", "pip", "install", "--quiet", "--require-hashes", "-r"])
        .args(&[&lock])
        .run()?;
    fs::write(&stamp, wanted)?;
    Ok(to)
}

/// Writes all goldens anew: the tables, and what scenarios come to.
pub(crate) fn write_goldens() -> anyhow::Result<()> {
    let environment = environment()?;
    for table in TABLES {
        Run::program(environment.join("bin/python"))
            .args(&[root().join("engine/tests/golden").join(table)])
            .env("TZ", "UTC")
            // Some tables hold what came out of a set.
            .env("PYTHONHASHSEED", "0")
            .run()?;
    }
    tests::write_scenario_goldens(&environment)
}
