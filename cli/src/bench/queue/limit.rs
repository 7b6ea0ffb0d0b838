//! The limit: the claim and the move to the history, the very statements that workers use, in plain loops.

use std::time::Instant;

use syncline_shared::db::run::{Claim, Finish, Heads, claim, finish};
use syncline_shared::ids::ProcessId;
use syncline_shared::run::SYNC_QUEUE;

use super::world::{Shape, World};

/// Connections that loop.
const CLIENTS: usize = 4;
/// Rows of a statement.
const ROWS: i64 = 1_000;

/// How fast a queue was worked off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Runs a second.
    pub(super) rate: f64,
    /// WAL that a run cost.
    pub(super) wal_bytes_a_run: f64,
}

pub(super) async fn measure(world: &World) -> anyhow::Result<Pace> {
    world.clear().await?;
    world.fill(Shape::Single).await?;
    let process = world.register().await?;
    let wal = world.wal_bytes().await?;
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(work_off(world.clone(), process));
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let runs = f64::from(world.runs);
    Ok(Pace {
        rate: runs / seconds,
        wal_bytes_a_run: (world.wal_bytes().await? - wal) / runs,
    })
}

async fn work_off(world: World, process: ProcessId) -> anyhow::Result<()> {
    let mut db = world.database.session().await?;
    loop {
        let wanted = Claim {
            queue: SYNC_QUEUE,
            limit: ROWS,
            rooms: &[],
            room: ROWS,
            heads: &Heads::default(),
            process,
        };
        let claimed = claim(&mut db, &wanted).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        let ends: Vec<Finish> = claimed.iter().map(Finish::succeeded).collect();
        finish(&mut db, &ends, "bench").await?;
    }
}
