//! What is not drawn on any more is forgotten.

use std::time::Duration;

use crate::db::{DbConnection, DbResult};

/// Longer than the longest window: what is forgotten counts no more.
const REMEMBERED: Duration = Duration::from_hours(24 * 62);

/// Deletes budgets, windows of budgets, and notes of connections' draws that were not used for two months, at most so many of each. Answers
/// how many there were.
pub async fn prune_budgets(db: &mut DbConnection, limit: i64) -> DbResult<u64> {
    // A budget that somebody draws on at this moment is passed over; windows are changed under their budget's row only.
    let budgets = sqlx::query!(
        "delete from syncline.budget where key = any (array(
             select b.key from syncline.budget b
             where b.updated_at < syncline.now() - make_interval(secs => $1)
               and coalesce(b.paused_until < syncline.now(), true)
             limit $2 for update skip locked))",
        REMEMBERED.as_secs_f64(),
        limit
    )
    .execute(&mut *db)
    .await?;
    let windows = sqlx::query!(
        "with old as materialized (
             select w.key, w.word from syncline.budget_window w
             where w.asked_at < syncline.epoch_ms(syncline.now() - make_interval(secs => $1))
               and w.asked_at < syncline.asked_since(w.key, w.per_ms)
             limit $2
         ),
         locked as materialized (
             select b.key from syncline.budget b where b.key in (select o.key from old o) order by b.key for update skip locked
         )
         delete from syncline.budget_window w using old o join locked l on l.key = o.key
         where w.key = o.key and w.word = o.word
           and w.asked_at < syncline.epoch_ms(syncline.now() - make_interval(secs => $1))",
        REMEMBERED.as_secs_f64(),
        limit
    )
    .execute(&mut *db)
    .await?;
    let draws = sqlx::query!(
        "delete from syncline.connection_budget where ctid = any (array(
             select ctid from syncline.connection_budget
             where seen_at < syncline.now() - make_interval(secs => $1) limit $2))",
        REMEMBERED.as_secs_f64(),
        limit
    )
    .execute(db)
    .await?;
    Ok(budgets.rows_affected() + windows.rows_affected() + draws.rows_affected())
}
