//! `syncline connector lint`: what keeps manifests from being loaded, and the traps that they walk into.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use syncline_engine::{LintReport, LintWarning, lint};
use syncline_shared::clock::SystemClock;

use super::output::{Form, Output};
use super::read::counted;

/// Paths that a sentence for people names.
const NAMED_PATHS: usize = 3;

#[derive(Debug, Args)]
pub(super) struct LintCommand {
    /// Manifests to read.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Fail on warnings as well.
    #[arg(long)]
    deny_warnings: bool,
    /// Print a JSON object a finding.
    #[arg(long)]
    json: bool,
}

/// A finding, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Finding<'a> {
    file: String,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap: Option<&'a str>,
    paths: Vec<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

pub(super) fn run(command: &LintCommand) -> ExitCode {
    let output = Output::new(Form::of(command.json), Arc::new(SystemClock));
    let mut errors = 0;
    let mut warnings = 0;
    for file in &command.files {
        let report = match std::fs::read_to_string(file) {
            Ok(yaml) => lint(&platform(file), &yaml),
            Err(error) => {
                errors += 1;
                say(
                    &output,
                    file,
                    "error",
                    &format!("it cannot be read: {error}"),
                );
                continue;
            }
        };
        errors += report.problems.len();
        warnings += report.warnings.len();
        print(&output, file, &report);
    }
    if !command.json {
        output.answer(&format!(
            "{}: {}, {}",
            counted(command.files.len() as u64, "manifest"),
            counted(errors as u64, "error"),
            counted(warnings as u64, "warning")
        ));
    }
    output.exit(errors == 0 && (warnings == 0 || !command.deny_warnings))
}

fn print(output: &Output, file: &Path, report: &LintReport) {
    for problem in &report.problems {
        match output.form() {
            Form::Protocol => output.object(&Finding {
                file: file.display().to_string(),
                level: "error",
                trap: None,
                paths: vec![problem.path.as_str()],
                message: &problem.message,
                advice: None,
            }),
            Form::People => output.answer(&format!("{}: error: {problem}", file.display())),
        }
    }
    for warning in &report.warnings {
        match output.form() {
            Form::Protocol => output.object(&Finding {
                file: file.display().to_string(),
                level: "warning",
                trap: Some(warning.trap),
                paths: warning.paths.iter().map(String::as_str).collect(),
                message: &warning.happens,
                advice: Some(warning.advice),
            }),
            Form::People => output.answer(&format!(
                "{}: warning [{}] {}: {}\n  do: {}",
                file.display(),
                warning.trap,
                places(warning),
                warning.happens,
                warning.advice
            )),
        }
    }
}

fn say(output: &Output, file: &Path, level: &'static str, message: &str) {
    match output.form() {
        Form::Protocol => output.object(&Finding {
            file: file.display().to_string(),
            level,
            trap: None,
            paths: Vec::new(),
            message,
            advice: None,
        }),
        Form::People => output.answer(&format!("{}: {level}: {message}", file.display())),
    }
}

fn places(warning: &LintWarning) -> String {
    let shown = warning.paths.iter().take(NAMED_PATHS);
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    let more = warning.paths.len().saturating_sub(NAMED_PATHS);
    if more == 0 {
        shown.join(", ")
    } else {
        format!("{} and {more} more", shown.join(", "))
    }
}

fn platform(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}
