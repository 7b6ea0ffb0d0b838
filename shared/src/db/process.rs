//! Processes that take part, and their heartbeats.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{DbConnection, DbResult};
use crate::ids::ProcessId;
use crate::words::words;

words! {
    /// What a process does.
    pub enum ProcessRole {
        /// Turns schedules into runs, and keeps house.
        Scheduler = "scheduler",
        /// Executes runs.
        Worker = "worker",
        /// Answers HTTP.
        Api = "api",
    }
}

/// A process, as seen by others.
#[derive(Debug, Clone, Serialize)]
pub struct Process {
    /// New at each start.
    pub id: ProcessId,
    /// What it does.
    pub role: ProcessRole,
    /// Host and process id.
    pub name: String,
    /// Its release.
    pub version: String,
    /// How many runs it executes at once.
    pub slots: Option<i32>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Its last heartbeat.
    pub seen_at: DateTime<Utc>,
}

/// A worker that has fallen silent, or has stopped.
#[derive(Debug, Clone)]
pub struct SilentWorker {
    /// Its id.
    pub id: ProcessId,
    /// Host and process id.
    pub name: String,
    /// The name of its connections, if they may hold locks: one that stopped has none, and what shares its process goes on.
    pub application: Option<String>,
}

/// What a worker can execute at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Runs in all.
    pub slots: i32,
    /// Runs of one platform, while others have runs ready.
    pub share: i32,
}

/// Registers a process that starts; a worker says its capacity. Its connections to the database name themselves as this one does.
pub async fn register(
    db: &mut DbConnection,
    id: ProcessId,
    role: ProcessRole,
    name: &str,
    capacity: Option<Capacity>,
) -> DbResult<()> {
    sqlx::query!(
        "insert into syncline.process (id, role, name, version, slots, share, started_at, seen_at, application)
         values ($1, $2, $3, $4, $5, $6, syncline.now(), syncline.now(), current_setting('application_name'))
         on conflict (id) do nothing",
        id.0,
        role.as_str(),
        name,
        crate::VERSION,
        capacity.map(|capacity| capacity.slots),
        capacity.map(|capacity| capacity.share)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Says that a process is up. False: its runs were given to others, and it must not go on under this id.
pub async fn beat(db: &mut DbConnection, id: ProcessId) -> DbResult<bool> {
    let beaten = sqlx::query!(
        "update syncline.process set seen_at = syncline.now() where id = $1 and rescued_at is null",
        id.0
    )
    .execute(db)
    .await?;
    Ok(beaten.rows_affected() == 1)
}

/// Says goodbye.
pub async fn stop(db: &mut DbConnection, id: ProcessId) -> DbResult<()> {
    sqlx::query!(
        "update syncline.process set stopped_at = syncline.now() where id = $1",
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Says that the process that asks is up, and lists workers that have been silent for so long, or have stopped, and whose runs have not
/// been looked after yet.
pub async fn list_silent_workers(
    db: &mut DbConnection,
    asks: ProcessId,
    silence: Duration,
) -> DbResult<Vec<SilentWorker>> {
    Ok(sqlx::query_as!(
        SilentWorker,
        r#"with beat as (
               update syncline.process set seen_at = syncline.now() where id = $2 and rescued_at is null
           )
           select id as "id: ProcessId", name, case when stopped_at is null then application end as application
           from syncline.process
           where role = 'worker' and rescued_at is null
             and (stopped_at is not null or seen_at < syncline.now() - make_interval(secs => $1))"#,
        silence.as_secs_f64(),
        asks.0
    )
    .fetch_all(db)
    .await?)
}

/// Marks that a process's runs are being given to others; from now on its heartbeat is refused. False: it has been heard
/// of in the meantime, or somebody else looks after it.
pub async fn mark_rescued(
    db: &mut DbConnection,
    id: ProcessId,
    silence: Duration,
) -> DbResult<bool> {
    // Competes with the heartbeat for the row: whichever comes first decides.
    let marked = sqlx::query!(
        "update syncline.process set rescued_at = syncline.now()
         where id = $1 and rescued_at is null
           and (stopped_at is not null or seen_at < syncline.now() - make_interval(secs => $2))",
        id.0,
        silence.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(marked.rows_affected() == 1)
}

/// Ends the connections that are left of a process whose runs are given to others: a transaction of a worker that was cut off
/// without a word holds its locks until a time-out. The caller's own are spared, if it shares the process. Answers how many
/// there were.
pub async fn end_connections(db: &mut DbConnection, application: &str) -> DbResult<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(pg_terminate_backend(pid)) as "ended!" from pg_stat_activity
           where application_name = $1 and datname = current_database()
             and application_name <> current_setting('application_name')"#,
        application
    )
    .fetch_one(db)
    .await?)
}

/// Processes heard of within the given time, by role and name.
pub async fn list_up(db: &mut DbConnection, within: Duration) -> DbResult<Vec<Process>> {
    Ok(sqlx::query_as!(
        Process,
        r#"select id as "id: ProcessId", role as "role: ProcessRole", name, version, slots,
                  started_at, seen_at
           from syncline.process
           where stopped_at is null and rescued_at is null
             and seen_at >= syncline.now() - make_interval(secs => $1)
           order by role, name"#,
        within.as_secs_f64()
    )
    .fetch_all(db)
    .await?)
}

/// How many runs the workers that are up can execute at once, and how many they do: all, and those of one platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Workers heard of within the given time.
    pub workers: i64,
    /// Their slots.
    pub total: i64,
    /// Runs under a lease.
    pub taken: i64,
    /// Slots that one platform may hold while runs of others are ready.
    pub share: i64,
    /// Runs of the platform under a lease.
    pub taken_by_platform: i64,
    /// True if a run of another platform is ready.
    pub others_are_ready: bool,
}

/// Counts the slots of the workers that were heard of within the given time, as a run of a platform finds them.
pub async fn count_slots(
    db: &mut DbConnection,
    within: Duration,
    queue: &str,
    platform: &str,
) -> DbResult<Slots> {
    // The index run_gate holds at most one run a connection, so the count of runs does not grow with the queue. A worker of an
    // older release does not say its share.
    Ok(sqlx::query_as!(
        Slots,
        r#"select w.workers as "workers!", w.total as "total!", w.share as "share!",
                  r.taken as "taken!", r.of_platform as "taken_by_platform!",
                  exists (select from syncline.run q
                          where q.queue = $2 and q.state = 'queued' and q.platform < $3)
                  or exists (select from syncline.run q
                             where q.queue = $2 and q.state = 'queued' and q.platform > $3) as "others_are_ready!"
           from (select count(*) as workers, coalesce(sum(slots), 0) as total,
                        coalesce(sum(coalesce(share, slots)), 0) as share
                 from syncline.process
                 where role = 'worker' and stopped_at is null and rescued_at is null
                   and seen_at >= syncline.now() - make_interval(secs => $1)) w
           cross join (select count(*) as taken, count(*) filter (where platform = $3) as of_platform
                       from syncline.run where state = 'running') r"#,
        within.as_secs_f64(),
        queue,
        platform
    )
    .fetch_one(db)
    .await?)
}

/// Deletes rows of processes that ended more than a day ago. Answers how many.
pub async fn prune(db: &mut DbConnection) -> DbResult<u64> {
    let pruned = sqlx::query!(
        "delete from syncline.process
         where seen_at < syncline.now() - interval '1 day'
           and (rescued_at is not null or role <> 'worker')"
    )
    .execute(db)
    .await?;
    Ok(pruned.rows_affected())
}
