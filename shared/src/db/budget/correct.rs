//! What a platform tells changes its budget for everyone.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::budget::BudgetDefinition;
use crate::db::{DbConnection, DbResult};

/// What an answer says of a budget. What it does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Correction {
    /// When the request left, by the database's clock, in milliseconds since 1970.
    pub sent_at: i64,
    /// The platform refused the request since a limit is reached.
    pub is_limited: bool,
    /// It wants no request for so long.
    pub wait: Option<Duration>,
    /// Why, in words.
    pub reason: String,
    /// Points that its window still gives.
    pub remaining: Option<u64>,
    /// Points that its window gives in all.
    pub limit: Option<u64>,
    /// How much of its window is used: 1.0 is all of it.
    pub used: Option<f64>,
    /// Its window begins anew after this time.
    pub resets_in: Option<Duration>,
}

/// Something that holders of permits must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// A budget's key, or a circuit's.
    pub key: String,
    /// When it changed.
    pub at: DateTime<Utc>,
    /// True: a host that does not answer. False: a budget.
    pub is_circuit: bool,
    /// Of a circuit: nothing is sent for now.
    pub is_open: bool,
}

/// Corrects a budget by the answer to a request for which it was drawn on. Answers whether other processes must know.
pub async fn correct_budget(
    db: &mut DbConnection,
    budget: &BudgetDefinition,
    correction: &Correction,
) -> DbResult<bool> {
    let count = |number: Option<u64>| number.map(|n| i64::try_from(n).unwrap_or(i64::MAX / 4));
    let ms = |time: Option<Duration>| {
        time.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4))
    };
    let words: Vec<_> = budget
        .windows
        .iter()
        .map(|window| window.kind.word())
        .collect();
    Ok(sqlx::query_scalar!(
        r#"select syncline.correct_budget($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as "must_know!""#,
        budget.key(),
        correction.sent_at,
        correction.is_limited,
        ms(correction.wait),
        correction.reason,
        count(correction.remaining),
        count(correction.limit),
        correction
            .used
            .filter(|used| used.is_finite())
            .map(|used| used.clamp(0.0, 10.0)),
        ms(correction.resets_in),
        &words
    )
    .fetch_one(db)
    .await?)
}

/// What holders of permits must know since an instant of the database's clock, in the order in which it happened. Looks in two indexes that
/// hold changes only.
pub async fn list_changes(db: &mut DbConnection, since: DateTime<Utc>) -> DbResult<Vec<Change>> {
    // A change whose transaction took its time commits after younger ones: the caller looks back a little.
    Ok(sqlx::query_as!(
        Change,
        r#"select b.key as "key!", b.corrected_at as "at!", false as "is_circuit!", false as "is_open!"
           from syncline.budget b where b.corrected_at > $1
           union all
           select c.key, c.changed_at, true, c.open_until is not null
           from syncline.circuit c where c.changed_at > $1
           order by 2"#,
        since
    )
    .fetch_all(db)
    .await?)
}
