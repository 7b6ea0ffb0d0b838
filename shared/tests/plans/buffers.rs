//! What a claim costs, whatever lies in the queue beside what it takes; and that a finish does not search the history.

use crate::explain::{analysed, run};
use crate::fill;
use crate::statements::find;

/// Buffers of a claim of a hundred runs out of two thousand, beside so many others whose turns are earlier: they would be first.
async fn cost_of_a_claim(state: &str, others: u32) -> u64 {
    let (_database, mut db) = fill::database().await;
    if others > 0 {
        fill::runs(&mut db, state, 1, others).await;
    }
    fill::runs(&mut db, "queued", 200_001, 2_000).await;
    run(&mut db, "vacuum (analyze) syncline.run").await;
    let claim = find("claim", &["with recursive alive as"]);
    let process = fill::id_of("process", 1);
    let arguments = format!("'sync', 100, {process}, array[]::text[], array[]::int8[], 100");
    analysed(&mut db, &claim, &arguments).await.buffers()
}

/// Buffers of a look for runs that no pause holds back any more, among so many that rest.
async fn cost_of_a_look_for_freed_runs(resting: u32) -> u64 {
    let (_database, mut db) = fill::database().await;
    fill::runs(&mut db, "waiting", 1, resting).await;
    run(
        &mut db,
        "update syncline.run set wait_reason = 'pause';
         insert into syncline.pause (scope, target, cause, paused_by)
         select 'platform', name, 'person', 'test' from unnest(array['g2a', 'meta']) name
         union all select 'business', md5('business' || n)::uuid::text, 'person', 'test' from generate_series(0, 9) n",
    )
    .await;
    // Beside those of whole platforms, the runs of ten businesses.
    run(
        &mut db,
        "delete from syncline.run where platform = 'tiktok' and fair_turn > 999",
    )
    .await;
    run(&mut db, "vacuum (analyze) syncline.run").await;
    let look = find("free_paused", &["with recursive hop as"]);
    analysed(&mut db, &look, "1000").await.buffers()
}

async fn assert_claims_cost_the_same_beside(state: &str) {
    let alone = cost_of_a_claim(state, 0).await;
    let beside = cost_of_a_claim(state, 100_000).await;
    println!("a claim of 100: {alone} buffers, beside 100,000 {state} runs {beside}");
    assert!(
        beside * 5 <= alone * 6,
        "{alone} alone, {beside} beside them"
    );
}

#[tokio::test]
async fn a_hundred_thousand_waiting_runs_cost_a_claim_nothing() {
    assert_claims_cost_the_same_beside("waiting").await;
}

#[tokio::test]
async fn a_hundred_thousand_queued_runs_cost_a_claim_nothing() {
    assert_claims_cost_the_same_beside("queued").await;
}

#[tokio::test]
async fn a_look_for_freed_runs_costs_by_the_pauses_and_not_by_the_runs() {
    let few = cost_of_a_look_for_freed_runs(1_000).await;
    let many = cost_of_a_look_for_freed_runs(100_000).await;
    println!("a look for freed runs: {few} buffers, with a hundred times as many that rest {many}");
    assert!(
        many <= few * 2,
        "{few} among a thousand, {many} among 100,000"
    );
}

#[tokio::test]
async fn a_hundred_thousand_blocked_runs_cost_a_claim_nothing() {
    assert_claims_cost_the_same_beside("blocked").await;
}

#[tokio::test]
async fn a_finish_does_not_search_the_history_for_what_it_puts_there() {
    let (_database, mut db) = fill::database().await;
    fill::runs(&mut db, "running", 1, 10).await;
    let finish = find("finish", &["with ended as materialized"]);
    let of_token = |token: u32| {
        let id = fill::id_of("run", 1);
        format!(
            "array[{id}], array[{token}], array['succeeded'], array['succeeded'], array[0], array[null]::jsonb[], array[1], \
             array[null]::text[], 'test:1'"
        )
    };
    let held = analysed(&mut db, &finish, &of_token(1)).await;
    assert_eq!(held.searches_of("run_history"), 0, "{held}");
    // That of a lease given away may be there from an earlier call.
    let stale = analysed(&mut db, &finish, &of_token(7)).await;
    assert!(stale.searches_of("run_history") > 0, "{stale}");
}
