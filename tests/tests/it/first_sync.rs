//! The whole path through public interfaces: a document is applied, a schedule fires, rows land, the source changes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use syncline_tests::database::{G2A_COLUMNS, OWN_COLUMNS, assert_products_equal, columns, rows};
use syncline_tests::wait::{Look, until};
use syncline_tests::{Cluster, Platform};

const IN_STOCK: u32 = 400;
const OUT_OF_STOCK: u32 = 15;

fn document(enabled: bool) -> String {
    format!(
        r#"
businesses:
  - {{key: acme, name: Acme Ltd}}
connections:
  - key: acme-g2a
    business: acme
    platform: g2a
    config:
      client_id: {client_id}
      email: {email}
      client_secret: "${{env:G2A_SECRET}}"
    base_url: "${{env:G2A_URL}}"
    streams: [products]
    limits: {{requests: {{limit: 1000, per_seconds: 1}}}}
schedules:
  - {{key: often, every_seconds: 2, target: {{connection: acme-g2a}}, enabled: {enabled}}}
  - {{key: nightly, cron: "30 2 * * *", zone: Europe/Berlin, target: {{business: acme}}}}
"#,
        client_id = Platform::CLIENT_ID,
        email = Platform::EMAIL,
    )
}

/// Applies a document; answers what the command says.
fn apply(cluster: &Cluster, document: &str) -> String {
    let file = cluster.write("syncline.yaml", document);
    let mut command = cluster.command();
    command.args(["apply", "-f", &file]);
    command
        .env("G2A_SECRET", Platform::CLIENT_SECRET)
        .env("G2A_URL", cluster.simulator.base_url());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "apply: {told}{problem}");
    cluster.secrets().refuse("apply", &told);
    cluster.secrets().refuse("apply", &problem);
    told
}

/// Waits until the schedule's first run after `after` has ended, then stops the schedule and waits until nothing is under way.
async fn next_scheduled_run(cluster: &Cluster, after: Option<&str>) -> Value {
    let run = until("a scheduled run", async || {
        let mut runs = cluster
            .api
            .list("/runs?schedule=often&status=succeeded,failed,partial")
            .await;
        runs.retain(|run| after.is_none_or(|after| run["id"].as_str().unwrap() > after));
        Look::some(runs.pop(), "none has ended")
    })
    .await;
    apply(cluster, &document(false));
    until("the end of all runs", async || {
        let unfinished = cluster
            .api
            .list("/runs?status=queued,running,waiting,retrying")
            .await;
        Look::is(unfinished.is_empty(), format!("{unfinished:?}"))
    })
    .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    run
}

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

#[tokio::test]
async fn a_scheduled_sync_lands_every_row_and_the_next_one_exactly_what_changed() {
    let cluster = Cluster::builder()
        .empty_database()
        .products(IN_STOCK)
        .out_of_stock(OUT_OF_STOCK)
        .start()
        .await;
    let total = u64::from(IN_STOCK + OUT_OF_STOCK);

    let told = apply(&cluster, &document(true));
    assert!(
        told.contains("+ connection acme-g2a") && told.contains("4 added"),
        "{told}"
    );
    let told = apply(&cluster, &document(true));
    assert!(told.contains("0 added, 0 changed, 4 same"), "{told}");

    let first = next_scheduled_run(&cluster, None).await;
    assert_eq!(counts(&first), [total, total, 0, 0, 0, 0]);
    let connection = first["connection"]["id"].as_str().unwrap().to_owned();
    columns_have_their_types(&cluster).await;
    let truth = cluster.simulator.truth().await;
    assert_eq!(truth.len() as u64, total);
    let before = rows(&cluster.pool, "g2a_products", "id", &connection).await;
    assert_products_equal(&before, &truth);
    every_column_was_told_apart(&truth);
    let last = cluster.api.list("/runs?connection=acme-g2a").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let changed = cluster.simulator.change(30, 11, 7).await;
    let truth = cluster.simulator.truth().await;
    apply(&cluster, &document(true));
    let second = next_scheduled_run(&cluster, Some(&last)).await;
    assert_eq!(
        counts(&second),
        [total + 11 - 7, 11, 30, total - 30 - 7, 7, 0]
    );

    let after = rows(&cluster.pool, "g2a_products", "id", &connection).await;
    assert_products_equal(&after, &truth);
    let ids = |name: &str| -> BTreeSet<&str> {
        changed[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap())
            .collect()
    };
    let (updated, inserted, removed) = (ids("updated"), ids("inserted"), ids("removed"));
    for (id, row) in &after {
        let id = id.as_str();
        let touched = updated.contains(id) || inserted.contains(id);
        let gone = removed.contains(id);
        assert_eq!(!row["_deleted_at"].is_null(), gone, "{id}: {row:?}");
        assert_eq!(
            row["_run_id"] == second["id"],
            touched || gone,
            "{id} was changed by {}",
            row["_run_id"]
        );
        if let Some(old) = before.get(id) {
            assert_eq!(row["_first_seen_at"], old["_first_seen_at"], "{id}");
            assert_eq!(
                row["_synced_at"] == old["_synced_at"],
                !touched && !gone,
                "{id}"
            );
        }
    }
    history_shows_it_all(&cluster, &second).await;
}

