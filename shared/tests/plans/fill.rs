//! Databases full of runs, made by the server itself.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use syncline_postgres::testing::{self, TestDatabase};

use crate::explain::run;

/// Runs, businesses and so on are known by number: `md5('business' || 7)`.
pub(crate) fn id_of(kind: &str, number: u32) -> String {
    format!("md5('{kind}{number}')::uuid")
}

/// A migrated database in which nothing takes statistics but the test, and a connection to it.
pub(crate) async fn database() -> (TestDatabase, PgConnection) {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let database = testing::database(&migrations).await.unwrap();
    let mut db = PgConnection::connect(&database.url()).await.unwrap();
    run(
        &mut db,
        "alter table syncline.run set (autovacuum_enabled = false);
         set jit = off;
         insert into syncline.process (id, role, name, version, slots, started_at, seen_at)
         values (md5('process1')::uuid, 'worker', 'test:1', '0', 8, syncline.now(), syncline.now())",
    )
    .await;
    (database, db)
}

/// So many unfinished runs in a state, numbered from `first`: one a connection, 100 a business, on three platforms.
pub(crate) async fn runs(db: &mut PgConnection, state: &str, first: u32, count: u32) {
    let last = first + count - 1;
    let wait = if state == "waiting" {
        "'limit'"
    } else {
        "null"
    };
    let (process, began) = if state == "running" {
        (id_of("process", 1), "syncline.now()")
    } else {
        ("null::uuid".to_owned(), "null::timestamptz")
    };
    let text = format!(
        "insert into syncline.run (id, queue, state, batch_id, connection_id, business_id, platform, origin, kind, priority,
                                   fair_turn, due_at, wait_reason, lease_process, attempt_started_at, lease_token, attempt)
         select md5('run' || n)::uuid, 'sync', '{state}', md5('batch' || n / 100)::uuid, md5('connection' || n)::uuid,
                md5('business' || n / 100)::uuid, (array['g2a', 'meta', 'tiktok'])[1 + n % 3], 'schedule', 'incremental', 50,
                n, syncline.now() + case when '{state}' = 'waiting' then interval '1 hour' else interval '0' end, {wait}, {process}, {began},
                case when '{state}' = 'running' then 1 else 0 end, case when '{state}' = 'running' then 1 else 0 end
         from generate_series({first}, {last}) n"
    );
    run(db, &text).await;
}

/// Businesses, connections and schedules that the history's rows name.
pub(crate) async fn neighbours(db: &mut PgConnection) {
    run(
        db,
        "insert into syncline.business (id, key, name)
         select md5('business' || n)::uuid, 'business-' || n, 'a business' from generate_series(0, 500) n;
         insert into syncline.connection (id, key, name, business_id, platform, config)
         select md5('connection' || n)::uuid, 'connection-' || n, 'a connection', md5('business' || n % 501)::uuid, 'g2a', '{}'
         from generate_series(0, 2000) n;
         insert into syncline.schedule (id, key, name, trigger, every_seconds, anchor, target)
         select md5('schedule' || n)::uuid, 'schedule-' || n, 'a schedule', 'interval', 60, syncline.now(), 'everything'
         from generate_series(0, 300) n;
         analyze syncline.business, syncline.connection, syncline.schedule",
    )
    .await;
}

/// So many finished runs, spread evenly over the last months. Whatever their number, 200 of them are those of business, connection
/// and schedule 0 and of platform `x`, and 3 of 100 went wrong.
pub(crate) async fn history(db: &mut PgConnection, count: u32) {
    // As keep_partitions would have made them in their time.
    run(
        db,
        "do $$
         declare
             month timestamptz;
             name text;
         begin
             for back in 1..6 loop
                 month := (date_trunc('month', syncline.now() at time zone 'UTC') - make_interval(months => back)) at time zone 'UTC';
                 name := 'run_history_' || to_char(month at time zone 'UTC', 'YYYY_MM');
                 execute format(
                     'create table syncline.%I partition of syncline.run_history for values from (%L) to (%L)', name,
                     syncline.run_id_floor(month),
                     syncline.run_id_floor((month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
             end loop;
         end $$;
         create function public.run_id(at timestamptz, number bigint) returns uuid language sql immutable as $$
             select overlay(syncline.run_id_floor(at)::text placing '7' || substr(md5(number::text), 1, 3) || '-8'
                    || substr(md5(number::text), 4, 3) || '-' || substr(md5(number::text), 7, 12) from 15)::uuid $$",
    )
    .await;
    let text = format!(
        "insert into syncline.run_history
             (id, outcome, batch_id, schedule_id, connection_id, business_id, platform, origin, kind, priority, attempt, failures,
              lease_token, started_at, finished_at, checkpoint_sequence, checkpoint, progress, created_at)
         select public.run_id(at, n),
                case when n % 100 < 97 then 'succeeded' when n % 100 = 97 then 'failed' when n % 100 = 98 then 'partial' else 'cancelled' end,
                md5('batch' || n / 100)::uuid,
                md5('schedule' || case when probe then 0 else 1 + n % 300 end)::uuid,
                md5('connection' || case when probe then 0 else 1 + n % 2000 end)::uuid,
                md5('business' || case when probe then 0 else 1 + n % 500 end)::uuid,
                case when probe then 'x' else (array['g2a', 'meta', 'tiktok'])[1 + n % 3] end,
                'schedule', 'incremental', 50, 1, 0, 1, at, at + interval '1 minute', 3, '{{}}',
                '{{\"products\": {{\"status\": \"done\", \"pages\": 3, \"read\": 300, \"inserted\": 10}}}}', at
         from (select n, n % ({count} / 200) = 0 as probe, syncline.now() - interval '150 days' * (1 - n::float8 / {count}) as at
               from generate_series(1, {count}) n) rows"
    );
    run(db, &text).await;
    run(db, "vacuum (analyze) syncline.run_history").await;
}

/// A number that the database tells.
pub(crate) async fn number(db: &mut PgConnection, text: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(text.to_owned()))
        .fetch_one(db)
        .await
        .unwrap()
}
