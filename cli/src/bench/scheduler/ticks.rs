//! All schedules are due in the same second. Counted from that second to the moment at which none is due any more.

use std::time::Duration;

use anyhow::ensure;

use super::world::World;

/// Longest time that is waited for the last tick.
const PATIENCE: Duration = Duration::from_mins(10);

/// Schedules a second.
pub(super) async fn measure(world: &World, schedulers: u32) -> anyhow::Result<f64> {
    world.clear().await?;
    let running = world.start(schedulers).await?;
    // An interval of a day whose anchor is the moment: it is due once within the measurement.
    world
        .run(&[
            "with moment as materialized (select date_trunc('second', now()) + interval '10 s' as at)
             update syncline.schedule set anchor = at, next_at = at, due_at = at from moment",
            "notify syncline_schedule",
        ])
        .await?;
    let decided = async {
        loop {
            let seconds = world
                .ask(
                    "select case when exists (
                         select from syncline.schedule where due_at < now() + interval '1 hour')
                     then -1 else extract(epoch from clock_timestamp() - (select min(nominal_at) from syncline.tick)) end::float8",
                )
                .await?;
            if seconds >= 0.0 {
                return anyhow::Ok(seconds);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let seconds = tokio::time::timeout(PATIENCE, decided).await??;
    running.end().await?;
    let runs = world
        .ask("select count(*)::float8 from syncline.run r join syncline.tick t on t.batch_id = r.batch_id")
        .await?;
    let wanted = f64::from(world.schedules);
    ensure!(
        (runs - wanted).abs() < 0.5,
        "{wanted} schedules were due, and {runs} runs were made"
    );
    Ok(wanted / seconds)
}
