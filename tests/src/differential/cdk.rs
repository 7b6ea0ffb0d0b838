//! The reference: airbyte-cdk in an environment that xtask makes.

use std::path::PathBuf;

use tokio::process::Command;

use super::outcome::Outcome;
use super::run;
use super::scenario::{Scenario, folder};

/// The environment, from `SYNCLINE_CDK`.
fn environment() -> PathBuf {
    match std::env::var_os("SYNCLINE_CDK") {
        Some(path) => PathBuf::from(path),
        None => panic!(
            "SYNCLINE_CDK names no environment with airbyte-cdk; `cargo xtask proof` and `cargo xtask cdk-goldens` make one"
        ),
    }
}

/// Reads a scenario by the reference's own command. Its waits are cut short (`tests/differential/python/sitecustomize.py`).
pub async fn read(scenario: &Scenario) -> Result<(Vec<Outcome>, String), String> {
    let command = || {
        let mut command = Command::new(environment().join("bin/source-declarative-manifest"));
        command
            .arg("read")
            .env("PYTHONPATH", folder().join("python"));
        command
    };
    run::read(scenario, command).await
}
