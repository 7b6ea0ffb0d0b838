//! The limit: the rows of as many ticks, inserted by plain SQL from as many connections as there are schedulers.

use std::time::Instant;

use super::world::World;

/// Ticks of a statement: as many as a scheduler decides at once.
const ROWS: i64 = 500;

/// Ticks a second.
pub(super) async fn measure(world: &World, clients: u32) -> anyhow::Result<f64> {
    world.clear().await?;
    let each = i64::from(world.schedules / clients);
    let began = Instant::now();
    let mut inserting = tokio::task::JoinSet::new();
    for client in 0..i64::from(clients) {
        inserting.spawn(insert(world.clone(), client * each, each));
    }
    while let Some(done) = inserting.join_next().await {
        done??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let inserted = world
        .ask("select count(*)::float8 from syncline.tick")
        .await?;
    Ok(inserted / seconds)
}

async fn insert(world: World, offset: i64, rows: i64) -> anyhow::Result<()> {
    let mut done = 0;
    while done < rows {
        let chunk = ROWS.min(rows - done);
        let mut db = world.database.begin().await?;
        // What a tick leaves: its row, its batch and its run, with the keys that were looked up for it.
        sqlx::query(
            "with due as materialized (
                 select s.id as schedule_id, c.id as connection_id, c.business_id, c.platform, syncline.new_run_id() as batch_id
                 from generate_series($1::bigint + 1, $1 + $2) n
                 join syncline.schedule s on s.key = 'c' || n
                 join syncline.connection c on c.id = s.connection_id
             ),
             batches as (
                 insert into syncline.batch (id, origin, schedule_id, nominal_at, target, connection_id, kind, runs)
                 select batch_id, 'schedule', schedule_id, now(), 'connection', connection_id, 'incremental', 1 from due
             ),
             runs as (
                 insert into syncline.run (queue, state, batch_id, schedule_id, connection_id, business_id, platform, origin, kind,
                     priority, fair_turn, due_at)
                 select 'sync', 'queued', batch_id, schedule_id, connection_id, business_id, platform, 'schedule', 'incremental',
                        50, 1, now()
                 from due
             )
             insert into syncline.tick (schedule_id, nominal_at, last_nominal_at, outcome, batch_id)
             select schedule_id, now(), now(), 'fired', batch_id from due",
        )
        .bind(offset + done)
        .bind(chunk)
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        done += chunk;
    }
    Ok(())
}
