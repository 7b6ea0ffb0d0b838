//! A sync under limits.

use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;
use secrecy::SecretString;
use serde_json::{Value, json};
use syncline_shared::config::SecretConfig;
use syncline_shared::db::Database;

use super::LimiterBench;
use crate::bench::sync::{PAGE_SIZE, Processes, SECRET_KEY, sync};
use crate::bench::{Report, median, rounded};
use crate::dev::set_up_connection;

/// A limit that does not bind, of a window in a tenth of which a process can use many permits.
const ROOMY: (u32, u32) = (100_000, 60);
/// One that hardly binds, of a window in a tenth of which it can use few.
const TIGHT: (u32, u32) = (90, 1);
/// Requests that may be under way at once.
const AT_ONCE: u32 = 4;
/// So many syncs of as many businesses that share the tight one at the same time: together they could use four times as much.
const CONTENDERS: usize = 8;

pub(super) async fn measure(
    bench: &LimiterBench,
    database: &Database,
    url: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut processes = Processes::start(
        bench.pages,
        bench.latency_ms,
        CONTENDERS,
        &bench.connectors,
        url,
    )
    .await?;
    let result = measure_with(bench, database, &processes, report).await;
    processes.stop().await;
    result
}

async fn measure_with(
    bench: &LimiterBench,
    database: &Database,
    processes: &Processes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let limit =
        |(limit, per_seconds): (u32, u32)| json!({"limit": limit, "per_seconds": per_seconds});
    let measured = Measured {
        bench,
        database,
        processes,
    };
    let (mut free, mut roomy, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut trips, mut tight_trips, mut contended_trips) = (Vec::new(), Vec::new(), Vec::new());
    let (mut at_once_trips, mut at_once_contended_trips) = (Vec::new(), Vec::new());
    let at_once = json!({"limit": AT_ONCE, "at_once": true});
    for round in 1..=bench.rounds {
        tracing::info!("syncs, round {round} of {}", bench.rounds);
        let no_limit = json!({"windows": []});
        let without = measured
            .syncs(1, &format!("free-{round}"), no_limit)
            .await?;
        let with = measured
            .syncs(1, &format!("roomy-{round}"), limit(ROOMY))
            .await?;
        let tight = measured
            .syncs(1, &format!("tight-{round}"), limit(TIGHT))
            .await?;
        let contended = measured
            .syncs(CONTENDERS, &format!("contended-{round}"), limit(TIGHT))
            .await?;
        let few_at_once = measured
            .syncs(1, &format!("at-once-{round}"), at_once.clone())
            .await?;
        let few_contended = measured
            .syncs(
                CONTENDERS,
                &format!("at-once-contended-{round}"),
                at_once.clone(),
            )
            .await?;
        ratios.push(with.seconds / without.seconds);
        free.push(without.seconds);
        roomy.push(with.seconds);
        trips.push(with.trips_a_request);
        tight_trips.push(tight.trips_a_request);
        contended_trips.push(contended.trips_a_request);
        at_once_trips.push(few_at_once.trips_a_request);
        at_once_contended_trips.push(few_contended.trips_a_request);
    }
    report.ratio("overhead", median(ratios));
    let mut figure = |name: &str, values: Vec<f64>| report.figure(name, rounded(median(values)));
    figure("unlimited_seconds", free);
    figure("limited_seconds", roomy);
    figure("round_trips_a_request", trips);
    figure("round_trips_a_request_tight", tight_trips);
    figure("round_trips_a_request_contended", contended_trips);
    figure("round_trips_a_request_at_once", at_once_trips);
    figure(
        "round_trips_a_request_at_once_contended",
        at_once_contended_trips,
    );
    report.figure("pages", bench.pages);
    Ok(())
}

struct Measured<'a> {
    bench: &'a LimiterBench,
    database: &'a Database,
    processes: &'a Processes,
}

struct Synced {
    seconds: f64,
    trips_a_request: f64,
}

impl Measured<'_> {
    /// Syncs of as many businesses at the same time, all under the same limit.
    async fn syncs(&self, count: usize, name: &str, limit: Value) -> anyhow::Result<Synced> {
        let keys: Vec<_> = (1..=count)
            .map(|number| format!("{name}-{number}"))
            .collect();
        for key in &keys {
            self.connect(key, &limit).await?;
        }
        let before = trips(self.database).await?;
        let records = u64::from(self.bench.pages * PAGE_SIZE);
        let syncs = keys.iter().map(|key| sync(self.database, key, records));
        let seconds = try_join_all(syncs).await?.into_iter().fold(0.0, f64::max);
        // What is not told with a question is told at the latest a moment later, and statistics are a second late.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let trips = trips(self.database).await? - before;
        let requests = keys
            .iter()
            .map(|_| f64::from(self.bench.pages))
            .sum::<f64>();
        Ok(Synced {
            seconds,
            trips_a_request: trips / requests,
        })
    }

    async fn connect(&self, key: &str, limit: &Value) -> anyhow::Result<()> {
        let secret = SecretConfig {
            secret_key: SecretString::from(SECRET_KEY),
        };
        set_up_connection(
            self.database,
            &secret,
            &self.bench.connectors,
            key,
            key,
            &self.processes.simulator_url,
        )
        .await?;
        let mut db = self.database.session().await?;
        sqlx::query("update syncline.connection set limits = jsonb_build_object('requests', $2::jsonb) where key = $1")
            .bind(key)
            .bind(limit)
            .execute(&mut *db)
            .await?;
        Ok(())
    }
}

/// How often permits were asked for, settled or corrected so far.
async fn trips(database: &Database) -> anyhow::Result<f64> {
    let mut db = database.session().await?;
    sqlx::query_scalar(
        "select coalesce(sum(calls), 0)::float8 from pg_stat_user_functions
         where schemaname = 'syncline' and funcname in ('take_permits', 'correct_budget')",
    )
    .fetch_one(&mut *db)
    .await
    .context("the calls of functions could not be counted")
}
