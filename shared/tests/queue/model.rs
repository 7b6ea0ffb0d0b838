//! The statements make the moves that `Place::after` allows, and no others.
//!
//! Random walks through all operations of the queue, stale ones included, against one database whose clock the test moves. After each
//! step every run's place is compared with the model's. The seeds are fixed, so a failure repeats.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rand::SeedableRng;
use rand::rngs::StdRng;

use syncline_shared::db::run::Heads;
use syncline_shared::run::{Move, Outcome, WaitReason};

use crate::clock;
use crate::expected::{self, Expected};
use crate::walk::Walk;
use crate::world::World;

const WALKS: u64 = 20;
const STEPS: usize = 120;

const EVERY_MOVE: [Move; 16] = [
    Move::Claim,
    Move::Finish(Outcome::Succeeded),
    Move::Finish(Outcome::Partial),
    Move::Finish(Outcome::Failed),
    Move::Finish(Outcome::Cancelled),
    Move::HandBack,
    Move::GiveWay,
    Move::Wait(WaitReason::Limit),
    Move::Wait(WaitReason::Backoff),
    Move::Wait(WaitReason::Pause),
    Move::Due,
    Move::Promote,
    Move::Pause,
    Move::Resume,
    Move::Cancel,
    Move::Expire,
];

#[tokio::test]
async fn every_statement_moves_runs_as_the_state_machine_says() {
    let world = World::new().await;
    clock::stop(&world.pool).await;
    let mut targets = world.business_on("acme", &["g2a", "g2a", "meta"]).await;
    targets.extend(world.business_on("bolt", &["g2a", "meta"]).await);
    let mut made = HashSet::new();
    for seed in 0..WALKS {
        clear(&world).await;
        let mut walk = Walk {
            world: &world,
            targets: &targets,
            expected: Expected {
                now: clock::read(&world.pool).await,
                runs: BTreeMap::new(),
                pauses: BTreeSet::new(),
                made: HashSet::new(),
            },
            before: BTreeMap::new(),
            leases: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            heads: Heads::default(),
            went_back: BTreeSet::new(),
            story: vec![format!("seed {seed}")],
        };
        for _ in 0..STEPS {
            walk.step().await;
            let after = walk.look().await;
            walk.expected.assert_matches(&after);
            expected::assert_invariants(&walk.before, &after, &walk.expected);
            walk.before = after;
        }
        made.extend(walk.expected.made.drain());
    }
    for change in EVERY_MOVE {
        assert!(
            made.contains(&change),
            "no walk has made this move: {change:?}"
        );
    }
}

async fn clear(world: &World) {
    sqlx::raw_sql(
        "truncate syncline.run, syncline.run_history, syncline.attempt, syncline.pause, syncline.fair_turn;
         select setval('syncline.virtual_turn', 0)",
    )
    .execute(&world.pool)
    .await
    .unwrap();
}
