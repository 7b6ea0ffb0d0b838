//! What a scheduler has to do next, asked in one statement: with nothing to do, it is all that a scheduler asks.

use super::{DbConnection, DbResult};

/// What is to be done, and what is next.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is the answer to a question of its own"
)]
pub struct Agenda {
    /// True if schedules are due, also if another scheduler is at them.
    pub has_due_schedules: bool,
    /// Seconds until the next of those is due that are not; `None`: none will be.
    pub until_schedule: Option<f64>,
    /// Seconds until the wait of a run is over; negative: it is over already; `None`: no run waits.
    pub until_run: Option<f64>,
    /// True if there are unfinished runs.
    pub has_runs: bool,
    /// True if there are batches that have not ended.
    pub has_open_batches: bool,
    /// True if there are batches that are not wholly enqueued, or backfills with runs to come.
    pub has_fan_outs: bool,
}

/// Looks. Each question is answered by the first entry of an index.
pub async fn look(db: &mut DbConnection) -> DbResult<Agenda> {
    Ok(sqlx::query_as!(
        Agenda,
        r#"select exists (select from syncline.schedule where due_at <= syncline.now()) as "has_due_schedules!",
                  extract(epoch from (
                      select due_at from syncline.schedule where due_at > syncline.now() order by due_at limit 1)
                      - syncline.now())::float8 as until_schedule,
                  extract(epoch from (
                      select due_at from syncline.run
                      where state = 'waiting' and wait_reason in ('delay', 'limit', 'backoff') order by due_at limit 1)
                      - syncline.now())::float8 as until_run,
                  exists (select from syncline.run) as "has_runs!",
                  exists (select from syncline.batch where ended_at is null) as "has_open_batches!",
                  exists (select from syncline.batch where rest is not null and origin <> 'backfill')
                      or exists (select from syncline.backfill where next_from is not null) as "has_fan_outs!""#
    )
    .fetch_one(db)
    .await?)
}
