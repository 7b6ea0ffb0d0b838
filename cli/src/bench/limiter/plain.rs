//! The limit: a counter for each key, raised by a plain update.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::Load;

/// Updates a second.
pub(super) async fn measure(load: &Load) -> anyhow::Result<f64> {
    let mut db = load.database.session().await?;
    for statement in [
        "drop table if exists public.counter",
        "create table public.counter (key text primary key, n bigint not null) with (fillfactor = 50)",
    ] {
        sqlx::query(statement).execute(&mut *db).await?;
    }
    sqlx::query("insert into public.counter select 'key ' || n, 0 from generate_series(1, $1) n")
        .bind(i64::from(load.keys))
        .execute(&mut *db)
        .await?;
    drop(db);
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..load.clients {
        clients.spawn(raise(load.clone()));
    }
    let mut done = 0.0;
    while let Some(client) = clients.join_next().await {
        done += client??;
    }
    Ok(done / began.elapsed().as_secs_f64())
}

async fn raise(load: Load) -> anyhow::Result<f64> {
    let until = Instant::now() + Duration::from_secs(load.seconds);
    let mut db = load.database.session().await?;
    let mut done = 0.0;
    while Instant::now() < until {
        let key = rand::rng().random_range(1..=load.keys);
        sqlx::query("update public.counter set n = n + 1 where key = $1")
            .bind(format!("key {key}"))
            .execute(&mut *db)
            .await?;
        done += 1.0;
    }
    Ok(done)
}
