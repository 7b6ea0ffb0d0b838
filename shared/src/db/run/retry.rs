//! Repeating runs that have ended: one, or all that a filter finds.

use crate::db::history::RunFilter;
use crate::db::{DbConnection, DbResult};
use crate::ids::{BusinessId, ConnectionId, RunId};
use crate::run::{Outcome, RunKind};

/// A finished run that is to be repeated.
#[derive(Debug, Clone)]
pub struct FinishedRun {
    /// Its id.
    pub id: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// The connection it synced.
    pub connection_id: ConnectionId,
    /// That connection's business.
    pub business_id: BusinessId,
    /// Its platform.
    pub platform: String,
    /// How much it read.
    pub kind: RunKind,
    /// Only these streams.
    pub streams: Option<Vec<String>>,
    /// The page, if the kind is `page`.
    pub page: Option<i64>,
    /// The run that repeats it already.
    pub retried_by: Option<RunId>,
    /// The connection's key; `None`: it was deleted.
    pub connection_key: Option<String>,
    /// False: nothing is to be enqueued for the connection.
    pub connection_enabled: Option<bool>,
}

/// A finished run, locked until the transaction ends.
pub async fn lock_finished(db: &mut DbConnection, id: RunId) -> DbResult<Option<FinishedRun>> {
    Ok(sqlx::query_as!(
        FinishedRun,
        r#"select h.id as "id: RunId", h.outcome as "outcome: Outcome",
                  h.connection_id as "connection_id: ConnectionId", h.business_id as "business_id: BusinessId",
                  h.platform, h.kind as "kind: RunKind", h.streams, h.page, h.retried_by as "retried_by: RunId",
                  c.key as "connection_key?", c.enabled as "connection_enabled?"
           from syncline.run_history h left join syncline.connection c on c.id = h.connection_id
           where h.id = $1
           for update of h"#,
        id.0
    )
    .fetch_optional(db)
    .await?)
}

/// Finished runs that did not succeed and that nobody has repeated, newest first, locked until the transaction ends. `statuses`
/// of the filter name the outcomes.
pub async fn lock_unsuccessful(
    db: &mut DbConnection,
    filter: &RunFilter,
    limit: i64,
) -> DbResult<Vec<FinishedRun>> {
    let outcomes: Option<Vec<String>> = filter.statuses.as_ref().map(|statuses| {
        let words = statuses.iter().map(|status| status.as_str().to_owned());
        words.collect()
    });
    // The plan must be made for the filters at hand, as in `history::list_runs`.
    sqlx::query!("set local plan_cache_mode = force_custom_plan")
        .execute(&mut *db)
        .await?;
    let found = sqlx::query_as!(
        FinishedRun,
        r#"select h.id as "id: RunId", h.outcome as "outcome: Outcome",
                  h.connection_id as "connection_id: ConnectionId", h.business_id as "business_id: BusinessId",
                  h.platform, h.kind as "kind: RunKind", h.streams, h.page, h.retried_by as "retried_by: RunId",
                  c.key as "connection_key?", c.enabled as "connection_enabled?"
           from syncline.run_history h left join syncline.connection c on c.id = h.connection_id
           where h.outcome <> 'succeeded' and h.retried_by is null
             and ($1::text[] is null or h.outcome = any ($1))
             and ($2::text is null or h.platform = $2)
             and ($3::uuid is null or h.business_id = $3)
             and ($4::uuid is null or h.connection_id = $4)
             and ($5::uuid is null or h.schedule_id = $5)
             and ($6::timestamptz is null or h.id >= syncline.run_id_floor($6))
             and ($7::timestamptz is null or h.id < syncline.run_id_floor($7))
           order by h.id desc
           limit $8
           for update of h skip locked"#,
        outcomes.as_deref(),
        filter.platform,
        filter.business.map(|id| id.0),
        filter.connection.map(|id| id.0),
        filter.schedule.map(|id| id.0),
        filter.created_from,
        filter.created_before,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    sqlx::query!("set local plan_cache_mode = force_generic_plan")
        .execute(db)
        .await?;
    Ok(found)
}

/// Notes on finished runs which runs repeat them.
pub async fn mark_retried(db: &mut DbConnection, retries: &[(RunId, RunId)]) -> DbResult<()> {
    let finished: Vec<_> = retries.iter().map(|(finished, _)| finished.0).collect();
    let by: Vec<_> = retries.iter().map(|(_, by)| by.0).collect();
    sqlx::query!(
        "update syncline.run_history h set retried_by = o.by
         from unnest($1::uuid[], $2::uuid[]) as o (id, by)
         where h.id = o.id",
        &finished,
        &by
    )
    .execute(db)
    .await?;
    Ok(())
}
