//! The three tiers of tests. Tests of the upper tiers are `#[ignore]`d and named `proof_...` and `soak_...`.
//!
//! The integration tests run the real program, whose path they find in `SYNCLINE_BIN`. It is built together with the
//! whole workspace's features, so that its dependencies are compiled once and not a second time for the tests.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::command::{Run, debug_dir};
use crate::{cdk, database, requirements, tools};

#[derive(Clone, Copy)]
enum Build {
    Debug,
    Release,
}

/// The tier that every change passes.
pub(crate) fn test(nextest: &[String]) -> anyhow::Result<()> {
    provide()?;
    // First, so that the summary of nextest ends the output.
    Run::cargo(&["test", "--workspace", "--doc", "--quiet"]).run()?;
    run_tier(Build::Debug, &[], nextest)
}

/// What takes minutes and proves a promise, after the first tier.
pub(crate) fn proof(nextest: &[String]) -> anyhow::Result<()> {
    let reference = cdk::environment()?;
    test(&[])?;
    let tier = long_tier("proof");
    let environment = [("SYNCLINE_CDK", reference.as_os_str())];
    run_with(Build::Release, &tier, nextest, &environment)
}

/// What takes hours.
pub(crate) fn soak(nextest: &[String]) -> anyhow::Result<()> {
    provide()?;
    run_tier(Build::Release, &long_tier("soak"), nextest)
}

fn provide() -> anyhow::Result<()> {
    tools::need(&tools::NEXTEST)?;
    requirements::provide()
}

/// The ignored tests whose name begins with the tier's, under the tier's time limits.
fn long_tier(tier: &str) -> Vec<String> {
    let filter = format!("test(/(^|::){tier}_/)");
    ["--profile", tier, "--run-ignored", "only", "-E", &filter]
        .map(str::to_owned)
        .to_vec()
}

/// Has the proof of scenarios write what the reference and our engine do, instead of comparing it.
pub(crate) fn write_scenario_goldens(reference: &Path) -> anyhow::Result<()> {
    provide()?;
    let tier = [
        "--profile",
        "proof",
        "--run-ignored",
        "only",
        "-E",
        "test(/^differential::proof_/)",
    ]
    .map(str::to_owned);
    let environment = [
        ("SYNCLINE_CDK", reference.as_os_str()),
        ("SYNCLINE_WRITE_GOLDENS", OsStr::new("1")),
    ];
    run_with(Build::Debug, &tier, &[], &environment)
}

fn run_tier(build: Build, tier: &[String], nextest: &[String]) -> anyhow::Result<()> {
    run_with(build, tier, nextest, &[])
}

fn run_with(
    build: Build,
    tier: &[String],
    nextest: &[String],
    environment: &[(&str, &OsStr)],
) -> anyhow::Result<()> {
    let program = build_program(build)?;
    let mut run = Run::cargo(&["nextest", "run", "--workspace"])
        .args(tier)
        .args(nextest)
        .env("SYNCLINE_BIN", program);
    for (name, value) in environment {
        run = run.env(name, value);
    }
    let tested = run.run();
    // A failed stop is worth a line, not the result.
    if let Err(error) = database::stop() {
        println!("the test server was not stopped: {error:#}");
    }
    tested
}

fn build_program(build: Build) -> anyhow::Result<PathBuf> {
    let mut arguments = vec!["build", "--quiet", "--workspace", "--bin", "syncline"];
    let debug = debug_dir()?;
    let dir = match build {
        Build::Debug => debug,
        Build::Release => {
            arguments.push("--release");
            let target = debug.parent().context("the target folder is unknown")?;
            target.join("release")
        }
    };
    Run::cargo(&arguments).run()?;
    Ok(dir.join("syncline"))
}
