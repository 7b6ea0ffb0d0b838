//! `syncline bench NAME`: measures Syncline against a limit or a peer in the same run.
//!
//! Machines differ and are noisy, so what counts are ratios between things measured in turn. The answer is one JSON object;
//! the names in it stay stable.

mod engine;
mod limiter;
mod machine;
mod queue;
mod scheduler;
mod server;
mod sync;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// See [`crate::args::Command::Bench`].
#[derive(Debug, Args)]
pub(crate) struct BenchCommand {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// A full sync of 771 pages, beside a bare client that only fetches and parses the same pages one after the other.
    Sync(sync::SyncBench),
    /// Burn-down, enqueueing and pickup of no-op runs, beside the same statements in a plain loop.
    Queue(queue::QueueBench),
    /// Ticks of very many schedules that are due at once, lateness under a steady load, and the cost of idling.
    Scheduler(scheduler::SchedulerBench),
    /// Permits for requests, beside a plain counter; and what they cost a sync whose limit does not bind.
    Limiter(limiter::LimiterBench),
    /// Records per CPU-second and peak memory of the connector engine, beside airbyte-cdk on the same server.
    Engine(engine::EngineBench),
    /// A program and what it used; started by `bench engine`.
    #[command(hide = true)]
    EngineChild(engine::EngineChild),
    /// A worker that does nothing with its runs; started by `bench queue`.
    #[command(hide = true)]
    QueueWorker(queue::QueueWorker),
}

/// Where the answer goes.
#[derive(Debug, Args)]
struct Output {
    /// Print the answer as JSON; `-` is standard output, anything else a file.
    #[arg(long)]
    json: Option<String>,
}

/// What a benchmark found.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    ratios: Map<String, Value>,
    figures: Map<String, Value>,
    machine: Value,
}

impl Report {
    fn new(bench: &'static str, machine: Value) -> Self {
        Self {
            bench,
            ratios: Map::new(),
            figures: Map::new(),
            machine,
        }
    }

    fn ratio(&mut self, name: &str, value: f64) {
        self.ratios.insert(name.to_owned(), json!(rounded(value)));
    }

    fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    #[expect(clippy::print_stdout, reason = "the command's answer")]
    fn print(&self, output: &Output) -> anyhow::Result<()> {
        match output.json.as_deref() {
            Some("-") => println!("{}", serde_json::to_string_pretty(self)?),
            Some(file) => std::fs::write(file, serde_json::to_vec_pretty(self)?)?,
            None => {
                for (name, value) in &self.ratios {
                    println!("{} {name}: {value}", self.bench);
                }
                for (name, value) in &self.figures {
                    println!("  {name}: {value}");
                }
            }
        }
        Ok(())
    }
}

/// Three digits behind the point: more would only be noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) async fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command.bench {
        Bench::Sync(bench) => bench.run().await,
        Bench::Queue(bench) => bench.run().await,
        Bench::Scheduler(bench) => bench.run().await,
        Bench::Limiter(bench) => bench.run().await,
        Bench::Engine(bench) => bench.run().await,
        Bench::EngineChild(child) => child.run(),
        Bench::QueueWorker(worker) => worker.run().await,
    }
}
