//! Bulk enqueueing beside a plain UNNEST insert of the same columns into the same table, with the same indexes.

use std::time::Instant;

use syncline_shared::db::run::enqueue;

use super::world::{CHUNK, Shape, World, new_batch, new_run};

/// Rows a second.
pub(super) struct Inserts {
    pub(super) enqueued: f64,
    pub(super) plain: f64,
}

pub(super) async fn measure(world: &World) -> anyhow::Result<Inserts> {
    let targets = world.targets(Shape::Single);
    world.clear().await?;
    let mut db = world.database.session().await?;
    let batch = new_batch(&mut db, targets.len()).await?;
    let began = Instant::now();
    for chunk in targets.chunks(CHUNK) {
        enqueue(&mut db, &new_run(batch), chunk).await?;
    }
    let enqueued = began.elapsed().as_secs_f64();
    drop(db);

    world.clear().await?;
    let mut db = world.database.session().await?;
    let began = Instant::now();
    for chunk in targets.chunks(CHUNK) {
        let connections: Vec<_> = chunk.iter().map(|target| target.connection_id.0).collect();
        let businesses: Vec<_> = chunk.iter().map(|target| target.business_id.0).collect();
        let platforms: Vec<_> = chunk.iter().map(|target| target.platform.clone()).collect();
        sqlx::query(
            "insert into syncline.run
                 (queue, state, batch_id, connection_id, business_id, platform, origin, requested_by, kind, priority,
                  fair_turn, due_at)
             select 'sync', 'queued', $4, c, b, p, 'manual', 'syncline bench', 'full', 50, n, syncline.now()
             from unnest($1::uuid[], $2::uuid[], $3::text[]) with ordinality as i (c, b, p, n)",
        )
        .bind(&connections)
        .bind(&businesses)
        .bind(&platforms)
        .bind(batch.0)
        .execute(&mut *db)
        .await?;
    }
    let plain = began.elapsed().as_secs_f64();
    let runs = f64::from(world.runs);
    Ok(Inserts {
        enqueued: runs / enqueued,
        plain: runs / plain,
    })
}
