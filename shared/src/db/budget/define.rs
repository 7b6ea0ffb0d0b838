//! The windows that a budget has.

use crate::budget::{BudgetDefinition, BudgetWindow, BudgetWindowKind};
use crate::db::{DbConnection, DbResult};

/// Creates a budget, and windows that it does not have yet.
pub async fn define_budget(db: &mut DbConnection, budget: &BudgetDefinition) -> DbResult<()> {
    let numbers = |of: fn(&BudgetWindowKind) -> i64| -> Vec<i64> {
        budget
            .windows
            .iter()
            .map(|window| of(&window.kind))
            .collect()
    };
    let texts = |of: fn(&BudgetWindow) -> String| -> Vec<String> {
        budget.windows.iter().map(of).collect()
    };
    let zones: Vec<_> = budget
        .windows
        .iter()
        .map(|window| window.kind.zone())
        .collect();
    let limits: Vec<_> = budget
        .windows
        .iter()
        .map(|window| i64::from(window.limit.max(1)))
        .collect();
    sqlx::query!(
        "select from syncline.define_budget($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        budget.key(),
        budget.platform,
        budget.name,
        budget.scope,
        &texts(|window| window.kind.word()),
        &texts(|window| window.kind.name().to_owned()),
        &numbers(BudgetWindowKind::per_ms),
        &numbers(BudgetWindowKind::guard_ms),
        &zones as &[Option<String>],
        &numbers(BudgetWindowKind::slot_ms),
        &limits
    )
    .execute(db)
    .await?;
    Ok(())
}
