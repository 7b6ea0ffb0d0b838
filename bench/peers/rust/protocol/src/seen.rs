//! What the handlers of this process have seen: how many jobs, and when the first one came.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::{answer, latency};

static HANDLED: AtomicU64 = AtomicU64::new(0);
static FIRST: OnceLock<f64> = OnceLock::new();

/// To be called by the handler of every job.
pub fn seen(number: u64) {
    if HANDLED.fetch_add(1, Ordering::Relaxed) == 0 {
        let _ = FIRST.set(now());
    }
    latency::picked_up(number);
}

/// Seconds since 1970, the clock that all processes of a run share.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Prints the count whenever it has changed, two hundred times a second at most.
pub(crate) async fn report() {
    let mut reported = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let handled = HANDLED.load(Ordering::Relaxed);
        if handled != reported {
            answer(&json!({ "handled": handled, "first_at": FIRST.get() }));
            reported = handled;
        }
    }
}
