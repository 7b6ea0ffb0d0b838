//! Burn-down: real worker processes work off a queue that is full when they start. Counted from the first claim to the last run's
//! arrival in the history.

use std::process::Stdio;
use std::time::Duration;

use anyhow::ensure;
use tokio::process::{Child, Command};

use super::limit::Pace;
use super::world::{Shape, World};

/// Longest burn-down.
const PATIENCE: Duration = Duration::from_mins(10);

pub(super) async fn measure(world: &World, shape: Shape, processes: usize) -> anyhow::Result<Pace> {
    world.clear().await?;
    world.fill(shape).await?;
    let wal = world.wal_bytes().await?;
    let mut workers = Vec::new();
    for _ in 0..processes {
        workers.push(start(world)?);
    }
    let drained = tokio::time::timeout(PATIENCE, world.wait_until_drained()).await;
    for mut worker in workers {
        ensure!(
            worker.try_wait()?.is_none(),
            "a worker of the benchmark ended by itself"
        );
        // It holds nothing worth keeping.
        worker.kill().await.ok();
    }
    let seconds = drained??;
    let runs = f64::from(world.runs);
    Ok(Pace {
        rate: runs / seconds,
        wal_bytes_a_run: (world.wal_bytes().await? - wal) / runs,
    })
}

fn start(world: &World) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["bench", "queue-worker"])
        .args(["--slots", &world.slots.to_string()])
        .env("DATABASE_URL", &world.url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    Ok(command.spawn()?)
}
