//! Our own queue, by `syncline bench queue` of a release build.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::figures::Measured;
use super::report::progress;
use super::server::Server;
use crate::command::{Run, debug_dir};

/// The figures of `syncline bench queue`, in the order of [`super::figures::NAMES`].
const NAMES: [&str; 5] = [
    "enqueue_per_s",
    "drain_1_per_s",
    "drain_2_per_s",
    "latency_p50_ms",
    "latency_p99_ms",
];

/// The release build's program, if it has the benchmark.
pub(super) fn program() -> anyhow::Result<Option<PathBuf>> {
    Run::cargo(&["build", "--quiet", "--release", "--bin", "syncline"]).run()?;
    let debug = debug_dir()?;
    let target = debug.parent().context("the target folder is unknown")?;
    let program = target.join("release/syncline");
    if !Run::program(&program)
        .args(&["bench", "queue", "--help"])
        .succeeds()
    {
        progress("syncline is left out: it has no `bench queue`");
        return Ok(None);
    }
    Ok(Some(program))
}

pub(super) fn measure(program: &Path, server: &mut Server, jobs: u64) -> anyhow::Result<Measured> {
    progress(&format!("syncline: {jobs} jobs, by bench queue"));
    let url = server.fresh_database()?;
    let jobs = jobs.to_string();
    let answer = Run::program(program)
        .args(&["bench", "queue", "--json", "-", "--database-url", &url])
        // One round of what the peers are asked for, no more.
        .args(&["--rounds", "1", "--history", "0", "--load-seconds", "0"])
        .args(&["--runs", &jobs])
        .output()?;
    read(&answer)
}

fn read(answer: &str) -> anyhow::Result<Measured> {
    let answer: Value = serde_json::from_str(answer).context("`bench queue` gave no JSON")?;
    let mut figures = [f64::NAN; NAMES.len()];
    for (figure, name) in figures.iter_mut().zip(NAMES) {
        let value = answer.get("figures").and_then(|all| all.get(name));
        *figure = value
            .and_then(Value::as_f64)
            .with_context(|| format!("`bench queue` gave no figure {name}"))?;
    }
    Ok(Measured {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        settings: "defaults of bench queue".to_owned(),
        keeps_history: Some(true),
        jobs: answer.pointer("/figures/runs").and_then(Value::as_u64),
        figures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_found_by_name() {
        let answer = r#"{"bench": "queue", "ratios": {}, "figures": {"drain_2_per_s": 3, "drain_1_per_s": 2,
            "enqueue_per_s": 1, "latency_p50_ms": 4.5, "latency_p99_ms": 5, "runs": 1000}}"#;
        let expected = [1.0, 2.0, 3.0, 4.5, 5.0];
        let measured = read(answer).unwrap();
        assert!(measured.figures.iter().eq(&expected));
        assert_eq!(measured.jobs, Some(1000));
        let error = read(r#"{"figures": {}}"#).unwrap_err().to_string();
        assert_eq!(error, "`bench queue` gave no figure enqueue_per_s");
    }
}
