//! Several schedulers at once: each due moment is decided exactly once, also when one of them is killed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use syncline_tests::Cluster;
use syncline_tests::wait::{Look, until};

const MOMENTS: usize = 15;

fn instant(value: &Value) -> DateTime<Utc> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no instant: {value}"))
}

/// Adds the latest ticks to those seen before. A tick is one row and never changes.
async fn look(cluster: &Cluster, seen: &mut BTreeMap<DateTime<Utc>, Value>) {
    let schedule = cluster.api.get("/schedules/every-second").await.expect(200);
    let mut in_answer = BTreeSet::new();
    for tick in schedule["ticks"].as_array().unwrap() {
        let at = instant(&tick["nominal_at"]);
        assert!(in_answer.insert(at), "two ticks of {at}: {schedule:#}");
        if let Some(before) = seen.insert(at, tick.clone()) {
            assert_eq!(&before, tick, "the tick of {at} has changed");
        }
    }
}

#[tokio::test]
async fn two_schedulers_decide_every_moment_once_also_when_one_is_killed() {
    let mut cluster = Cluster::builder().schedulers(2).products(15).start().await;
    cluster.connect("acme-g2a").await;
    let schedule = json!({
        "key": "every-second",
        "every_seconds": 1,
        "target": {"connection": "acme-g2a"},
    });
    cluster.api.post("/schedules", schedule).await.expect(201);

    let mut seen = BTreeMap::new();
    for (goal, victim) in [(MOMENTS / 3, Some("scheduler-1")), (MOMENTS, None)] {
        until("ticks", async || {
            look(&cluster, &mut seen).await;
            Look::is(seen.len() >= goal, format!("{} ticks", seen.len()))
        })
        .await;
        if let Some(victim) = victim {
            cluster.process(victim).kill_9();
        }
    }

    let mut expected = *seen.keys().next().unwrap();
    let mut batches = BTreeSet::new();
    for (at, tick) in &seen {
        assert_eq!(*at, expected, "a moment is missing: {seen:#?}");
        expected = instant(&tick["last_nominal_at"]) + TimeDelta::seconds(1);
        let moments = tick["moments"].as_i64().unwrap();
        assert_eq!(TimeDelta::seconds(moments), expected - *at, "{tick}");
        match tick["outcome"].as_str() {
            Some("fired") => {
                let batch = tick["batch_id"].as_str().unwrap();
                assert!(batches.insert(batch.to_owned()), "{batch} has two ticks");
            }
            // On a slow machine a run may outlast a second, or two moments be due at once: that is told, not lost.
            Some("skipped" | "coalesced") => assert!(tick["reason"].is_string(), "{tick}"),
            _ => panic!("{tick}"),
        }
    }
    assert!(
        batches.len() > MOMENTS / 2,
        "hardly anything fired: {seen:#?}"
    );

    // A tick that fired has made exactly one run.
    let last = seen.keys().last().unwrap();
    let mut runs: BTreeMap<String, u32> = BTreeMap::new();
    for run in cluster.api.list("/runs?schedule=every-second").await {
        assert_eq!(run["trigger"]["kind"], "schedule", "{run}");
        if instant(&run["created_at"]) < *last + TimeDelta::seconds(1) {
            *runs
                .entry(run["trigger"]["batch_id"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
    }
    for batch in &batches {
        assert_eq!(runs.get(batch), Some(&1), "runs of batch {batch}");
    }
}

#[tokio::test]
async fn a_new_schedule_takes_effect_within_a_second_and_its_status_is_shown() {
    let mut cluster = Cluster::builder().products(15).start().await;
    cluster.connect("acme-g2a").await;
    let status = cluster.api.get("/scheduler/status").await.expect(200);
    assert_eq!(
        (&status["running"], &status["jobs"]),
        (&json!(true), &json!([])),
        "{status:#}"
    );
    let schedule = json!({"key": "soon", "every_seconds": 1, "target": "everything"});
    let made = cluster.api.post("/schedules", schedule).await.expect(201);
    let first = until("its first tick", async || {
        let schedule = cluster.api.get("/schedules/soon").await.expect(200);
        let ticks = schedule["ticks"].as_array().unwrap();
        Look::some(ticks.last().cloned(), "no tick")
    })
    .await;
    let late = instant(&first["decided_at"]) - instant(&first["nominal_at"]);
    assert!(late < TimeDelta::seconds(1), "{first}");
    let wait = instant(&first["nominal_at"]) - instant(&made["created_at"]);
    assert!(wait <= TimeDelta::seconds(1), "{first}");

    cluster.process("scheduler-1").terminate().await;
    let status = cluster.api.get("/scheduler/status").await.expect(200);
    assert_eq!(status["running"], json!(false), "{status:#}");
    assert_eq!(status["jobs"][0]["id"], "soon", "{status:#}");
}
