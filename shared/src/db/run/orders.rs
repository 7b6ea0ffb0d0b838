//! What a worker's runs under way are asked to do. Asked by every worker about once a second, for the runs that it holds.

use crate::db::{DbConnection, DbResult};
use crate::ids::RunId;
use crate::words::words;

words! {
    /// What an attempt under way is asked to do.
    pub enum Order {
        /// Somebody cancelled its run.
        Cancel = "cancel",
        /// Its run, or something that it belongs to, was paused.
        Pause = "pause",
        /// A more urgent run waits on its connection.
        GiveWay = "give_way",
    }
}

/// An order to the attempt under a lease.
#[derive(Debug, Clone)]
pub struct RunOrder {
    /// The run.
    pub id: RunId,
    /// The lease token.
    pub token: i64,
    /// What it is asked to do.
    pub order: Order,
    /// Why, in words.
    pub reason: Option<String>,
}

/// The orders to these runs; most have none.
pub async fn list_orders(db: &mut DbConnection, held: &[(RunId, i64)]) -> DbResult<Vec<RunOrder>> {
    let ids: Vec<_> = held.iter().map(|(id, _)| id.0).collect();
    let tokens: Vec<_> = held.iter().map(|(_, token)| *token).collect();
    Ok(sqlx::query_as!(
        RunOrder,
        r#"select id as "id: RunId", lease_token as token, ordered as "order!: Order", why as "reason"
           from (
               select r.id, r.lease_token,
                      case when r.cancel_requested_at is not null then 'cancel'
                           when p.note is not null then 'pause'
                           when exists (select from syncline.run b
                                        where b.connection_id = r.connection_id and b.state = 'blocked'
                                          and b.priority < r.priority) then 'give_way'
                      end as ordered,
                      case when r.cancel_requested_at is not null
                           then 'cancelled by ' || r.cancel_requested_by || coalesce(': ' || r.cancel_note, '')
                           else p.note
                      end as why
               from unnest($1::uuid[], $2::bigint[]) as h (id, token)
               cross join lateral (
                   select * from syncline.run x where x.id = h.id and x.lease_token = h.token offset 0) r
               cross join lateral (
                   select case when exists (select from syncline.pause)
                               then syncline.pause_note(r.platform, r.business_id, r.connection_id) end as note) p
           ) o
           where ordered is not null"#,
        &ids,
        &tokens
    )
    .fetch_all(db)
    .await?)
}

/// Platforms of which a run has been ready for longer than a slot takes to become free: all slots are taken.
pub async fn list_crowded_platforms(db: &mut DbConnection, queue: &str) -> DbResult<Vec<String>> {
    // As in `claim`: from platform to platform along run_claim, and the head of each.
    Ok(sqlx::query_scalar!(
        r#"with recursive present as (
               (select platform from syncline.run
                where queue = $1 and state = 'queued' order by platform limit 1)
               union all
               select (select r.platform from syncline.run r
                       where r.queue = $1 and r.state = 'queued' and r.platform > p.platform
                       order by r.platform limit 1)
               from present p where p.platform is not null
           )
           select p.platform as "platform!" from present p
           cross join lateral (
               select c.due_at from syncline.run c
               where c.queue = $1 and c.platform = p.platform and c.state = 'queued'
               order by c.fair_turn, c.due_at limit 1) head
           where head.due_at < syncline.now() - interval '2 seconds'"#,
        queue
    )
    .fetch_all(db)
    .await?)
}
