//! `syncline bench queue`: how much of what Postgres allows the queue makes use of.
//!
//! What is measured is the real thing: `drain_*` starts worker processes with the real claimer, apalis loop and recorder, whose
//! handler alone does nothing. The limit is taken in the same run, before and after, by the very same claim and finish statements
//! in a plain loop of 1,000 rows each over four connections, without processes, wake-ups, leases to renew or attempts to watch. All
//! commits are durable (`synchronous_commit` on), and every run ends in the history with its attempt.
//!
//! | ratio | what it compares |
//! |---|---|
//! | `drain_1`, `drain_2` | burn-down of no-op runs, each on a connection of its own, by one or two processes, over the limit |
//! | `drain_successors` | the same where each run frees the next of its connection, over the limit |
//! | `drain_history` | `drain_1` with many finished runs in the history, over the limit without them |
//! | `enqueue` | rows a second of bulk enqueueing, over a plain UNNEST insert into the same table |
//! | `latency_p99` | from the INSERT of a single run to the start of its handler, over NOTIFY and the bare claim |

mod drain;
mod enqueue;
mod latency;
mod limit;
mod load;
mod worker;
mod world;

use std::time::Duration;

use clap::Args;
use syncline_shared::db::Database;

use super::{Output, Report, machine, median, rounded, server};
pub(super) use worker::QueueWorker;
use world::{Shape, World};

/// See [`super::Bench::Queue`].
#[derive(Debug, Args)]
pub(super) struct QueueBench {
    /// Runs of a burn-down, each on a connection of its own.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    runs: u32,
    /// Businesses that they belong to.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    businesses: u32,
    /// How often everything is measured; medians count.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Finished runs in the history for `drain_history`; 0 leaves it out.
    #[arg(long, default_value_t = 5_000_000)]
    history: u32,
    /// Slots of a worker.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    slots: u16,
    /// Seconds of open-loop load with 1 ms of work a run; 0 leaves it out.
    #[arg(long, default_value_t = 10)]
    load_seconds: u64,
    /// Runs a second of that load.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    load_rate: u64,
    /// An empty database to use, in place of an embedded server.
    #[arg(long, env = "SYNCLINE_BENCH_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl QueueBench {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        server::with(self.database_url.as_deref(), 12, async |database, url| {
            self.run_on(database, url).await
        })
        .await?
        .print(&self.output)
    }

    async fn run_on(&self, database: &Database, url: &str) -> anyhow::Result<Report> {
        let world = World {
            database: database.clone(),
            url: url.to_owned(),
            runs: self.runs,
            businesses: self.businesses,
            slots: self.slots,
        };
        self.measure(&world).await
    }

    async fn measure(&self, world: &World) -> anyhow::Result<Report> {
        let mut report = Report::new("queue", machine::describe(&world.database).await);
        let mut figures = Figures::default();
        for round in 1..=self.rounds {
            tracing::info!("round {round} of {}", self.rounds);
            let before = limit::measure(world).await?;
            let one = drain::measure(world, Shape::Single, 1).await?;
            let two = drain::measure(world, Shape::Single, 2).await?;
            let successors = drain::measure(world, Shape::Successors, 1).await?;
            let after = limit::measure(world).await?;
            let limit = f64::midpoint(before.rate, after.rate);
            figures.add("limit_per_s", limit);
            figures.add("drain_1_per_s", one.rate);
            figures.add("drain_2_per_s", two.rate);
            figures.add("drain_successors_per_s", successors.rate);
            figures.add("wal_bytes_a_run", one.wal_bytes_a_run);
            figures.add("limit_wal_bytes_a_run", after.wal_bytes_a_run);
            figures.add("drain_1", one.rate / limit);
            figures.add("drain_2", two.rate / limit);
            figures.add("drain_successors", successors.rate / limit);
            let inserts = enqueue::measure(world).await?;
            figures.add("enqueue_per_s", inserts.enqueued);
            figures.add("insert_per_s", inserts.plain);
            figures.add("enqueue", inserts.enqueued / inserts.plain);
            let pickup = latency::measure(world).await?;
            figures.add("latency_p50_ms", pickup.ours.0);
            figures.add("latency_p99_ms", pickup.ours.1);
            figures.add("bare_latency_p50_ms", pickup.bare.0);
            figures.add("bare_latency_p99_ms", pickup.bare.1);
            figures.add("latency_p99", pickup.ours.1 / pickup.bare.1);
        }
        if self.load_seconds > 0 {
            let load = load::measure(
                world,
                self.load_rate,
                Duration::from_secs(self.load_seconds),
            )
            .await?;
            report.figure("load_offered_per_s", self.load_rate);
            report.figure("load_finished_per_s", rounded(load.rate));
            report.figure("load_p50_ms", rounded(load.latency.0));
            report.figure("load_p99_ms", rounded(load.latency.1));
        }
        if self.history > 0 {
            world.fill_history(self.history).await?;
            for _ in 0..self.rounds {
                let aged = drain::measure(world, Shape::Single, 1).await?;
                figures.add("drain_history_per_s", aged.rate);
            }
            let limit = figures.median("limit_per_s");
            report.ratio(
                "drain_history",
                figures.median("drain_history_per_s") / limit,
            );
            report.figure("history", self.history);
        }
        figures.write(&mut report);
        report.figure("runs", self.runs);
        report.figure("businesses", self.businesses);
        report.figure("slots", self.slots);
        Ok(report)
    }
}

/// The ratios, by name; every other figure is just a figure.
const RATIOS: [&str; 5] = [
    "drain_1",
    "drain_2",
    "drain_successors",
    "enqueue",
    "latency_p99",
];

/// What the rounds have found.
#[derive(Default)]
struct Figures(Vec<(&'static str, Vec<f64>)>);

impl Figures {
    fn add(&mut self, name: &'static str, value: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }

    fn median(&self, name: &str) -> f64 {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map_or(f64::NAN, |(_, values)| median(values.clone()))
    }

    fn write(&self, report: &mut Report) {
        for (name, values) in &self.0 {
            let middle = median(values.clone());
            if RATIOS.contains(name) {
                report.ratio(name, middle);
                let rounds: Vec<f64> = values.iter().copied().map(rounded).collect();
                report.figure(&format!("{name}_rounds"), rounds);
            } else {
                report.figure(name, rounded(middle));
            }
        }
    }
}
