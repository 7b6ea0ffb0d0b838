//! Chaos of schedulers: three of them, and their Postgres, are hit again and again while schedules of a few seconds fire.

use std::time::Duration;

use tokio::time::Instant;

use super::inflict::Inflictor;
use super::script::{Holds, Script, TO_SCHEDULERS};
use super::timetable::{Size, Timetable};
use super::{SEED, assert_no, play};
use crate::random::Random;
use crate::{Cluster, Fleet};

const SCHEDULERS: usize = 3;
const SLOTS: u16 = 8;
/// Connections of a business.
const EACH: u32 = 5;
/// One page.
const PRODUCTS: u32 = 15;
/// What a scheduler says when the transaction that records ticks was refused: no fault may lead to that.
const REFUSED: [&str; 2] = ["deciding ticks together failed", "could not be decided"];

/// Lets faults rain upon schedulers for so long, at least each kind once, and fails unless every moment of every schedule became
/// exactly one tick, and every tick that fired one batch with its runs.
pub async fn rage_at_schedulers(
    length: Duration,
    size: Size,
    businesses: u32,
    holds: Holds,
    recovery: Duration,
) {
    let seed = Random::seed_from(SEED);
    println!("chaos: {SEED}={seed}");
    let mut cluster = Cluster::builder()
        .schedulers(SCHEDULERS)
        .slots(SLOTS)
        .products(PRODUCTS)
        .accounts(businesses * EACH)
        .private_postgres(&[])
        .start()
        .await;
    let fleet = Fleet::connect(&cluster, businesses, EACH).await;
    let began = Instant::now();
    let timetable = Timetable::write(&cluster, &fleet, size, length).await;

    let mut inflictor =
        Inflictor::new(&mut cluster, holds, usize::from(SLOTS), fleet.members.len());
    let all_kinds_after = play(Script::new(seed, TO_SCHEDULERS), &mut inflictor, length).await;
    let over = Instant::now();
    println!("chaos: {:6.2} s: over", began.elapsed().as_secs_f64());
    timetable.wait_until_over(&cluster, recovery).await;

    let mut problems = timetable.judge(&cluster).await;
    let (words, has_gaps) = timetable.count(&cluster).await;
    println!(
        "chaos: {} schedules, {words}; all was done {:.1} s after the last fault",
        size.schedules,
        over.elapsed().as_secs_f64()
    );
    // Postgres was away for longer than the intervals.
    if !has_gaps && all_kinds_after < length {
        problems.push("no moments were passed over together: no fault was felt".to_owned());
    }
    problems.extend(cluster.problems());
    for (name, log) in cluster.logs() {
        let refused = log
            .lines()
            .find(|line| REFUSED.iter().any(|words| line.contains(words)));
        problems.extend(refused.map(|line| format!("{name}: {line}")));
    }
    assert_no(&problems, seed);
}
