//! A person says that a budget may be used again.

use uuid::Uuid;

use crate::db::{DbConnection, DbResult};
use crate::ids::ConnectionId;

/// Ends the pause of a budget, and forgets what it lowered by itself, what the platform told of its limit, and what others were said
/// to have used. Runs that wait for it are due
/// at once. Answers how many those are; `None`: there is no such budget. Workers hear of it when they are woken.
///
/// One statement, as everything that locks a budget's row: a process that freezes holds nobody up.
pub async fn resume_budget(db: &mut DbConnection, key: &str) -> DbResult<Option<i64>> {
    Ok(sqlx::query_scalar!(
        r#"with resumed as (
               update syncline.budget set
                   paused_until = null, paused_because = null, limited_in_a_row = 0, corrected_at = syncline.now()
               where key = $1 returning key
           ),
           cleared as (
               update syncline.budget_window w set
                   eased_to = null, ceiling = null, eased_at = 0, told_limit = null, outside = 0, outside_until = 0
               from resumed where w.key = resumed.key
           ),
           due as (
               -- Rows that a scheduler is moving are due already.
               update syncline.run r set due_at = syncline.now()
               where r.id in (
                   select w.id from syncline.run w join resumed on resumed.key = w.wait_key
                   where w.state = 'waiting' and w.wait_reason = 'limit' and w.due_at > syncline.now()
                   for update of w skip locked)
               returning r.id
           )
           select (select count(*) from due) as "due!" from resumed"#,
        key
    )
    .fetch_optional(db)
    .await?)
}

/// Has runs look again now that wait for a limit: those of a platform, or of one of its connections. Their limits have changed.
pub async fn end_waits(
    db: &mut DbConnection,
    platform: &str,
    connection: Option<ConnectionId>,
) -> DbResult<u64> {
    // Rows that a scheduler is moving are due already.
    let ended = sqlx::query!(
        "update syncline.run set due_at = syncline.now()
         where id in (
             select r.id from syncline.run r
             where r.state = 'waiting' and r.wait_reason = 'limit' and r.due_at > syncline.now()
               and r.platform = $1 and ($2::uuid is null or r.connection_id = $2)
             for update skip locked)",
        platform,
        connection.map(|id| id.0) as Option<Uuid>
    )
    .execute(db)
    .await?;
    Ok(ended.rows_affected())
}
