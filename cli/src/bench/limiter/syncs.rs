//! A sync under limits.

use anyhow::Context;
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

pub(super) async fn measure(
    bench: &LimiterBench,
    database: &Database,
    url: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut processes =
        Processes::start(bench.pages, bench.latency_ms, &bench.connectors, url).await?;
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
    let (mut free, mut roomy, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut trips, mut tight_trips) = (Vec::new(), Vec::new());
    for round in 0..bench.rounds {
        tracing::info!("syncs, round {round} of {}", bench.rounds);
        let without = one(
            bench,
            database,
            processes,
            &format!("free-{round}"),
            json!({"windows": []}),
        )
        .await?;
        let with = one(
            bench,
            database,
            processes,
            &format!("roomy-{round}"),
            limit(ROOMY),
        )
        .await?;
        let tight = one(
            bench,
            database,
            processes,
            &format!("tight-{round}"),
            limit(TIGHT),
        )
        .await?;
        ratios.push(with.seconds / without.seconds);
        free.push(without.seconds);
        roomy.push(with.seconds);
        trips.push(with.trips_a_request);
        tight_trips.push(tight.trips_a_request);
    }
    report.ratio("overhead", median(ratios));
    report.figure("unlimited_seconds", rounded(median(free)));
    report.figure("limited_seconds", rounded(median(roomy)));
    report.figure("round_trips_a_request", rounded(median(trips)));
    report.figure("round_trips_a_request_tight", rounded(median(tight_trips)));
    report.figure("pages", bench.pages);
    Ok(())
}

struct Synced {
    seconds: f64,
    trips_a_request: f64,
}

async fn one(
    bench: &LimiterBench,
    database: &Database,
    processes: &Processes,
    key: &str,
    limit: Value,
) -> anyhow::Result<Synced> {
    let secret = SecretConfig {
        secret_key: SecretString::from(SECRET_KEY),
    };
    set_up_connection(
        database,
        &secret,
        &bench.connectors,
        key,
        &processes.simulator_url,
    )
    .await?;
    let mut db = database.session().await?;
    sqlx::query("update syncline.connection set limits = jsonb_build_object('requests', $2::jsonb) where key = $1")
        .bind(key)
        .bind(limit)
        .execute(&mut *db)
        .await?;
    drop(db);
    let before = trips(database).await?;
    let records = u64::from(bench.pages * PAGE_SIZE);
    let seconds = sync(database, key, records).await?;
    // What is not told with a question is told at the latest a moment later, and statistics are a second late.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let trips = trips(database).await? - before;
    Ok(Synced {
        seconds,
        trips_a_request: trips / f64::from(bench.pages),
    })
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
