//! The tables that are measured, and the scheduler processes.

use std::process::Stdio;
use std::time::Duration;

use anyhow::ensure;
use syncline_shared::db::Database;
use syncline_shared::db::process::{self, ProcessRole};
use tokio::process::{Child, Command};

/// Businesses that the connections belong to.
const BUSINESSES: i32 = 50;
/// Until scheduler processes are up.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is measured, and with how much.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) database: Database,
    pub(super) url: String,
    pub(super) schedules: u32,
}

/// Processes, ended when they are no longer needed.
pub(super) struct Schedulers(Vec<Child>);

impl Schedulers {
    pub(super) async fn end(self) -> anyhow::Result<()> {
        for mut scheduler in self.0 {
            ensure!(
                scheduler.try_wait()?.is_none(),
                "a scheduler of the benchmark ended by itself"
            );
            scheduler.kill().await.ok();
        }
        Ok(())
    }
}

impl World {
    /// Businesses, connections and schedules, none of them due.
    pub(super) async fn fill(&self) -> anyhow::Result<()> {
        let mut db = self.database.begin().await?;
        sqlx::query(
            "insert into syncline.business (key, name) select 'b' || n, 'Bench' from generate_series(1, $1) n",
        )
        .bind(BUSINESSES)
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "insert into syncline.connection (business_id, key, name, platform)
             select b.id, 'c' || n, 'Bench', 'bench'
             from generate_series(1, $1) n join syncline.business b on b.key = 'b' || (n % $2 + 1)",
        )
        .bind(i32::try_from(self.schedules)?)
        .bind(BUSINESSES)
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "insert into syncline.schedule (key, name, trigger, every_seconds, anchor, target, connection_id)
             select c.key, 'Bench', 'interval', 86400, '2026-01-01', 'connection', c.id from syncline.connection c",
        )
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        self.clear().await
    }

    /// Forgets what was decided.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        self.run(&[
            "truncate syncline.run, syncline.fair_turn, syncline.attempt, syncline.run_log, syncline.batch, syncline.process, \
             syncline.tick, syncline.backfill, syncline.run_history",
            "update syncline.schedule set every_seconds = 86400, next_at = null, due_at = null, fired = 0",
            "vacuum full syncline.schedule",
            "vacuum analyze",
            "checkpoint",
        ])
        .await
    }

    /// Runs statements, each on its own.
    pub(super) async fn run(&self, statements: &[&'static str]) -> anyhow::Result<()> {
        let mut db = self.database.session().await?;
        for statement in statements {
            sqlx::raw_sql(*statement).execute(&mut *db).await?;
        }
        Ok(())
    }

    /// A number that the database answers.
    pub(super) async fn ask(&self, question: &'static str) -> anyhow::Result<f64> {
        let mut db = self.database.session().await?;
        Ok(sqlx::query_scalar(question).fetch_one(&mut *db).await?)
    }

    /// Starts scheduler processes, and waits until they are up.
    pub(super) async fn start(&self, schedulers: u32) -> anyhow::Result<Schedulers> {
        let mut started = Vec::new();
        for _ in 0..schedulers {
            let mut command = Command::new(std::env::current_exe()?);
            command
                .arg("scheduler")
                .env("DATABASE_URL", &self.url)
                .env("RUST_LOG", "error")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true);
            started.push(command.spawn()?);
        }
        let up = async {
            loop {
                let mut db = self.database.session().await?;
                let up = process::list_up(&mut db, Duration::from_secs(30)).await?;
                drop(db);
                let found = up
                    .iter()
                    .filter(|process| process.role == ProcessRole::Scheduler)
                    .count();
                if found >= started.len() {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, up).await??;
        Ok(Schedulers(started))
    }
}
