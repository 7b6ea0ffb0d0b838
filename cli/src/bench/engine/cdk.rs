//! The peer: airbyte-cdk from the Python package index, in a Python environment of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

const VERSION: &str = "7.39.1";

/// The peer's program in an environment that is there.
pub(super) async fn given(venv: &Path) -> anyhow::Result<PathBuf> {
    let program = venv.join("bin/source-declarative-manifest");
    ensure!(
        program.is_file(),
        "{} has no airbyte-cdk: {} is not there. Make one with: python3 -m venv FOLDER && FOLDER/bin/pip install airbyte-cdk=={VERSION}; \
         or measure --without-cdk",
        venv.display(),
        program.display()
    );
    let asked = Command::new(venv.join("bin/python"))
        .args([
            "-c",
            "from importlib.metadata import version; print(version('airbyte-cdk'))",
        ])
        .output()
        .await
        .with_context(|| format!("the Python of {} cannot be run", venv.display()))?;
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    ensure!(
        version == VERSION,
        "{} has airbyte-cdk {version:?}; the figures are for {VERSION}",
        venv.display()
    );
    Ok(program)
}

/// The peer's program in an environment that is made unless an earlier run has made it.
pub(super) async fn made() -> anyhow::Result<PathBuf> {
    let venv = std::env::temp_dir().join(format!("syncline-bench-airbyte-cdk-{VERSION}"));
    if let Ok(program) = given(&venv).await {
        return Ok(program);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await?;
    let package = format!("airbyte-cdk=={VERSION}");
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", &package])).await?;
    given(&venv).await
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{:?}", command.as_std());
    let hint = format!(
        "measure --without-cdk, or name an environment that has airbyte-cdk {VERSION} by --cdk"
    );
    let status = command
        .status()
        .await
        .with_context(|| format!("{shown} cannot be run; {hint}"))?;
    if !status.success() {
        bail!("{shown} failed ({status}); {hint}");
    }
    Ok(())
}
