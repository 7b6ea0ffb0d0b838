//! Loading: COPY into a staging table, then one merge; and marking what a complete read did not meet.

use sqlx::{AssertSqlSafe, Row};
use syncline_shared::db::{DbConnection, DbResult};
use syncline_shared::ids::{ConnectionId, RunId};

use super::copy::Encoded;
use super::names::quote;
use super::table::Table;

/// The staging table: it lives in the session's temporary schema and ends with the transaction.
const STAGE: &str = "pg_temp.syncline_stage";

/// On whose behalf rows are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) connection: ConnectionId,
    pub(crate) run: RunId,
    pub(crate) stream: &'a str,
    /// Remember which keys were met, to find out at the end which were not.
    pub(crate) track_keys: bool,
}

/// What became of the rows of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LoadCounts {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    /// Rows that came again later in the batch.
    pub(crate) duplicates: u64,
}

impl Table {
    /// Writes encoded rows within the caller's transaction.
    pub(crate) async fn load(
        &self,
        db: &mut DbConnection,
        target: Target<'_>,
        encoded: &Encoded,
    ) -> DbResult<LoadCounts> {
        if encoded.rows == 0 {
            return Ok(LoadCounts::default());
        }
        // All statements are built from sanitised names; values travel as parameters and as COPY data.
        sqlx::raw_sql(AssertSqlSafe(self.stage_creation()))
            .execute(&mut *db)
            .await?;
        let mut copy = db.copy_in(&format!("copy {STAGE} from stdin")).await?;
        copy.send(encoded.lines.as_slice()).await?;
        copy.finish().await?;
        let row = sqlx::query(AssertSqlSafe(self.merge()))
            .bind(target.connection.0)
            .bind(target.run.0)
            .persistent(false)
            .fetch_one(&mut *db)
            .await?;
        let count = |index: usize| -> DbResult<u64> {
            Ok(u64::try_from(row.try_get::<i64, _>(index)?).unwrap_or(0))
        };
        let (distinct, inserted, updated) = (count(0)?, count(1)?, count(2)?);
        if target.track_keys {
            self.remember_keys(db, target).await?;
        }
        Ok(LoadCounts {
            inserted,
            updated,
            unchanged: distinct.saturating_sub(inserted + updated),
            duplicates: encoded.rows.saturating_sub(distinct),
        })
    }

    /// Marks the connection's rows whose key this run has not met, and forgets the keys. Answers how many were marked.
    pub(crate) async fn mark_deleted(
        &self,
        db: &mut DbConnection,
        target: Target<'_>,
    ) -> DbResult<u64> {
        let statement = format!(
            "update {table} t set _deleted_at = syncline.now(), _synced_at = syncline.now(), _run_id = $2
             where t._connection_id = $1 and t._deleted_at is null
               and not exists (select from syncline.seen_key s
                               where s.run_id = $2 and s.stream = $3 and s.key = {key})",
            table = self.qualified(),
            key = self.key_text("t.")
        );
        // Keys just written have no statistics yet: taken for few, they would be gone through once for every row.
        sqlx::query("set local enable_nestloop = off")
            .execute(&mut *db)
            .await?;
        let marked = sqlx::query(AssertSqlSafe(statement))
            .bind(target.connection.0)
            .bind(target.run.0)
            .bind(target.stream)
            .persistent(false)
            .execute(&mut *db)
            .await?;
        forget_seen(db, target.run, Some(target.stream)).await?;
        Ok(marked.rows_affected())
    }

