//! What a claim costs, whatever lies in the queue beside what it takes; and that a finish does not search the history.

use sqlx::{Connection, PgConnection};

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
    analysed(
        &mut db,
        &claim,
        &claim_of_a_hundred("array[]::text[]", "array[]::int8[]"),
    )
    .await
    .buffers()
}

/// The arguments of a claim that begins at these turns of these platforms.
fn claim_of_a_hundred(platforms: &str, turns: &str) -> String {
    let process = fill::id_of("process", 1);
    format!("'sync', 100, {process}, array[]::text[], array[]::int8[], 100, {platforms}, {turns}")
}

/// Buffers of a claim of a hundred runs out of two thousand, behind so many that have ended and that an open snapshot still sees: of one that
/// knows where the queue begins, and of one that looks from the very beginning.
async fn cost_of_a_claim_behind_the_dead(dead: u32) -> (u64, u64) {
    let (database, mut db) = fill::database().await;
    fill::runs(&mut db, "queued", 1, dead).await;
    let mut holder = PgConnection::connect(&database.url()).await.unwrap();
    run(
        &mut holder,
        "begin isolation level repeatable read; select count(*) from syncline.run",
    )
    .await;
    run(&mut db, "delete from syncline.run").await;
    fill::runs(&mut db, "queued", 200_001, 2_000).await;
    run(&mut db, "vacuum (analyze) syncline.run").await;
    let claim = find("claim", &["with recursive alive as"]);
    let knowing = claim_of_a_hundred(
        "array['g2a', 'meta', 'tiktok']",
        "array[200001, 200001, 200001]",
    );
    let knowing = analysed(&mut db, &claim, &knowing).await.buffers();
    let unknowing = claim_of_a_hundred("array[]::text[]", "array[]::int8[]");
    let unknowing = analysed(&mut db, &claim, &unknowing).await.buffers();
    run(&mut holder, "commit").await;
    (knowing, unknowing)
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
async fn a_claim_does_not_step_over_runs_that_ended_while_a_snapshot_was_open() {
    let (alone, _) = cost_of_a_claim_behind_the_dead(3).await;
    let (behind, from_the_beginning) = cost_of_a_claim_behind_the_dead(50_000).await;
    println!(
        "a claim of 100: {alone} buffers, behind 50,000 dead runs {behind}, from the beginning {from_the_beginning}"
    );
    assert!(
        behind * 5 <= alone * 6,
        "{alone} alone, {behind} behind them"
    );
    assert!(
        from_the_beginning > alone * 4,
        "the dead runs are in nobody's way: {from_the_beginning}"
    );
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
             array[null]::text[], 'test:1', array[1], array[0]"
        )
    };
    let held = analysed(&mut db, &finish, &of_token(1)).await;
    assert_eq!(held.searches_of("run_history"), 0, "{held}");
    // That of a lease given away may be there from an earlier call.
    let stale = analysed(&mut db, &finish, &of_token(7)).await;
    assert!(stale.searches_of("run_history") > 0, "{stale}");
}

/// A scheduler enqueues one run each of hundreds of batches at once.
#[tokio::test]
async fn an_enqueue_for_many_batches_does_not_compare_each_run_with_each_batch() {
    const BATCHES: u32 = 500;
    let (_database, mut db) = fill::database().await;
    let enqueue = find("enqueue", &["virtual as materialized"]);
    let each = |of: &dyn Fn(u32) -> String| {
        let values: Vec<_> = (1..=BATCHES).map(of).collect();
        format!("array[{}]", values.join(", "))
    };
    let always = |value: &'static str| each(&move |_| value.to_owned());
    let arguments = [
        each(&|n| fill::id_of("batch", n)),
        each(&|n| fill::id_of("schedule", n)),
        always("'schedule'"),
        always("null::text"),
        always("'full'"),
        always("null::jsonb"),
        always("null::int8"),
        always("null::timestamptz"),
        always("null::timestamptz"),
        always("50::int2"),
        always("null::int"),
        each(&|n| fill::id_of("connection", n)),
        each(&|n| fill::id_of("business", n / 10)),
        always("'g2a'"),
        always("null::uuid"),
        always("0::float8"),
        each(&|n| format!("{n}::int8")),
        "'sync'".to_owned(),
    ];
    let plan = analysed(&mut db, &enqueue, &arguments.join(", ")).await;
    let in_vain = plan.compared_in_vain();
    assert!(
        in_vain <= u64::from(BATCHES) * 10,
        "{in_vain} comparisons for {BATCHES} batches:\n{plan}"
    );
}
