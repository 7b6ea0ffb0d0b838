//! Schedules as programs drive them: inbound triggers, schedules that follow others, changes, and the endpoints of earlier systems.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use syncline_tests::Cluster;
use syncline_tests::wait::{Look, until};

async fn ticks(cluster: &Cluster, key: &str) -> Vec<Value> {
    cluster.api.list(&format!("/schedules/{key}/ticks")).await
}

/// The batch, once it has ended.
async fn ended(cluster: &Cluster, id: &Value) -> Value {
    let path = format!("/batches/{}", id.as_str().unwrap());
    until("the end of a batch", async || {
        let batch = cluster.api.get(&path).await.expect(200);
        Look::some(
            Some(batch.clone()).filter(|batch| batch["status"] != "running"),
            format!("{batch:#}"),
        )
    })
    .await
}

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn calls_of_an_inbound_trigger_make_one_tick_and_others_follow_its_batch() {
    let cluster = Cluster::builder().products(15).start().await;
    cluster.connect("acme-g2a").await;
    let first = json!({
        "key": "first", "trigger": "manual", "target": "everything", "inbound_trigger": {"debounce_seconds": 1},
    });
    cluster.api.post("/schedules", first).await.expect(201);
    let second = json!({"key": "second", "after": {"schedule": "first"}, "target": "everything"});
    cluster.api.post("/schedules", second).await.expect(201);
    let made = cluster
        .api
        .post("/schedules/first/inbound-trigger", json!({}))
        .await
        .expect(201);
    let address = made["path"].as_str().unwrap();

    let anybody = cluster.api.with_token(None);
    for _ in 0..3 {
        anybody.send(Method::POST, address, None).await.expect(202);
    }
    let followed = until("a tick of the schedule that follows", async || {
        Look::some(ticks(&cluster, "second").await.pop(), "no tick")
    })
    .await;
    assert_eq!(
        (&followed["cause"], &followed["outcome"]),
        (&json!("after"), &json!("fired"))
    );
    let triggered = ticks(&cluster, "first").await;
    assert_eq!(triggered.len(), 1, "{triggered:#?}");
    assert_eq!(
        (&triggered[0]["cause"], &triggered[0]["outcome"]),
        (&json!("trigger"), &json!("fired"))
    );
    for tick in [&triggered[0], &followed] {
        let batch = ended(&cluster, &tick["batch_id"]).await;
        assert_eq!(
            (&batch["status"], &batch["counts"]["succeeded"]),
            (&json!("succeeded"), &json!(1)),
            "{batch:#}"
        );
        assert_eq!(batch["records"]["read"], 15);
    }
    let at = triggered[0]["nominal_at"].as_str().unwrap();
    let answer = cluster
        .api
        .get(&format!("/schedules/first/ticks/{at}"))
        .await
        .expect(200);
    assert_eq!(answer["happened"], true, "{answer:#}");
    // The address is a secret: it is in no log.
    let secret = address.rsplit('/').next().unwrap();
    for (name, log) in cluster.logs() {
        assert!(
            !log.contains(secret),
            "{name} has logged the address of a trigger"
        );
    }
}

#[tokio::test]
async fn a_change_a_pause_and_a_resume_take_effect_within_a_second() {
    let cluster = Cluster::builder().products(15).start().await;
    cluster.connect("acme-g2a").await;
    let yearly = json!({"key": "a", "cron": "0 0 1 1 *", "target": "everything"});
    cluster.api.post("/schedules", yearly).await.expect(201);
    let patch = json!({"every_seconds": 1, "overlap": "queue_one"});
    let changed = cluster
        .api
        .send(Method::PATCH, "/api/v1/schedules/a", Some(&patch))
        .await
        .expect(200);
    let first = until("its first tick", async || {
        Look::some(ticks(&cluster, "a").await.pop(), "no tick")
    })
    .await;
    let wait = instant(&first["decided_at"]) - instant(&changed["updated_at"]);
    assert!(wait < TimeDelta::seconds(2), "{first}");

    let paused = cluster
        .api
        .post("/schedules/a/pause", json!({}))
        .await
        .expect(200);
    let since = instant(&paused["pause"]["paused_at"]);
    let resumed = cluster
        .api
        .post("/schedules/a/resume", json!({}))
        .await
        .expect(200);
    let next = instant(&resumed["next_at"]);
    assert!(next > since, "{resumed:#}");
    until("a tick after the pause", async || {
        let last = ticks(&cluster, "a").await.first().cloned();
        Look::is(
            last.is_some_and(|last| instant(&last["nominal_at"]) >= next),
            "none yet",
        )
    })
    .await;
}

#[tokio::test]
async fn the_endpoints_of_earlier_systems_start_syncs_and_count_them() {
    let cluster = Cluster::builder().products(15).start().await;
    cluster.connect("acme-g2a").await;
    let started = cluster
        .api
        .post("/scheduler/trigger-sync", json!({}))
        .await
        .expect(202);
    let batch = ended(&cluster, &started["job_id"]).await;
    assert!(
        batch["summary"]
            .as_str()
            .unwrap()
            .contains("15/15 records synced, 0 failures in "),
        "{batch:#}"
    );
    let status = cluster
        .api
        .send(Method::GET, "/scheduler/status", None)
        .await
        .expect(200);
    assert_eq!(
        (
            &status["is_running"],
            &status["total_syncs"],
            &status["success_rate"],
            &status["last_sync_status"]
        ),
        (&json!(true), &json!(1), &json!("100.0%"), &json!("success")),
        "{status:#}"
    );
    let now = cluster
        .api
        .send(Method::POST, "/api/scheduler/sync-now?wait=25", None)
        .await
        .expect(200);
    assert_eq!(
        (&now["result"]["status"], &now["result"]["unchanged"]),
        (&json!("success"), &json!(15)),
        "{now:#}"
    );
    let jobs = cluster
        .api
        .send(Method::GET, "/sync/jobs", None)
        .await
        .expect(200);
    assert_eq!(jobs[0]["id"], now["job_id"]);
}
