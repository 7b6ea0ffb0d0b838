//! Incremental runs: what has changed since the last one is read and nothing else, and the state says so.

use serde_json::{Map, Value, json};
use syncline_tests::database::{OWN_COLUMNS, rows};
use syncline_tests::feed::ChangesCall;
use syncline_tests::{Cluster, Feed, program};

const ITEMS: u32 = 120;
/// Behind the last item that nobody has touched: ten slices of 30 days after the start.
const FIRST_END: &str = "2025-10-28T00:00:00Z";
const CONNECTION: &str = "acme-changes";

/// A cluster, and the id of its connection to the list of changes.
async fn cluster(workers: usize, more_config: Value, limits: Value) -> (Cluster, String) {
    let cluster = Cluster::builder()
        .workers(workers)
        .connectors(program::checkout().join("tests/connectors"))
        .start()
        .await;
    let settings = json!({"items": ITEMS, "page_size": Feed::PAGE_SIZE});
    cluster.simulator.set_feed(settings).await;
    let business = json!({"key": "acme"});
    cluster.api.post("/businesses", business).await.expect(201);
    let mut config = json!({"token": Feed::TOKEN, "until": FIRST_END});
    for (name, value) in more_config.as_object().unwrap() {
        config[name] = value.clone();
    }
    let connection = json!({
        "key": CONNECTION,
        "business": "acme",
        "platform": "changes",
        "config": config,
        "base_url": cluster.simulator.feed_base_url(),
        "limits": limits,
    });
    let made = cluster
        .api
        .post("/connections", connection)
        .await
        .expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    (cluster, id)
}

/// Moves the end of what is read.
async fn read_until(cluster: &Cluster, until: &str) {
    let changed = sqlx::query(
        "update syncline.connection set config = jsonb_set(config, '{until}', to_jsonb($1::text)) where key = $2",
    )
    .bind(until)
    .bind(CONNECTION)
    .execute(&cluster.pool)
    .await
    .unwrap();
    assert_eq!(changed.rows_affected(), 1);
}

async fn state(cluster: &Cluster) -> Option<Value> {
    sqlx::query_scalar("select state from syncline.stream_state where stream = 'changes'")
        .fetch_optional(&cluster.pool)
        .await
        .unwrap()
}

async fn run(cluster: &Cluster, kind: &str) -> Value {
    let body = json!({"connection": CONNECTION, "kind": kind});
    let started = cluster.api.post("/runs", body).await.expect(202);
    let id = started["id"].as_str().unwrap().to_owned();
    cluster.api.wait_for_success(&id).await
}

/// Read, inserted, updated, unchanged, deleted, failed.
fn counts(run: &Value) -> [u64; 6] {
    let names = [
        "read",
        "inserted",
        "updated",
        "unchanged",
        "deleted",
        "failed",
    ];
    names.map(|name| run["progress"][name].as_u64().unwrap())
}

fn records(calls: &[ChangesCall]) -> u64 {
    calls.iter().map(|call| call.records).sum()
}

/// The latest change among these records.
fn newest(truth: &[Map<String, Value>]) -> &str {
    truth
        .iter()
        .map(|record| record["updated_at"].as_str().unwrap())
        .max()
        .unwrap()
}

async fn assert_rows_are_the_truth(cluster: &Cluster, connection: &str) {
    let truth = cluster.simulator.changes_truth().await;
    let found = rows(&cluster.pool, "changes_changes", "id", connection).await;
    assert_eq!(found.len(), truth.len());
    for item in &truth {
        let mut row = found[item["id"].as_str().unwrap()].clone();
        assert!(row["_deleted_at"].is_null(), "{row:?}");
        row.retain(|column, _| !OWN_COLUMNS.contains(&column.as_str()));
        assert_eq!(&row, item);
    }
}

