//! A database whose clock the test moves, and what is asked of it.

use std::path::Path;
use std::time::Duration;

use syncline_postgres::testing::{self, TestDatabase};
use syncline_shared::budget::{BudgetDefinition, BudgetWindow, BudgetWindowKind};
use syncline_shared::config::DatabaseConfig;
use syncline_shared::db::Database;
use syncline_shared::db::budget::{
    Ask, Asker, Charge, Correction, Cost, Drawn, Grant, Granted, Settled, correct_budget,
    define_budget, take_permits,
};
use syncline_shared::ids::BusinessId;
use uuid::Uuid;

/// Requests are given up after so long.
pub(crate) const ANSWER_MS: i64 = 3_000;

pub(crate) struct World {
    pub(crate) database: Database,
    /// So many percent of each window are kept for runs that a person started.
    pub(crate) reserve: u8,
    _server: TestDatabase,
}

pub(crate) fn rolling(limit: u32, ms: u64) -> BudgetWindow {
    BudgetWindow {
        kind: BudgetWindowKind::Rolling(Duration::from_millis(ms)),
        limit,
    }
}

pub(crate) fn fixed(limit: u32, ms: u64) -> BudgetWindow {
    BudgetWindow {
        kind: BudgetWindowKind::Fixed(Duration::from_millis(ms)),
        limit,
    }
}

pub(crate) fn concurrent(limit: u32) -> BudgetWindow {
    BudgetWindow {
        kind: BudgetWindowKind::Concurrent,
        limit,
    }
}

/// The length of a rolling window; of one of requests at once, none.
pub(crate) fn length_ms(window: &BudgetWindow) -> i64 {
    let length = window.kind.length().unwrap_or_default();
    i64::try_from(length.as_millis()).unwrap()
}

/// Somebody who asks, a person's run, of a business of the same number and with this weight.
pub(crate) fn asker(number: u128, weight: i32) -> Asker {
    Asker {
        id: Uuid::from_u128(number),
        business: BusinessId(Uuid::from_u128(1_000 + number)),
        weight,
        is_manual: true,
    }
}

/// What became of permits: their requests left at this instant.
pub(crate) fn sent(budget: &BudgetDefinition, given: &Given, at: i64, cost: i64) -> Cost {
    settled(budget, given, Settled::Sent { at, cost })
}

