//! One round of a peer: the same clock and the same definition of done for all of them.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::conversation::Conversation;
use super::figures::{Measured, percentile};
use super::install::Command;
use super::list::Peer;
use super::report::progress;
use super::server::Server;
use crate::command::Run;

/// Longest burn-down, and longest wait for any answer.
const PATIENCE: Duration = Duration::from_mins(15);
/// Jobs whose pickup is measured.
const LATENCY_JOBS: u32 = 1000;
/// Their rate, a second.
const LATENCY_RATE: u32 = 100;

pub(super) fn measure(
    peer: &Peer,
    command: &Command,
    server: &mut Server,
    jobs: u64,
) -> anyhow::Result<Measured> {
    progress(&format!("{}: {jobs} jobs, twice", peer.name));
    let one = drain(command, server, jobs, 1).context("with 1 process")?;
    let two = drain(command, server, jobs, 2).context("with 2 processes")?;
    let (about, mut samples) = pickup(command, server).context("latency")?;
    samples.sort_by(f64::total_cmp);
    Ok(Measured {
        version: text(&about, "version")?,
        settings: text(&about, "settings")?,
        keeps_history: about.get("keeps_history").and_then(Value::as_bool),
        jobs: Some(jobs),
        figures: [
            // Twice the jobs in the time of both.
            2.0 * rate(jobs, one.enqueue_seconds + two.enqueue_seconds),
            rate(jobs, one.drain_seconds),
            rate(jobs, two.drain_seconds),
            percentile(&samples, 0.50),
            percentile(&samples, 0.99),
        ],
    })
}

/// Jobs a second; a count of jobs is far below what a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn rate(jobs: u64, seconds: f64) -> f64 {
    jobs as f64 / seconds
}

struct Drained {
    enqueue_seconds: f64,
    /// From the first job's start to the last one's durable completion.
    drain_seconds: f64,
}

fn drain(
    command: &Command,
    server: &mut Server,
    jobs: u64,
    processes: usize,
) -> anyhow::Result<Drained> {
    let url = server.fresh_database()?;
    let mut control = Driver::start(command, &url)?;
    control.ask("set-up")?;
    let enqueued = control.ask(&format!("enqueue {jobs}"))?;
    server.settle()?;
    // All are up, connected, and have answered before the first one may begin.
    let mut workers = Vec::new();
    for _ in 0..processes {
        let mut worker = Driver::start(command, &url)?;
        worker.ask("about")?;
        workers.push(worker);
    }
    for worker in &mut workers {
        worker.talk.say("work")?;
    }
    let begun = Instant::now();
    while workers.iter().map(|worker| worker.handled).sum::<u64>() < jobs {
        if begun.elapsed() > PATIENCE {
            bail!("{jobs} jobs were not handled within {PATIENCE:?}");
        }
        for worker in &mut workers {
            worker.follow()?;
        }
        thread::sleep(Duration::from_millis(2));
    }
    let finished_at = number(&control.ask("finish")?, "finished_at")?;
    let first_at = workers
        .iter()
        .map(|worker| worker.first_at)
        .fold(f64::INFINITY, f64::min);
    Ok(Drained {
        enqueue_seconds: number(&enqueued, "seconds")?,
        drain_seconds: finished_at - first_at,
    })
}

/// What the peer says about itself, and the milliseconds that jobs waited.
fn pickup(command: &Command, server: &mut Server) -> anyhow::Result<(Value, Vec<f64>)> {
    let url = server.fresh_database()?;
    let mut driver = Driver::start(command, &url)?;
    let about = driver.ask("about")?;
    driver.ask("set-up")?;
    let answer = driver.ask(&format!("latency {LATENCY_JOBS} {LATENCY_RATE}"))?;
    let samples = answer.get("samples_ms").and_then(Value::as_array);
    let samples = samples.context("the driver gave no samples")?;
    let samples: Vec<f64> = samples.iter().filter_map(Value::as_f64).collect();
    Ok((about, samples))
}

/// One process of a driver.
struct Driver {
    talk: Conversation,
    /// Jobs it has run.
    handled: u64,
    /// When it started the first one, in seconds since 1970.
    first_at: f64,
}

impl Driver {
    fn start(command: &Command, url: &str) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("an empty command")?;
        let run = Run::program(program)
            .args(arguments)
            .env("DATABASE_URL", url)
            // Or Python would write into the source folder.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(Self {
            talk: Conversation::start(run)?,
            handled: 0,
            first_at: f64::INFINITY,
        })
    }

    fn ask(&mut self, line: &str) -> anyhow::Result<Value> {
        self.talk.say(line)?;
        let answer = self
            .talk
            .wait(PATIENCE)
            .with_context(|| format!("after {line:?}"))?;
        serde_json::from_str(&answer)
            .with_context(|| format!("{line:?} was answered by {answer:?}"))
    }

    /// Takes note of what a worker has reported.
    fn follow(&mut self) -> anyhow::Result<()> {
        while let Some(line) = self.talk.poll()? {
            let report: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            // The answer to `work` itself comes between the reports, and is empty.
            if let Some(handled) = report.get("handled").and_then(Value::as_u64) {
                self.handled = handled;
                self.first_at = number(&report, "first_at")?;
            }
        }
        Ok(())
    }
}

fn number(answer: &Value, name: &str) -> anyhow::Result<f64> {
    let value = answer.get(name).and_then(Value::as_f64);
    value.with_context(|| format!("no number {name} in {answer}"))
}

fn text(answer: &Value, name: &str) -> anyhow::Result<String> {
    let value = answer.get(name).and_then(Value::as_str);
    let value = value.with_context(|| format!("no text {name} in {answer}"))?;
    Ok(value.to_owned())
}