    /// Removes up to so many of the connection's rows that are from before this run. Answers how many there were.
    pub(crate) async fn remove_older(
        &self,
        db: &mut DbConnection,
        target: Target<'_>,
        at_most: i64,
    ) -> DbResult<u64> {
        // Along the primary key, which begins with the connection. No other run of it writes meanwhile.
        let statement = format!(
            "delete from {table} where ctid = any (array(
                 select ctid from {table} where _connection_id = $1 and _run_id <> $2 limit $3))",
            table = self.qualified()
        );
        let removed = sqlx::query(AssertSqlSafe(statement))
            .bind(target.connection.0)
            .bind(target.run.0)
            .bind(at_most)
            .persistent(false)
            .execute(&mut *db)
            .await?;
        Ok(removed.rows_affected())
    }

    fn stage_creation(&self) -> String {
        let mut columns = String::from("_ordinal bigint, _hash bytea");
        for column in &self.columns {
            columns.push_str(&format!(", {} {}", quote(&column.name), column.kind.sql()));
        }
        format!(
            "drop table if exists {STAGE}; create temporary table syncline_stage ({columns}, _extra jsonb) on commit drop"
        )
    }

    /// Of the rows of a key the last one counts. Rows are written in the order of their keys, so that two transactions that
    /// meet the same rows wait for each other instead of deadlocking. Rows equal to what is stored are left out beforehand:
    /// an upsert that decides not to update would still lock, and so rewrite, the row.
    fn merge(&self) -> String {
        let table = self.qualified();
        let keys = self.key_columns().join(", ");
        let names: Vec<_> = self
            .columns
            .iter()
            .map(|column| quote(&column.name))
            .collect();
        let inserted: String = names.iter().map(|name| format!("{name}, ")).collect();
        let selected: String = names.iter().map(|name| format!("b.{name}, ")).collect();
        let updated: String = self
            .columns
            .iter()
            .filter(|column| !column.is_key)
            .map(|column| format!("{name} = excluded.{name}, ", name = quote(&column.name)))
            .collect();
        let same_key: String = self
            .key_columns()
            .iter()
            .map(|name| format!(" and t.{name} = b.{name}"))
            .collect();
        format!(
            "with batch as materialized (
                 select distinct on ({keys}) * from {STAGE} order by {keys}, _ordinal desc
             ),
             written as (
                 insert into {table} as t
                     (_connection_id, {inserted}_run_id, _synced_at, _first_seen_at, _hash, _extra)
                 select $1, {selected}$2, syncline.now(), syncline.now(), b._hash, b._extra
                 from batch b
                 where not exists (
                     select from {table} t
                     where t._connection_id = $1{same_key} and t._hash = b._hash and t._deleted_at is null)
                 order by {keys}
                 on conflict (_connection_id, {keys}) do update set
                     {updated}_run_id = excluded._run_id, _synced_at = excluded._synced_at, _deleted_at = null,
                     _hash = excluded._hash, _extra = excluded._extra
                 -- Only a row that this statement inserted has no updater yet.
                 returning t.xmax = 0 as inserted
             )
             select (select count(*) from batch),
                    count(*) filter (where inserted),
                    count(*) filter (where not inserted)
             from written"
        )
    }

    async fn remember_keys(&self, db: &mut DbConnection, target: Target<'_>) -> DbResult<()> {
        let statement = format!(
            "insert into syncline.seen_key (run_id, stream, key)
             select $1, $2, {key} from {STAGE} s order by 3 on conflict do nothing",
            key = self.key_text("s.")
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(target.run.0)
            .bind(target.stream)
            .persistent(false)
            .execute(db)
            .await?;
        Ok(())
    }

    /// The key as text: JSON, so that the parts of a compound key cannot run into each other.
    fn key_text(&self, alias: &str) -> String {
        let parts: Vec<_> = self
            .key_columns()
            .iter()
            .map(|name| {
                if self.keyed_by_hash {
                    format!("{alias}{name}::text")
                } else {
                    format!("{alias}{name}")
                }
            })
            .collect();
        format!("jsonb_build_array({})::text", parts.join(", "))
    }
}

/// Forgets the keys that a run has met, of one stream or of all.
pub(crate) async fn forget_seen(
    db: &mut DbConnection,
    run: RunId,
    stream: Option<&str>,
) -> DbResult<()> {
    sqlx::query(
        "delete from syncline.seen_key where run_id = $1 and ($2::text is null or stream = $2)",
    )
    .bind(run.0)
    .bind(stream)
    .execute(db)
    .await?;
    Ok(())
}
