//! What a scheduler asks while nothing is due: all transactions that the server counts, ours taken away.

use std::time::Duration;

use super::world::World;

/// Until what a scheduler does at its start is over.
const SETTLE: Duration = Duration::from_secs(15);

/// Transactions a second of one scheduler.
pub(super) async fn measure(world: &World, seconds: u32) -> anyhow::Result<f64> {
    world.clear().await?;
    world
        .run(&[
            "update syncline.schedule set next_at = now() + interval '1 day', due_at = now() + interval '1 day'",
            "vacuum analyze syncline.schedule",
        ])
        .await?;
    let alone = count_over(world, seconds).await?;
    let running = world.start(1).await?;
    tokio::time::sleep(SETTLE).await;
    let with_scheduler = count_over(world, seconds).await?;
    running.end().await?;
    // Autovacuum comes and goes: of two measurements without a scheduler the one that it disturbed less counts.
    let alone = alone.min(count_over(world, seconds).await?);
    Ok((with_scheduler - alone).max(0.0) / f64::from(seconds))
}

async fn count_over(world: &World, seconds: u32) -> anyhow::Result<f64> {
    let before = count(world).await?;
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    Ok(count(world).await? - before)
}

async fn count(world: &World) -> anyhow::Result<f64> {
    // Backends tell the statistics what they did once they have been idle for a while.
    tokio::time::sleep(Duration::from_secs(2)).await;
    world
        .ask(
            "select (xact_commit + xact_rollback)::float8 from pg_stat_database where datname = current_database()",
        )
        .await
}