#[tokio::test]
async fn the_first_run_reads_all_and_the_next_ones_what_has_changed() {
    let (cluster, connection) = cluster(1, json!({}), json!({})).await;
    let first = run(&cluster, "incremental").await;
    assert_eq!(counts(&first), [120, 120, 0, 0, 0, 0], "{first:#}");
    let calls = cluster.simulator.take_changes_calls().await;
    assert_eq!(records(&calls), 120);
    let mut slices: Vec<_> = calls.iter().filter(|call| call.offset == 0).collect();
    // Some are read at the same time.
    slices.sort_by(|a, b| a.since.cmp(&b.since));
    assert_eq!(slices.len(), 10, "{calls:#?}");
    assert_eq!(slices[0].since, "2025-01-01T00:00:00Z");
    assert_eq!(slices[0].until, "2025-01-30T23:59:59Z");
    assert_eq!(
        (slices[9].since.as_str(), slices[9].until.as_str()),
        ("2025-09-28T00:00:00Z", FIRST_END)
    );
    assert_rows_are_the_truth(&cluster, &connection).await;
    let truth = cluster.simulator.changes_truth().await;
    assert_eq!(
        state(&cluster).await,
        Some(json!({"updated_at": newest(&truth)}))
    );

    // Nothing has changed: the newest record alone is read again, because its moment may have had company.
    let idle = run(&cluster, "incremental").await;
    let calls = cluster.simulator.take_changes_calls().await;
    assert_eq!(counts(&idle), [1, 0, 0, 1, 0, 0], "{idle:#}");
    assert_eq!(records(&calls), 1, "{calls:#?}");
    assert_eq!(calls[0].since, newest(&truth));

    cluster
        .simulator
        .touch(20, 15, "2025-11-03T08:00:00Z")
        .await;
    read_until(&cluster, "2025-11-05T00:00:00Z").await;
    let second = run(&cluster, "incremental").await;
    let calls = cluster.simulator.take_changes_calls().await;
    assert!(records(&calls) <= 16, "{calls:#?}");
    let [read, inserted, updated, unchanged, deleted, failed] = counts(&second);
    assert_eq!(
        (inserted, updated, deleted, failed),
        (0, 15, 0, 0),
        "{second:#}"
    );
    assert_eq!((read, unchanged), (records(&calls), records(&calls) - 15));
    assert_rows_are_the_truth(&cluster, &connection).await;
    assert_eq!(
        state(&cluster).await,
        Some(json!({"updated_at": "2025-11-03T08:00:00Z"}))
    );

    // A full run reads everything again, marks nothing as deleted, and leaves the state that it has reached.
    let full = run(&cluster, "full").await;
    assert_eq!(counts(&full), [120, 0, 0, 120, 0, 0], "{full:#}");
    assert_eq!(records(&cluster.simulator.take_changes_calls().await), 120);
    assert_eq!(
        state(&cluster).await,
        Some(json!({"updated_at": "2025-11-03T08:00:00Z"}))
    );
}

#[tokio::test]
async fn a_look_back_reads_again_what_came_late() {
    let (cluster, connection) = cluster(1, json!({"lookback": "P3D"}), json!({})).await;
    cluster.simulator.touch(0, 1, "2025-10-20T00:00:00Z").await;
    run(&cluster, "incremental").await;
    cluster.simulator.take_changes_calls().await;
    assert_eq!(
        state(&cluster).await,
        Some(json!({"updated_at": "2025-10-20T00:00:00Z"}))
    );

    // Within the look-back, and just outside of it.
    cluster.simulator.touch(1, 5, "2025-10-17T00:00:00Z").await;
    cluster.simulator.touch(6, 5, "2025-10-16T23:59:59Z").await;
    let late = run(&cluster, "incremental").await;
    assert_eq!(counts(&late), [6, 0, 5, 1, 0, 0], "{late:#}");
    let calls = cluster.simulator.take_changes_calls().await;
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert_eq!(calls[0].since, "2025-10-17T00:00:00Z");
    // What came late does not take the state back.
    assert_eq!(
        state(&cluster).await,
        Some(json!({"updated_at": "2025-10-20T00:00:00Z"}))
    );
    let truth = cluster.simulator.changes_truth().await;
    let found = rows(&cluster.pool, "changes_changes", "id", &connection).await;
    let stale = truth
        .iter()
        .filter(|item| found[item["id"].as_str().unwrap()]["revision"] != item["revision"]);
    assert_eq!(stale.count(), 5, "those outside");
}

