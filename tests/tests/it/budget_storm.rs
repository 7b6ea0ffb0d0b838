//! A platform that halves its limit without a word is obeyed all the same.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_tests::feed::Arrival;
use syncline_tests::metered::{connect, manifests, wait_until_us};
use syncline_tests::wait::{Look, until_within};
use syncline_tests::{Cluster, Feed};

const WINDOW_MS: u64 = 2_000;
const WINDOW_US: u64 = WINDOW_MS * 1_000;
const LIMIT: u64 = 40;
const HALF: u64 = LIMIT / 2;
const CONNECTIONS: u32 = 12;
/// For so many windows it is measured.
const MEASURED: u64 = 15;

fn feed(calls: u64) -> Value {
    json!({
        "items": 60 * Feed::PAGE_SIZE,
        "page_size": Feed::PAGE_SIZE,
        "limits": [{"calls": calls, "window_ms": WINDOW_MS}],
        "refusal": "bare",
        "delay_ms": 20,
    })
}

/// Calls that were admitted, and refused, window by window.
fn by_window(arrivals: &[Arrival], from: u64, windows: u64) -> Vec<(usize, usize)> {
    let count = |number| {
        let window = from + number * WINDOW_US..from + (number + 1) * WINDOW_US;
        let inside = arrivals.iter().filter(|call| window.contains(&call.at_us));
        let (refused, admitted): (Vec<_>, Vec<_>) = inside.partition(|call| call.answer == "429");
        (admitted.len(), refused.len())
    };
    (0..windows).map(count).collect()
}

/// The longest stretch without a call.
fn longest_pause(arrivals: &[Arrival], from: u64, to: u64) -> u64 {
    let mut last = from;
    let mut longest = 0;
    for at in arrivals.iter().map(|call| call.at_us) {
        if (from..to).contains(&at) {
            longest = longest.max(at - last);
            last = at;
        }
    }
    longest
}

#[tokio::test]
async fn a_fleet_is_soon_under_a_limit_that_was_halved_without_a_word() {
    let folder = manifests();
    let cluster = Cluster::builder()
        .workers(4)
        .slots(3)
        .connectors(folder.path())
        .start()
        .await;
    cluster.simulator.set_feed(feed(LIMIT)).await;
    let window = json!({"limit": LIMIT, "per_seconds": WINDOW_MS / 1_000});
    let limits = json!({"points": {"windows": [window]}});
    for number in 1..=CONNECTIONS {
        let key = format!("metered-{number}");
        connect(&cluster, &key, "metered", "items", limits.clone()).await;
        cluster.api.start_run(&key).await;
    }
    let longest = Duration::from_mins(1);
    until_within("the fleet to use the limit", longest, async || {
        let calls = cluster.simulator.feed_arrivals().await;
        let under_way = calls
            .first()
            .map_or(0, |first| calls[calls.len() - 1].at_us - first.at_us);
        Look::is(calls.len() >= 80 && under_way >= 2 * WINDOW_US, calls.len())
    })
    .await;
    let before = cluster.simulator.feed_arrivals().await;
    let refused_before = before.iter().filter(|call| call.answer == "429").count();

    let began = before[0].at_us;
    let times: Vec<u64> = before
        .iter()
        .map(|call| (call.at_us - began) / 1_000)
        .collect();
    assert_eq!(refused_before, 0, "{times:?}");

    cluster.simulator.set_feed(feed(HALF)).await;
    let halved = cluster.simulator.feed_now_us().await;
    wait_until_us(&cluster, halved + (3 + 6 + MEASURED) * WINDOW_US).await;
    let arrivals = cluster.simulator.feed_arrivals().await;

    let windows = by_window(&arrivals, halved, 8 + MEASURED);
    println!("admitted and refused by window after it was halved: {windows:?}");
    let pause = longest_pause(&arrivals, halved, halved + 9 * WINDOW_US);
    println!("longest pause: {} ms", pause / 1_000);

    let settled = halved + 3 * WINDOW_US;
    let measured = by_window(&arrivals, settled, MEASURED);
    let admitted: usize = measured.iter().map(|(admitted, _)| admitted).sum();
    let refused: usize = measured.iter().map(|(_, refused)| refused).sum();
    let used_percent = admitted as u64 * 100 / (HALF * MEASURED);
    println!(
        "measured: {measured:?}: {admitted} admitted, {refused} refused, {used_percent} % of the limit used"
    );
    assert!(refused * 50 <= admitted + refused, "{refused} refused");
    assert!(used_percent >= 70, "{used_percent} % used");
}
