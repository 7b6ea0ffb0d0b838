//! Permits of budgets that do not run out.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rand::RngExt;
use syncline_shared::budget::{BudgetDefinition, BudgetWindow, BudgetWindowKind};
use syncline_shared::db::budget::{
    Ask, Asker, Cost, Drawn, Grant, Settled, define_budget, take_permits,
};
use syncline_shared::ids::BusinessId;
use uuid::Uuid;

use super::Load;

/// Permits a second, taken so many at a time.
pub(super) async fn measure(load: &Load, at_a_time: u32) -> anyhow::Result<f64> {
    let mut db = load.database.session().await?;
    for key in 1..=load.keys {
        define_budget(&mut db, &budget(key)).await?;
    }
    drop(db);
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..load.clients {
        clients.spawn(take(load.clone(), at_a_time));
    }
    let mut taken = 0.0;
    while let Some(client) = clients.join_next().await {
        taken += client??;
    }
    Ok(taken / began.elapsed().as_secs_f64())
}

fn budget(key: u32) -> BudgetDefinition {
    BudgetDefinition {
        platform: "bench".to_owned(),
        name: "requests".to_owned(),
        scope: key.to_string(),
        windows: vec![BudgetWindow {
            kind: BudgetWindowKind::Rolling(Duration::from_secs(10)),
            limit: 100_000_000,
        }],
    }
}

async fn take(load: Load, at_a_time: u32) -> anyhow::Result<f64> {
    let until = Instant::now() + Duration::from_secs(load.seconds);
    let asker = Asker {
        id: Uuid::from_u128(rand::random()),
        business: BusinessId(Uuid::from_u128(rand::random())),
        weight: 1,
        is_manual: false,
    };
    let mut db = load.database.session().await?;
    let mut taken = 0.0;
    let mut settled: Vec<Cost> = Vec::new();
    while Instant::now() < until {
        let budget = budget(rand::rng().random_range(1..=load.keys));
        let drawn = [Drawn {
            budget,
            points: 1,
            manual_reserve: 0,
        }];
        let ask = Ask {
            drawn: &drawn,
            circuit: "bench/localhost:1",
            asker,
            want: at_a_time,
            lease: Duration::from_secs(1),
            early: Duration::ZERO,
            hold: Duration::from_secs(15),
            patience: Duration::from_secs(2),
            settled: &settled,
        };
        let Grant::Granted(granted) = take_permits(&mut db, &ask).await? else {
            bail!("a permit was refused although no limit binds");
        };
        let [given] = granted[..] else {
            bail!("permits begin later although no limit binds");
        };
        let (permits, charge) = (given.permits, given.charge);
        ensure!(
            permits == at_a_time,
            "{permits} permits in place of {at_a_time}"
        );
        taken += f64::from(permits);
        let points = i64::from(permits);
        settled = vec![Cost {
            key: drawn.iter().map(|drawn| drawn.budget.key()).collect(),
            charge,
            permits: points,
            points,
            settled: Settled::Sent {
                at: charge.at - 900,
                cost: points,
            },
        }];
    }
    Ok(taken)
}
