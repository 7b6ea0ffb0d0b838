//! Chaos, in a minute and at length. What is done and what must hold is in the support library (`tests/src/chaos.rs`).
//!
//! A failure names its seed: `SYNCLINE_CHAOS_SEED=<seed>` brings the same faults back in the same order.

use std::env;
use std::time::Duration;

use syncline_tests::chaos::rage;
use syncline_tests::chaos::script::Holds;

#[tokio::test]
async fn chaos_for_a_minute() {
    let recovery = Duration::from_secs(80);
    rage(Duration::from_mins(1), Holds::SHORT, recovery).await;
}

/// Ten minutes, or as many as `SYNCLINE_CHAOS_MINUTES` says.
#[tokio::test]
#[ignore = "a soak: takes ten minutes and more"]
async fn soak_chaos() {
    let minutes = env::var("SYNCLINE_CHAOS_MINUTES").map_or(10, |text| {
        text.parse()
            .unwrap_or_else(|error| panic!("SYNCLINE_CHAOS_MINUTES is {text:?}: {error}"))
    });
    let recovery = Duration::from_mins(10);
    rage(Duration::from_mins(minutes), Holds::LONG, recovery).await;
}
