//! `syncline bench scheduler`: how fast due schedules become ticks, batches and runs, how late they are, and what idling costs.
//!
//! Real scheduler processes are measured. All commits are durable.
//!
//! | figure | what it is |
//! |---|---|
//! | ratio `ticks` | schedules a second that are decided when all are due in the same second, over the rate at which as many clients insert the same rows (tick, batch, run) by plain SQL |
//! | `lateness_p50_ms`, `lateness_p99_ms` | from the nominal instant of a tick to the transaction that records it, under a steady load |
//! | `idle_transactions_per_s` | transactions a second and scheduler, its housekeeping included, while schedules exist and none is due |

mod idle;
mod lateness;
mod plain;
mod ticks;
mod world;

use clap::Args;
use syncline_shared::db::Database;

use super::{Output, Report, machine, median, rounded, server};
use world::World;

/// See [`super::Bench::Scheduler`].
#[derive(Debug, Args)]
pub(super) struct SchedulerBench {
    /// Schedules that are due in the same second, each on a connection of its own.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    schedules: u32,
    /// Scheduler processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    schedulers: u32,
    /// How often the ticks and the plain inserts are measured; medians count.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Ticks a minute for the lateness.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    ticks_a_minute: u32,
    /// Seconds for which the lateness is measured; 0 leaves it out.
    #[arg(long, default_value_t = 60)]
    lateness_seconds: u32,
    /// Seconds of idling; 0 leaves them out.
    #[arg(long, default_value_t = 30)]
    idle_seconds: u32,
    /// An empty database to use, in place of an embedded server.
    #[arg(long, env = "SYNCLINE_BENCH_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl SchedulerBench {
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
            schedules: self.schedules,
        };
        self.measure(&world).await
    }

    async fn measure(&self, world: &World) -> anyhow::Result<Report> {
        let mut report = Report::new("scheduler", machine::describe(&world.database).await);
        world.fill().await?;
        let (mut ratios, mut ticks, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            tracing::info!("round {round} of {}", self.rounds);
            let decided = ticks::measure(world, self.schedulers).await?;
            let inserted = plain::measure(world, self.schedulers).await?;
            ratios.push(decided / inserted);
            ticks.push(decided);
            plain.push(inserted);
        }
        let each: Vec<f64> = ratios.iter().copied().map(rounded).collect();
        report.ratio("ticks", median(ratios));
        report.figure("ticks_rounds", each);
        report.figure("ticks_per_s", rounded(median(ticks)));
        report.figure("plain_per_s", rounded(median(plain)));
        if self.idle_seconds > 0 {
            let rate = idle::measure(world, self.idle_seconds).await?;
            report.figure("idle_transactions_per_s", rounded(rate));
        }
        if self.lateness_seconds > 0 {
            let late = lateness::measure(
                world,
                self.schedulers,
                self.ticks_a_minute,
                self.lateness_seconds,
            )
            .await?;
            report.figure("lateness_p50_ms", rounded(late.0));
            report.figure("lateness_p99_ms", rounded(late.1));
            report.figure("lateness_ticks", late.2);
        }
        report.figure("schedules", self.schedules);
        report.figure("schedulers", self.schedulers);
        Ok(report)
    }
}
