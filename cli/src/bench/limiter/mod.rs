//! `syncline bench limiter`: what permits cost.
//!
//! All commits are durable.
//!
//! | figure | what it is |
//! |---|---|
//! | ratio `takes_N` | permits a second, one at a time, that clients take of N budgets, each settling the one before, over the rate at which as many clients raise one of N counters by a plain update |
//! | ratio `permits_N` | the same with ten permits at a time |
//! | ratio `overhead` | a full sync under a limit that does not bind, over one without a limit |
//! | `round_trips_a_request` | questions for permits, and reports of what became of them, for each request of that sync |
//! | `round_trips_a_request_tight` | the same under a limit of a second, which gives a process less than ten permits within a tenth of it |
//! | `round_trips_a_request_contended` | the same for eight syncs of as many businesses that share that limit, and could use four times as much |
//! | `round_trips_a_request_at_once`, `..._at_once_contended` | the same two under a limit of four requests under way at once |

mod permits;
mod plain;
mod syncs;

use clap::Args;
use syncline_shared::config::ConnectorsConfig;
use syncline_shared::db::Database;

use super::{Output, Report, machine, median, rounded, server};

/// Numbers of budgets.
const KEYS: [u32; 3] = [1, 100, 10_000];

/// See [`super::Bench::Limiter`].
#[derive(Debug, Args)]
pub(super) struct LimiterBench {
    /// Clients that ask at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: u32,
    /// Seconds of each measurement of permits.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often everything is measured; medians count.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Pages of the syncs; 0 leaves them out.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    pages: u32,
    /// Milliseconds that the simulator takes for each page.
    #[arg(long, default_value_t = 20)]
    latency_ms: u64,
    /// An empty database to use, in place of an embedded server.
    #[arg(long, env = "SYNCLINE_BENCH_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    #[command(flatten)]
    connectors: ConnectorsConfig,
    #[command(flatten)]
    output: Output,
}

impl LimiterBench {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        server::with(
            self.database_url.as_deref(),
            self.clients + 2,
            async |database, url| self.measure(database, url).await,
        )
        .await?
        .print(&self.output)
    }

    async fn measure(&self, database: &Database, url: &str) -> anyhow::Result<Report> {
        let mut report = Report::new("limiter", machine::describe(database).await);
        for keys in KEYS {
            let (mut takes, mut permits, mut rates) = (Vec::new(), Vec::new(), Vec::new());
            for round in 1..=self.rounds {
                tracing::info!("{keys} keys, round {round} of {}", self.rounds);
                let load = Load {
                    database: database.clone(),
                    keys,
                    clients: self.clients,
                    seconds: self.seconds,
                };
                let counter = plain::measure(&load).await?;
                let single = permits::measure(&load, 1).await?;
                let leased = permits::measure(&load, 10).await?;
                takes.push(single / counter);
                permits.push(leased / counter);
                rates.push((counter, single, leased));
            }
            report.ratio(&format!("takes_{keys}"), median(takes));
            report.ratio(&format!("permits_{keys}"), median(permits));
            let mut rate = |name: &str, of: fn(&(f64, f64, f64)) -> f64| {
                let value = median(rates.iter().map(of).collect());
                report.figure(&format!("{name}_{keys}_per_s"), rounded(value));
            };
            rate("counter", |rates| rates.0);
            rate("takes", |rates| rates.1);
            rate("permits", |rates| rates.2);
        }
        if self.pages > 0 {
            syncs::measure(self, database, url, &mut report).await?;
        }
        report.figure("clients", self.clients);
        Ok(report)
    }
}

/// What is measured of permits.
#[derive(Debug, Clone)]
struct Load {
    database: Database,
    keys: u32,
    clients: u32,
    seconds: u64,
}