#[tokio::test]
async fn a_worker_killed_within_a_slice_loses_and_doubles_nothing_and_moves_no_state_for_it() {
    // Five calls a second: the slices take several seconds, and a slice has several pages.
    let limits = json!({"requests": {"limit": 5, "per_seconds": 1}});
    let (mut cluster, connection) = cluster(2, json!({}), limits).await;
    // The second slice holds two thirds of all there is.
    cluster.simulator.touch(0, 80, "2025-02-10T00:00:00Z").await;
    let id = cluster.api.start_run(CONNECTION).await;
    let in_second_slice = |run: &Value| run["progress"]["read"].as_u64() >= Some(30);
    let middle = cluster
        .api
        .wait_for_run(&id, "the middle of the second slice", in_second_slice)
        .await;
    let before = state(&cluster).await.expect("the first slice is closed");
    let read = middle["progress"]["read"].as_u64().unwrap();
    assert!(read < 85, "the second slice is closed already: {middle:#}");
    let moment = before["updated_at"].as_str().unwrap();
    assert!(
        moment < "2025-01-31T00:00:00Z",
        "a slice that is open has moved the state to {moment}"
    );
    let (victim, _) = cluster.worker_of(&middle);
    cluster.process(&victim).kill_9();

    let ended = cluster.api.wait_for_success(&id).await;
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 2, "{ended:#}");
    let [read, inserted, updated, unchanged, deleted, failed] = counts(&ended);
    assert_eq!(
        (inserted, updated, deleted, failed),
        (120, 0, 0, 0),
        "{ended:#}"
    );
    assert_eq!(read, inserted + unchanged, "{ended:#}");
    assert_rows_are_the_truth(&cluster, &connection).await;
    let truth = cluster.simulator.changes_truth().await;
    assert_eq!(
        state(&cluster).await,
        Some(json!({"updated_at": newest(&truth)}))
    );
    // It went on within the slice: only pages that were under way were asked for twice.
    let calls = cluster.simulator.take_changes_calls().await;
    let again = records(&calls) - 120;
    assert!(again <= 30, "{again} records were read twice: {calls:#?}");
}

/// Gives a row an id that the platform does not know, and another one a connection of its own.
async fn leave_behind(cluster: &Cluster, connection: &str) {
    let gone = "update synced.changes_changes set id = 'gone' where id = (select min(id) from synced.changes_changes)";
    sqlx::query(gone).execute(&cluster.pool).await.unwrap();
    let others = "insert into synced.changes_changes
            (_connection_id, id, _run_id, _synced_at, _first_seen_at, _hash)
         select gen_random_uuid(), id, _run_id, _synced_at, _first_seen_at, _hash
         from synced.changes_changes where _connection_id = $1::text::uuid limit 1";
    sqlx::query(others)
        .bind(connection)
        .execute(&cluster.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_rebuild_removes_the_rows_of_its_connection_and_goes_on_after_a_crash() {
    let limits = json!({"requests": {"limit": 5, "per_seconds": 1}});
    let (mut cluster, connection) = cluster(2, json!({}), limits).await;
    run(&cluster, "incremental").await;
    leave_behind(&cluster, &connection).await;
    // A stream with a cursor does not tell what has gone.
    let full = run(&cluster, "full").await;
    assert_eq!(counts(&full), [120, 1, 0, 119, 0, 0], "{full:#}");

    let resync = format!("/connections/{CONNECTION}/resync");
    let batch = cluster
        .api
        .post(&resync, json!({"remove_rows": true}))
        .await;
    let batch = batch.expect(202)["id"].as_str().unwrap().to_owned();
    let runs = cluster.api.list(&format!("/runs?batch={batch}")).await;
    let id = runs[0]["id"].as_str().unwrap().to_owned();
    let begun = |run: &Value| run["progress"]["inserted"].as_u64() >= Some(12);
    let middle = cluster
        .api
        .wait_for_run(&id, "the first rows to be back", begun)
        .await;
    assert_eq!(state(&cluster).await, None);
    let (victim, _) = cluster.worker_of(&middle);
    cluster.process(&victim).kill_9();

    let ended = cluster.api.wait_for_success(&id).await;
    let [_, inserted, updated, _, deleted, failed] = counts(&ended);
    assert_eq!(
        (inserted, updated, deleted, failed),
        (120, 0, 121, 0),
        "{ended:#}"
    );
    assert_rows_are_the_truth(&cluster, &connection).await;
    let all: i64 = sqlx::query_scalar("select count(*) from synced.changes_changes")
        .fetch_one(&cluster.pool)
        .await
        .unwrap();
    assert_eq!(all, 121, "the other connection's row is there");
    let truth = cluster.simulator.changes_truth().await;
    assert_eq!(
        state(&cluster).await,
        Some(json!({"updated_at": newest(&truth)}))
    );
}
