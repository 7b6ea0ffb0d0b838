//! Stands in for workers whose requests draw on budgets.

use std::time::Duration;

use syncline_shared::budget::{BudgetDefinition, BudgetWindow, BudgetWindowKind};
use syncline_shared::db::budget::{
    Ask, Asker, Correction, Drawn, Grant, correct_budget, define_budget, note_failure, take_permits,
};
use syncline_shared::ids::BusinessId;
use uuid::Uuid;

use crate::support::App;

/// The budget `requests` of an account on the platform: 10 points in any hour, 4 requests at once.
pub(crate) fn hourly(platform: &str, scope: &str) -> BudgetDefinition {
    let window = |kind, limit| BudgetWindow { kind, limit };
    BudgetDefinition {
        platform: platform.to_owned(),
        name: "requests".to_owned(),
        scope: scope.to_owned(),
        windows: vec![
            window(BudgetWindowKind::Rolling(Duration::from_hours(1)), 10),
            window(BudgetWindowKind::Concurrent, 4),
        ],
    }
}

/// Takes so many permits of one point each.
pub(crate) async fn take(app: &App, budget: BudgetDefinition, permits: u32) {
    let mut db = app.database.session().await.unwrap();
    define_budget(&mut db, &budget).await.unwrap();
    let drawn = [Drawn {
        budget,
        points: 1,
        manual_reserve: 0,
    }];
    let ask = Ask {
        drawn: &drawn,
        circuit: "",
        asker: Asker {
            id: Uuid::from_u128(1),
            business: BusinessId(Uuid::from_u128(2)),
            weight: 1,
            is_manual: false,
        },
        want: permits,
        lease: Duration::from_secs(10),
        early: Duration::ZERO,
        hold: Duration::from_mins(1),
        patience: Duration::from_secs(2),
        settled: &[],
    };
    let grant = take_permits(&mut db, &ask).await.unwrap();
    assert!(
        matches!(&grant, Grant::Granted(granted) if granted[0].permits == permits),
        "{grant:?}"
    );
}

/// The platform refuses a request that has just been sent, and says nothing but that.
pub(crate) async fn refuse(app: &App, budget: &BudgetDefinition) {
    let mut db = app.database.session().await.unwrap();
    let now = syncline_shared::db::now(&mut db).await.unwrap();
    let correction = Correction {
        sent_at: now.timestamp_millis(),
        is_limited: true,
        reason: "HTTP 429 \"slow down\"".to_owned(),
        ..Correction::default()
    };
    assert!(correct_budget(&mut db, budget, &correction).await.unwrap());
}

/// A host fails so often that nothing is sent to it any more.
pub(crate) async fn fail(app: &App, key: &str, platform: &str) {
    let mut db = app.database.session().await.unwrap();
    for _ in 0..5 {
        note_failure(&mut db, key, platform, "HTTP 503", None)
            .await
            .unwrap();
    }
}

/// A run waits for a budget, for an hour.
pub(crate) async fn wait_for(app: &App, key: &str) {
    let waits = "update syncline.run set state = 'waiting', wait_reason = 'limit', wait_detail = 'waiting for shop budget requests',
                 wait_key = $1, due_at = syncline.now() + interval '1 hour'";
    let waiting = sqlx::query(waits).bind(key).execute(&app.pool).await;
    assert_eq!(waiting.unwrap().rows_affected(), 1);
}