async fn columns_have_their_types(cluster: &Cluster) {
    let mut found = columns(&cluster.pool, "g2a_products").await;
    for (_, column, kind) in G2A_COLUMNS {
        assert_eq!(found.remove(column).as_deref(), Some(kind), "{column}");
    }
    for column in OWN_COLUMNS {
        assert!(found.remove(column).is_some(), "{column} is missing");
    }
    assert!(found.is_empty(), "{found:?}");
}

/// The comparison is worth something only if the truth has nulls, missing values, empty texts and long numbers in it.
fn every_column_was_told_apart(truth: &[serde_json::Map<String, Value>]) {
    let any = |check: &dyn Fn(&serde_json::Map<String, Value>) -> bool| truth.iter().any(check);
    assert!(any(
        &|product| product.get("retail_min_price") == Some(&Value::Null)
    ));
    assert!(any(&|product| !product.contains_key("retail_min_price")));
    assert!(any(&|product| product.get("smallImage") == Some(&json!(""))));
    assert!(any(&|product| product["qty"] == json!(0)));
    assert!(any(&|product| product["minPrice"]
        .to_string()
        .split('.')
        .nth(1)
        .is_some_and(|cents| cents.len() == 2)));
}

async fn history_shows_it_all(cluster: &Cluster, run: &Value) {
    let detail = cluster.api.run(run["id"].as_str().unwrap()).await;
    assert_eq!(detail["trigger"]["kind"], "schedule");
    assert_eq!(detail["schedule"]["key"], "often");
    assert_eq!(
        (&detail["business"]["key"], &detail["platform"]),
        (&json!("acme"), &json!("g2a"))
    );
    assert_eq!(
        (&detail["why"], &detail["error"]),
        (&Value::Null, &Value::Null)
    );
    let attempts = detail["attempts"].as_array().unwrap();
    assert_eq!(
        (attempts.len(), &attempts[0]["outcome"]),
        (1, &json!("succeeded")),
        "{detail:#}"
    );
    assert_eq!(
        attempts[0]["calls"],
        json!(21),
        "pages of 20, the last one short"
    );
    let stream = &detail["stream_progress"][0];
    assert_eq!(
        (&stream["stream"], &stream["status"]),
        (&json!("products"), &json!("done"))
    );
    assert_eq!(stream["read"], run["progress"]["read"]);
    assert!(
        detail["duration_ms"].as_i64().is_some_and(|ms| ms > 0),
        "{detail:#}"
    );

    // psql sees the same as the API.
    let query = "select status, schedule_id::text, (progress->'products'->>'inserted')::bigint \
                 from syncline.runs where id::text = $1";
    let seen: (String, String, i64) = sqlx::query_as(query)
        .bind(run["id"].as_str())
        .fetch_one(&cluster.pool)
        .await
        .unwrap();
    assert_eq!(seen.0, "succeeded");
    assert_eq!(Some(seen.1.as_str()), detail["schedule"]["id"].as_str());
    assert_eq!(Some(seen.2), run["progress"]["inserted"].as_i64());

    let status = cluster.api.get("/scheduler/status").await.expect(200);
    assert_eq!(
        (&status["running"], &status["workers"][0]["slots"]),
        (&json!(true), &json!(8))
    );
    let jobs = status["jobs"].as_array().unwrap();
    let nightly = jobs.iter().find(|job| job["id"] == "nightly").unwrap();
    assert!(nightly["next_run"].is_string(), "{nightly}");
    let schedule = cluster.api.get("/schedules/often").await.expect(200);
    assert_eq!(
        (&schedule["enabled"], &schedule["ticks"][0]["outcome"]),
        (&json!(false), &json!("fired"))
    );
}
