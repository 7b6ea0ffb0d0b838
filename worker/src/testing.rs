//! What unit tests of several rooms need.

use serde_json::{Value, json};
use syncline_engine::{BudgetKey, PermitRequest};
use syncline_shared::budget::Limits;
use syncline_shared::db::run::ClaimedRun;
use syncline_shared::ids::{BusinessId, ConnectionId, RunId};
use syncline_shared::run::{Progress, RunKind};
use uuid::Uuid;

use crate::budgets::{Draw, Overrides};

/// A run in its first attempt, of the platform `p`.
pub(crate) fn claimed_run() -> ClaimedRun {
    ClaimedRun {
        id: RunId(Uuid::from_u128(1)),
        token: 1,
        attempt: 1,
        failures: 0,
        priority: 50,
        fair_turn: 0,
        schedule_id: None,
        connection_id: ConnectionId(Uuid::from_u128(2)),
        business_id: BusinessId(Uuid::from_u128(3)),
        platform: "p".to_owned(),
        kind: RunKind::Full,
        streams: None,
        page: None,
        range_from: None,
        range_to: None,
        time_limit_seconds: None,
        seconds_left: None,
        checkpoint_sequence: 0,
        checkpoint: json!({}),
        progress: sqlx::types::Json(Progress::default()),
        unreadable: None,
    }
}

/// A request that draws on the budget `b` of nobody in particular.
pub(crate) fn permit_request(weight: u32) -> PermitRequest {
    PermitRequest {
        stream: "a".to_owned(),
        method: "GET".to_owned(),
        url: String::new(),
        authority: "h:1".to_owned(),
        budgets: vec![BudgetKey {
            policy: "b".to_owned(),
            scope: String::new(),
            weight,
        }],
        ahead: false,
    }
}

/// What that request draws on, where the budget has these windows.
pub(crate) fn draw(windows: &Value, weight: u32) -> Draw {
    Draw::of("p", &permit_request(weight), &[], &overrides(windows))
}

/// These windows for the budget `b`.
pub(crate) fn overrides(windows: &Value) -> Overrides {
    Overrides {
        of_connection: Limits::read(&json!({"b": {"windows": windows}})),
        ..Overrides::default()
    }
}