/// What became of permits of a point each.
pub(crate) fn settled(budget: &BudgetDefinition, given: &Given, settled: Settled) -> Cost {
    let (count, charge) = given.charge().unwrap();
    Cost {
        key: budget.key(),
        charge,
        permits: i64::from(count),
        points: i64::from(count),
        settled,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let server = testing::database(&migrations).await.unwrap();
        let config = DatabaseConfig::direct(server.url(), 4);
        let database = Database::connect(&config, "syncline tests").await.unwrap();
        let world = Self {
            database,
            reserve: 0,
            _server: server,
        };
        world
            .tell(
                "create table public.stopped_clock (at timestamptz not null);
                 insert into public.stopped_clock values ('2026-11-26 00:00:00+00');
                 create or replace function syncline.now() returns timestamptz
                 language sql stable parallel safe
                 begin atomic select at from public.stopped_clock; end;",
            )
            .await;
        world
    }

    async fn tell(&self, text: &'static str) {
        let mut db = self.database.session().await.unwrap();
        sqlx::raw_sql(text).execute(&mut *db).await.unwrap();
    }

    pub(crate) async fn advance(&self, ms: i64) {
        let mut db = self.database.session().await.unwrap();
        sqlx::query("update public.stopped_clock set at = at + $1 * interval '1 millisecond'")
            .bind(ms)
            .execute(&mut *db)
            .await
            .unwrap();
    }

    pub(crate) async fn set_clock(&self, to: &str) {
        let mut db = self.database.session().await.unwrap();
        sqlx::query("update public.stopped_clock set at = $1::timestamptz")
            .bind(to)
            .execute(&mut *db)
            .await
            .unwrap();
    }

    #[expect(clippy::unused_self, reason = "budgets are spoken of as this world's")]
    pub(crate) fn budget(&self, name: &str, windows: Vec<BudgetWindow>) -> BudgetDefinition {
        BudgetDefinition {
            platform: "test".to_owned(),
            name: name.to_owned(),
            scope: String::new(),
            windows,
        }
    }

    /// Permits without a lease: for requests that are sent at once.
    pub(crate) async fn take(&self, budgets: &[(BudgetDefinition, u32)], want: u32) -> Given {
        self.ask(budgets, want, 0, &[]).await
    }

    pub(crate) async fn ask(
        &self,
        budgets: &[(BudgetDefinition, u32)],
        want: u32,
        lease_ms: u64,
        settled: &[Cost],
    ) -> Given {
        self.ask_as(asker(1, 1), budgets, want, lease_ms, settled)
            .await
    }

    pub(crate) async fn ask_as(
        &self,
        asker: Asker,
        budgets: &[(BudgetDefinition, u32)],
        want: u32,
        lease_ms: u64,
        settled: &[Cost],
    ) -> Given {
        self.ask_early(asker, budgets, want, lease_ms, 0, settled)
            .await
    }

    /// Permits that begin within a time are welcome, too.
    pub(crate) async fn ask_early(
        &self,
        asker: Asker,
        budgets: &[(BudgetDefinition, u32)],
        want: u32,
        lease_ms: u64,
        early_ms: u64,
        settled: &[Cost],
    ) -> Given {
        let drawn: Vec<_> = budgets
            .iter()
            .map(|(budget, points)| Drawn {
                budget: budget.clone(),
                points: *points,
                manual_reserve: self.reserve,
            })
            .collect();
        let mut db = self.database.session().await.unwrap();
        let mut ask = Ask {
            drawn: &drawn,
            circuit: "test/host:1",
            asker,
            want,
            lease: Duration::from_millis(lease_ms),
            early: Duration::from_millis(early_ms),
            hold: Duration::from_millis(ANSWER_MS.unsigned_abs()),
            patience: Duration::from_secs(2),
            settled,
        };
        for _ in 0..2 {
            match take_permits(&mut db, &ask).await.unwrap() {
                Grant::Undefined(keys) => {
                    for (budget, _) in budgets
                        .iter()
                        .filter(|(budget, _)| keys.contains(&budget.key()))
                    {
                        define_budget(&mut db, budget).await.unwrap();
                    }
                    // What was to be settled is.
                    ask.settled = &[];
                }
                grant => return Given(grant),
            }
        }
        panic!("a budget stays undefined");
    }

    /// The answer to a request that left just now.
    pub(crate) async fn correct(&self, budget: &BudgetDefinition, correction: Correction) -> bool {
        let sent_at = self.now_ms().await;
        let correction = Correction {
            sent_at,
            ..correction
        };
        self.correct_as_sent(budget, correction).await
    }

    /// The answer to a request that left when it says.
    pub(crate) async fn correct_as_sent(
        &self,
        budget: &BudgetDefinition,
        correction: Correction,
    ) -> bool {
        let mut db = self.database.session().await.unwrap();
        let correction = Correction {
            reason: "told".to_owned(),
            ..correction
        };
        correct_budget(&mut db, budget, &correction).await.unwrap()
    }

    /// The database's clock in milliseconds since 1970.
    pub(crate) async fn now_ms(&self) -> i64 {
        let mut db = self.database.session().await.unwrap();
        sqlx::query_scalar("select syncline.epoch_ms(syncline.now())")
            .fetch_one(&mut *db)
            .await
            .unwrap()
    }
}

/// What came of a request for permits.
#[derive(Debug)]
pub(crate) struct Given(pub(crate) Grant);

impl Given {
    pub(crate) fn granted(&self) -> u32 {
        self.charge().map_or(0, |(count, _)| count)
    }

    pub(crate) fn charge(&self) -> Option<(u32, Charge)> {
        match self.begins()[..] {
            [] => None,
            [granted] => Some((granted.permits, granted.charge)),
            ref more => panic!("not all begin at once: {more:?}"),
        }
    }

    /// What was granted, by when it begins.
    pub(crate) fn begins(&self) -> Vec<Granted> {
        match &self.0 {
            Grant::Granted(granted) => granted.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn because(&self) -> Option<&str> {
        match &self.0 {
            Grant::Wait { because, .. } => because.as_deref(),
            other => panic!("no refusal: {other:?}"),
        }
    }

    pub(crate) fn wait_ms(&self) -> i64 {
        match &self.0 {
            Grant::Wait { wait, .. } => i64::try_from(wait.as_millis()).unwrap(),
            other => panic!("no wait: {other:?}"),
        }
    }

    /// After so long there is room for anybody.
    pub(crate) fn room_ms(&self) -> i64 {
        match &self.0 {
            Grant::Wait { room, .. } => i64::try_from(room.as_millis()).unwrap(),
            other => panic!("no wait: {other:?}"),
        }
    }

    pub(crate) fn refused_by(&self) -> &str {
        match &self.0 {
            Grant::Wait { key, .. } => key,
            other => panic!("no refusal: {other:?}"),
        }
    }
}
