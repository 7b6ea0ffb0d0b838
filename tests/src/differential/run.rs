//! One scenario, step by step, by any program that speaks the protocol.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::outcome::Outcome;
use super::scenario::{Prepared, Scenario};
use super::server::Server;
use crate::wrong_clock;

/// Reads all steps; `command` gives the program's command line up to its flags. Answers the outcome of each step and what it wrote.
pub(super) async fn read(
    scenario: &Scenario,
    command: impl Fn() -> Command,
) -> Result<(Vec<Outcome>, String), String> {
    let mut outcomes = Vec::new();
    let mut log = String::new();
    let mut states: Option<BTreeMap<String, Value>> = None;
    for number in 0..scenario.steps() {
        let step = scenario.prepare(number, states.as_ref());
        let (outcome, said) = read_step(step, command())
            .await
            .map_err(|error| format!("step {number}: {error}"))?;
        let mut after = states.unwrap_or_default();
        after.extend(outcome.states.clone());
        states = Some(after);
        outcomes.push(outcome);
        log.push_str(&said);
    }
    Ok((outcomes, log))
}

async fn read_step(step: Prepared, mut command: Command) -> Result<(Outcome, String), String> {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(step.answers.clone()).await;
    let address = server.address.clone();
    let put = |name: &str, value: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, value.to_string().replace("$SERVER", &address)).unwrap();
        path
    };
    command.args([
        Path::new("--manifest-path"),
        &put("manifest.yaml", &step.manifest),
    ]);
    command.args([Path::new("--config"), &put("config.json", &step.config)]);
    command.args([Path::new("--catalog"), &put("catalog.json", &step.catalog)]);
    if let Some(states) = &step.state {
        let messages: Vec<Value> = states
            .iter()
            .map(|(name, state)| json!({"type": "STREAM", "stream": {"stream_descriptor": {"name": name}, "stream_state": state}}))
            .collect();
        command.args([Path::new("--state"), &put("state.json", &json!(messages))]);
    }
    command
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .env("TZ", "UTC");
    wrong_clock::stand_still(&mut command, &step.now);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command
        .output()
        .await
        .map_err(|error| format!("the program does not start: {error}"))?;
    let unexpected = server.unexpected();
    let hide = |text: &str| hide_address(text, &address);
    let said = format!(
        "{}{}",
        complaints(&String::from_utf8_lossy(&output.stdout)),
        String::from_utf8_lossy(&output.stderr)
    );
    let said = hide(&said);
    if !unexpected.is_empty() {
        return Err(hide(&format!(
            "requests that no answer fits: {}\n{said}",
            unexpected.join(", ")
        )));
    }
    let messages = hide(&String::from_utf8_lossy(&output.stdout));
    let requests: Vec<Value> = server
        .requests()
        .iter()
        .map(|request| serde_json::from_str(&hide(&request.to_string())).unwrap())
        .collect();
    let outcome = Outcome::of_messages(&messages).with_requests(&requests, step.counted);
    Ok((outcome, said))
}

/// What went wrong, of the messages of a read.
fn complaints(messages: &str) -> String {
    let mut lines = String::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line)
            .unwrap_or_else(|_| json!({"log": {"level": "ERROR", "message": line}}));
        let log = &message["log"];
        let is_bad = matches!(log["level"].as_str(), Some("WARN" | "ERROR" | "FATAL"));
        let text = if is_bad {
            &log["message"]
        } else {
            &message["trace"]["error"]["message"]
        };
        if let Some(text) = text.as_str() {
            lines.extend(text.chars().take(500));
            lines.push('\n');
        }
    }
    lines
}

/// Puts the placeholder back, so that the port of a run is nowhere.
fn hide_address(text: &str, address: &str) -> String {
    let authority = address.trim_start_matches("http://");
    let encoded = address.replace(':', "%3A").replace('/', "%2F");
    text.replace(address, "$SERVER")
        .replace(&encoded, "$SERVER")
        .replace(authority, "$AUTHORITY")
}
