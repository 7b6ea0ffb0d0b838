//! Plans keep their shape: no statement of the queue reads the queue or the history from one end to the other.

use sqlx::PgConnection;

use crate::explain::{Plan, generic, run};
use crate::fill;
use crate::statements::{Statement, find};

/// The statements that run all the time, each with arguments of a usual size.
fn hot_statements() -> Vec<(Statement, String)> {
    let id = fill::id_of("run", 1);
    let connection = fill::id_of("connection", 1);
    let process = fill::id_of("process", 1);
    let ids = format!("array[{id}]");
    vec![
        (
            find("claim", &["with recursive alive as"]),
            format!("'sync', 100, {process}, array['g2a'], array[5], 100, array['g2a'], array[7]"),
        ),
        (
            find("finish", &["with ended as materialized"]),
            format!(
                "{ids}, array[1], array['succeeded'], array['succeeded'], array[0], array[null]::jsonb[], array[1], array[null]::text[], 'test:1', array[1], array[0]"
            ),
        ),
        (
            find("release", &["urgent as materialized"]),
            format!(
                "{id}, 1, 'limit', 5, 'why', 0, null, 'limited', 1, false, 'test:1', 1, 0, null"
            ),
        ),
        (
            find("checkpoint", &["checkpoint_sequence = $3::bigint - 1"]),
            format!("{id}, 1, 1, '{{}}', '{{}}', 3, 9, 100"),
        ),
        (
            find("find_checkpoint", &["select checkpoint_sequence, progress"]),
            format!("{id}, 1"),
        ),
        (
            find("list_orders", &["'give_way'"]),
            format!("{ids}, array[1]"),
        ),
        (
            find("list_crowded_platforms", &["where head.due_at <"]),
            "'sync'".to_owned(),
        ),
        (
            find(
                "move_due",
                &["w.wait_reason in ('delay', 'limit', 'backoff')"],
            ),
            "1000".to_owned(),
        ),
        (
            find(
                "promote",
                &["(select distinct unnest($1::uuid[])) as c (id)"],
            ),
            format!("array[{connection}]"),
        ),
        (
            find("free_paused", &["with recursive hop as"]),
            "1000".to_owned(),
        ),
        (find("promote_stranded", &["crowded as ("]), String::new()),
        (
            find("enqueue", &["virtual as materialized"]),
            format!(
                "array[{id}], array[null]::uuid[], array['manual'], array[null]::text[], array['full'], array[null]::jsonb[], \
                 array[null]::bigint[], array[null]::timestamptz[], array[null]::timestamptz[], array[50]::int2[], array[null]::int[], \
                 array[{connection}], array[{connection}], array['g2a'], array[null]::uuid[], array[0]::float8[], array[1]::bigint[], \
                 'sync'"
            ),
        ),
        (
            find("end_idle", &["b.id <> all ($1)"]),
            format!("{ids}, 'cancelled', null"),
        ),
        (
            find(
                "cancel",
                &["cancel_requested_by = coalesce(cancel_requested_by, $2)"],
            ),
            format!("{id}, 'anna', null"),
        ),
        (
            find(
                "sweep_cancelled",
                &["where cancel_requested_at is not null and state <> 'running'"],
            ),
            String::new(),
        ),
        (
            find("find_run", &["from syncline.runs r", "where r.id = $1"]),
            id,
        ),
    ]
}

async fn assert_shapes(db: &mut PgConnection, when: &str) {
    let mut problems = Vec::new();
    for (statement, arguments) in hot_statements() {
        let plan = generic(db, &statement, &arguments).await;
        for table in plan.read_whole() {
            if table.starts_with("run ") || table.starts_with("run_history") {
                problems.push(format!("{} reads {table}", statement.name));
            }
        }
        if statement.name == "claim" {
            assert_claims_the_head_of_its_index(&plan, when);
        }
    }
    assert!(problems.is_empty(), "{when}: {problems:#?}");
}

fn assert_claims_the_head_of_its_index(plan: &Plan, when: &str) {
    let by_index = plan.has("Index Scan", "Index Name", "run_claim")
        || plan.has("Index Only Scan", "Index Name", "run_claim");
    let by_place = plan.has("Tid Scan", "Relation Name", "run");
    assert!(by_index && by_place, "{when}: the claim's plan:\n{plan}");
}

#[tokio::test]
async fn with_statistics_that_fit_every_statement_goes_by_its_index() {
    let (_database, mut db) = fill::database().await;
    fill::runs(&mut db, "queued", 1, 5_000).await;
    fill::runs(&mut db, "running", 5_001, 500).await;
    fill::runs(&mut db, "waiting", 10_001, 20_000).await;
    fill::runs(&mut db, "blocked", 40_001, 20_000).await;
    fill::history(&mut db, 10_000).await;
    run(&mut db, "analyze").await;
    assert_shapes(&mut db, "a usual mix").await;
}

#[tokio::test]
async fn with_statistics_of_an_empty_table_every_statement_goes_by_its_index() {
    let (_database, mut db) = fill::database().await;
    run(&mut db, "vacuum (analyze)").await;
    assert_shapes(&mut db, "nothing yet").await;
    fill::runs(&mut db, "queued", 1, 20_000).await;
    fill::runs(&mut db, "running", 20_001, 2_000).await;
    fill::runs(&mut db, "waiting", 30_001, 20_000).await;
    assert_shapes(&mut db, "full since").await;
}

#[tokio::test]
async fn with_statistics_from_before_a_rush_every_statement_goes_by_its_index() {
    let (_database, mut db) = fill::database().await;
    fill::runs(&mut db, "queued", 1, 20_000).await;
    run(&mut db, "analyze syncline.run").await;
    assert_shapes(&mut db, "all queued").await;
    run(
        &mut db,
        "update syncline.run set state = 'running', lease_token = 1, attempt = 1, lease_process = md5('process1')::uuid,
                attempt_started_at = syncline.now()
         where fair_turn <= 4000",
    )
    .await;
    assert_shapes(&mut db, "four thousand running since").await;
    run(
        &mut db,
        "analyze syncline.run; delete from syncline.run where state = 'running'",
    )
    .await;
    assert_shapes(&mut db, "those that ran have gone").await;
}
