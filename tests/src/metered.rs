//! The simulator's feed as platforms whose budgets tests look at: `metered` and `signalled`.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::wait::{Look, until_within};
use crate::{Cluster, Feed, program};

/// The tests' manifests that count points, and the shipped one of G2A, in a folder for as long as this is kept.
pub fn manifests() -> TempDir {
    let folder = TempDir::new().unwrap();
    let of_tests = program::checkout().join("tests/connectors");
    for (from, name) in [
        (&of_tests, "metered.yaml"),
        (&of_tests, "signalled.yaml"),
        (&program::connectors(), "g2a.yaml"),
    ] {
        fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Makes a connection of this platform, with a business of its own, to the feed's account.
pub async fn connect(cluster: &Cluster, key: &str, platform: &str, stream: &str, limits: Value) {
    let business = format!("{key}-business");
    let made = json!({"key": business, "name": key});
    cluster.api.post("/businesses", made).await.expect(201);
    let connection = json!({
        "key": key,
        "business": business,
        "platform": platform,
        "config": Feed::config(),
        "base_url": cluster.simulator.feed_base_url(),
        "streams": [stream],
        "limits": limits,
    });
    cluster
        .api
        .post("/connections", connection)
        .await
        .expect(201);
}

/// The one budget of a platform, as the API tells of it.
pub async fn budget(cluster: &Cluster, platform: &str) -> Value {
    let path = format!("/budgets?platform={platform}");
    let budgets = cluster.api.list(&path).await;
    assert_eq!(budgets.len(), 1, "{budgets:#?}");
    budgets[0].clone()
}

/// Waits until the simulator's clock has reached a microsecond: time that a platform must be left alone in.
pub async fn wait_until_us(cluster: &Cluster, us: u64) {
    let longest = Duration::from_mins(2);
    until_within("the simulator's clock", longest, async || {
        let now = cluster.simulator.feed_now_us().await;
        if now < us {
            sleep(Duration::from_micros((us - now).min(500_000))).await;
        }
        Look::is(now >= us, now)
    })
    .await;
}

/// How a run's attempts ended.
pub fn outcomes(run: &Value) -> Vec<&str> {
    let attempts = run["attempts"].as_array().unwrap();
    let outcomes = attempts.iter().map(|attempt| attempt["outcome"].as_str());
    outcomes.map(Option::unwrap_or_default).collect()
}
