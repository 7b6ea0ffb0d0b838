//! How late ticks are under a steady load: many schedules of a minute, their moments spread evenly over it.

use std::time::Duration;

use super::world::World;

/// Median and 99th percentile in milliseconds, and the number of ticks.
pub(super) async fn measure(
    world: &World,
    schedulers: u32,
    ticks_a_minute: u32,
    seconds: u32,
) -> anyhow::Result<(f64, f64, f64)> {
    world.clear().await?;
    let running = world.start(schedulers).await?;
    let mut db = world.database.begin().await?;
    sqlx::query(
        "with chosen as (select id, row_number() over (order by key) as n from syncline.schedule limit $1)
         update syncline.schedule s set every_seconds = 60, anchor = m.at, next_at = m.at, due_at = m.at
         from chosen c
         cross join lateral (select now() + interval '2 s' + c.n * interval '1 minute' / $1 as at) m
         where s.id = c.id",
    )
    .bind(i32::try_from(ticks_a_minute.min(world.schedules))?)
    .execute(&mut *db)
    .await?;
    db.commit().await?;
    world.run(&["notify syncline_schedule"]).await?;
    tokio::time::sleep(Duration::from_secs(2 + u64::from(seconds))).await;
    running.end().await?;
    // The transaction that decides a tick takes its time at its start, and commits some milliseconds later.
    let late = "extract(epoch from decided_at - nominal_at) * 1000";
    let percentile = |part: &str| {
        format!(
            "select coalesce(percentile_cont({part}) within group (order by {late}), 0)::float8 from syncline.tick"
        )
    };
    let mut db = world.database.session().await?;
    let median: f64 = sqlx::query_scalar(sqlx::AssertSqlSafe(percentile("0.5")))
        .fetch_one(&mut *db)
        .await?;
    let high: f64 = sqlx::query_scalar(sqlx::AssertSqlSafe(percentile("0.99")))
        .fetch_one(&mut *db)
        .await?;
    drop(db);
    let ticks = world
        .ask("select count(*)::float8 from syncline.tick")
        .await?;
    Ok((median, high, ticks))
}
