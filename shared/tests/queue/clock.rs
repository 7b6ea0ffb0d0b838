//! A clock that a test moves: the database's own, `syncline.now()`, reads a table of one row.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// Stops the clock of a test's database at the present.
pub(crate) async fn stop(pool: &PgPool) -> DateTime<Utc> {
    sqlx::raw_sql(
        "create table public.stopped_clock (at timestamptz not null);
         insert into public.stopped_clock values (date_trunc('milliseconds', pg_catalog.now()));
         create or replace function syncline.now() returns timestamptz
         language sql stable parallel safe
         begin atomic select at from public.stopped_clock; end;",
    )
    .execute(pool)
    .await
    .unwrap();
    read(pool).await
}

/// What the clock shows.
pub(crate) async fn read(pool: &PgPool) -> DateTime<Utc> {
    sqlx::query_scalar("select syncline.now()")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Moves the clock on.
pub(crate) async fn advance(pool: &PgPool, seconds: i32) -> DateTime<Utc> {
    sqlx::query("update public.stopped_clock set at = at + make_interval(secs => $1)")
        .bind(f64::from(seconds))
        .execute(pool)
        .await
        .unwrap();
    read(pool).await
}

/// Sets the clock to an instant.
pub(crate) async fn set(pool: &PgPool, at: &str) {
    sqlx::query("update public.stopped_clock set at = $1::text::timestamptz")
        .bind(at)
        .execute(pool)
        .await
        .unwrap();
}
