//! From the moment an insert is sent to the moment its handler starts, at a steady rate, in one process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::Peer;

/// How long a job may take to be picked up before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(120);

struct Jobs {
    begun: Instant,
    /// Microseconds after `begun`, one more than that, so that 0 means not yet.
    sent: Vec<AtomicU64>,
    picked_up: Vec<AtomicU64>,
}

static JOBS: OnceLock<Jobs> = OnceLock::new();

/// Makes room for `jobs` and one more, which goes ahead to warm up connections and caches.
pub(crate) fn prepare(jobs: usize) {
    let empty = || (0..=jobs).map(|_| AtomicU64::new(0)).collect();
    let _ = JOBS.set(Jobs {
        begun: Instant::now(),
        sent: empty(),
        picked_up: empty(),
    });
}

/// A handler has started; nothing happens unless latency is being measured.
pub(crate) fn picked_up(number: u64) {
    if let Some(jobs) = JOBS.get() {
        let slot = usize::try_from(number).ok();
        if let Some(slot) = slot.and_then(|slot| jobs.picked_up.get(slot)) {
            slot.store(jobs.micros(), Ordering::Release);
        }
    }
}

impl Jobs {
    fn micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).map_or(u64::MAX, |micros| micros + 1)
    }
}

/// Sends the jobs at the given rate and returns how long each one waited, in milliseconds.
pub(crate) async fn measure<P: Peer>(
    peer: &'static P,
    count: usize,
    per_second: u32,
) -> anyhow::Result<Vec<f64>> {
    let Some(jobs) = JOBS.get() else {
        bail!("nothing was prepared");
    };
    // Listeners connect, plans are cached; then one job passes through, however late.
    tokio::time::sleep(Duration::from_secs(1)).await;
    send(peer, jobs, count).await?;
    wait_for(jobs, count..count + 1).await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut sending = Vec::with_capacity(count);
    for number in 0..count {
        ticks.tick().await;
        sending.push(tokio::spawn(send(peer, jobs, number)));
    }
    for task in sending {
        task.await??;
    }
    wait_for(jobs, 0..count).await?;
    let waited = |number: usize| {
        let sent = jobs.sent[number].load(Ordering::Acquire);
        let picked_up = jobs.picked_up[number].load(Ordering::Acquire);
        picked_up.saturating_sub(sent) as f64 / 1000.0
    };
    Ok((0..count).map(waited).collect())
}

async fn send<P: Peer>(peer: &'static P, jobs: &Jobs, number: usize) -> anyhow::Result<()> {
    jobs.sent[number].store(jobs.micros(), Ordering::Release);
    peer.send(number as u64).await
}

async fn wait_for(jobs: &Jobs, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
    let begun = Instant::now();
    for number in numbers {
        while jobs.picked_up[number].load(Ordering::Acquire) == 0 {
            if begun.elapsed() > PATIENCE {
                bail!("job {number} was not picked up within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}
