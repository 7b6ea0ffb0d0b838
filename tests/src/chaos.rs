//! Chaos: real processes under steady load while a seeded script of faults hits them, the network and Postgres.
//!
//! [`script`] decides what happens in which order, from a seed alone. [`inflict`] does it. [`load`] keeps runs coming. What must
//! hold afterwards is in [`crate::story`] and [`crate::fleet`]. [`schedulers`] is the same about ticks, by a [`timetable`].

pub mod budgets;
pub mod inflict;
pub mod load;
pub mod schedulers;
pub mod script;
pub mod timetable;

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use self::inflict::Inflictor;
use self::load::Load;
use self::script::{Holds, Script};
use crate::database::count;
use crate::random::Random;
use crate::story::attempts_with;
use crate::wait::{Look, until};
use crate::{Cluster, Fleet};

/// The variable that brings an order of faults back.
pub const SEED: &str = "SYNCLINE_CHAOS_SEED";

const WORKERS: usize = 3;
const SLOTS: u16 = 4;
const BUSINESSES: u32 = 3;
const EACH: u32 = 3;
/// 15 pages.
const PRODUCTS: u32 = 290;
const LATENCY_MS: u32 = 40;
/// An attempt without progress for so long is cancelled.
const STALL_SECONDS: u32 = 6;

/// Lets faults rain for so long, at least each kind once, and fails unless everything is right afterwards.
pub async fn rage(length: Duration, holds: Holds, recovery: Duration) {
    let seed = Random::seed_from(SEED);
    println!("chaos: {SEED}={seed}");
    let mut cluster = Cluster::builder()
        .workers(WORKERS)
        .slots(SLOTS)
        .schedulers(2)
        .products(PRODUCTS)
        .accounts(BUSINESSES * EACH)
        .private_postgres(&[])
        .through_proxy()
        .variable(
            "worker",
            "SYNCLINE_STALL_SECONDS",
            &STALL_SECONDS.to_string(),
        )
        .start()
        .await;
    cluster
        .simulator
        .set_faults(json!({"latency_ms": LATENCY_MS}))
        .await;
    let fleet = Fleet::connect(&cluster, BUSINESSES, EACH).await;
    let load = Load::start(&cluster, &fleet).await;
    until("the first run", async || {
        let ended = "select count(*) from syncline.runs where status = 'succeeded'";
        let ended = count(&cluster.pool, ended).await;
        Look::is(ended > 0, ended)
    })
    .await;

    let mut inflictor =
        Inflictor::new(&mut cluster, holds, usize::from(SLOTS), fleet.members.len());
    let began = Instant::now();
    play(
        Script::new(seed, script::TO_CLUSTERS),
        &mut inflictor,
        length,
    )
    .await;
    let explained = inflictor.explained_losses();
    println!(
        "chaos: {:6.2} s: over; the faults explain at most {explained} lost attempts",
        began.elapsed().as_secs_f64()
    );
    let accepted = load.stop(&cluster, &fleet).await;

    let (stories, mut problems) = fleet.judge(&mut cluster, recovery).await;
    let lost = attempts_with(&stories, "lost").count();
    if lost > explained {
        problems.push(format!(
            "{lost} attempts were lost, the faults explain {explained}"
        ));
    }
    let attempts: usize = stories.iter().map(|run| run.attempts.len()).sum();
    println!(
        "chaos: {} runs ({accepted} of them asked for by hand) in {attempts} attempts, {lost} lost, {} retried; \
         calm {:.1} s after the last fault began to be over",
        stories.len(),
        attempts_with(&stories, "retry").count(),
        began.elapsed().as_secs_f64()
    );
    assert!(accepted > 0, "nothing was asked for");
    assert_no(&problems, seed);
}

/// Inflicts what the script says, for so long, and at least each kind once. Answers after what time each kind had been there.
async fn play(script: Script, inflictor: &mut Inflictor<'_>, length: Duration) -> Duration {
    let began = Instant::now();
    let round = script.round();
    let mut all_kinds_after = Duration::MAX;
    for (number, step) in script.enumerate() {
        if number == round {
            all_kinds_after = began.elapsed();
        }
        if number >= round && began.elapsed() >= length {
            break;
        }
        sleep(step.pause).await;
        println!(
            "chaos: {:6.2} s: {:?}, choice {}",
            began.elapsed().as_secs_f64(),
            step.fault,
            step.choice
        );
        inflictor.inflict(step).await;
    }
    all_kinds_after
}

fn assert_no(problems: &[String], seed: u64) {
    assert!(
        problems.is_empty(),
        "{SEED}={seed}: {} rules are broken:\n{}",
        problems.len(),
        problems.join("\n")
    );
}
