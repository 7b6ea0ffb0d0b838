//! Processes of different releases beside each other, as during every upgrade.

use serde_json::{Value, json};
use syncline_tests::{Account, Cluster};

/// A release to come has written what this one cannot read.
#[tokio::test]
async fn a_run_of_a_later_release_is_left_for_later_and_holds_nobody_up() {
    let mut cluster = Cluster::builder()
        .workers(0)
        .products(15)
        .accounts(1)
        .start()
        .await;
    cluster.connect("acme-g2a").await;
    let account = Account::number(1);
    let business = "acme-g2a-business";
    cluster
        .connect_account("other-g2a", business, &account)
        .await;
    let strange = cluster.api.start_run("acme-g2a").await;
    let usual = cluster.api.start_run("other-g2a").await;
    let written = sqlx::query(
        r#"update syncline.run set progress = '{"products": {"status": "of a later release"}}' where id::text = $1"#,
    )
    .bind(&strange)
    .execute(&cluster.pool)
    .await
    .unwrap();
    assert_eq!(written.rows_affected(), 1);
    cluster.start_worker().await;
    cluster.api.wait_for_success(&usual).await;

    let question =
        "select state, failures, last_error ->> 'message' from syncline.run where id::text = $1";
    let (state, failures, problem): (String, i32, String) = sqlx::query_as(question)
        .bind(&strange)
        .fetch_one(&cluster.pool)
        .await
        .unwrap();
    assert_eq!((state.as_str(), failures), ("waiting", 1));
    assert!(
        problem.contains("cannot read the run's row") && problem.contains("of a later release"),
        "{problem}"
    );
    // Once it can be read, it is executed like any other.
    sqlx::query(
        "update syncline.run set progress = '{}', due_at = syncline.now() where id::text = $1",
    )
    .bind(&strange)
    .execute(&cluster.pool)
    .await
    .unwrap();
    let ended: Value = cluster.api.wait_for_success(&strange).await;
    assert_eq!(ended["progress"]["inserted"], json!(15), "{ended:#}");
}
