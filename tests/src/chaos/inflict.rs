//! Does what the script says, one fault at a time, and keeps account of the attempts that may be lost by it.

use std::time::Duration;

use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use syncline_postgres::StopMode;
use tokio::time::{Instant, sleep};

use super::script::{Fault, Holds, Step};
use crate::Cluster;

/// How many schedulers are killed one after the other.
const SCHEDULERS_IN_A_ROW: u64 = 4;
/// How long a table is kept locked for somebody to come and wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Inflicts faults upon a cluster.
pub struct Inflictor<'a> {
    cluster: &'a mut Cluster,
    holds: Holds,
    /// Attempts that one worker can lose.
    slots: usize,
    /// Attempts that all workers can have at once: one a connection.
    connections: usize,
    explained: usize,
}

impl<'a> Inflictor<'a> {
    /// Nothing has happened yet.
    pub fn new(cluster: &'a mut Cluster, holds: Holds, slots: usize, connections: usize) -> Self {
        Self {
            cluster,
            holds,
            slots,
            connections,
            explained: 0,
        }
    }

    /// How many attempts may be lost by what has happened so far. An outage of Postgres or of the network explains none: when
    /// nobody can be heard, nobody is judged.
    pub fn explained_losses(&self) -> usize {
        self.explained
    }

    /// Inflicts a fault, and mends it.
    pub async fn inflict(&mut self, step: Step) {
        let holds = self.holds;
        match step.fault {
            Fault::KillWorker => {
                let victim = self.pick("worker", step.choice);
                self.kill(&victim).await;
            }
            Fault::KillWorkerInMerge => {
                let (mut lock, victim) = self.worker_in_merge(step.choice).await;
                self.kill(&victim).await;
                // Its backend still waits for the table, on behalf of nobody.
                sleep(holds.briefly).await;
                tell(&mut lock, "rollback").await;
            }
            Fault::FreezeWorkerBriefly => {
                let victim = self.pick("worker", step.choice);
                self.freeze_for(&victim, holds.briefly).await;
            }
            Fault::FreezeWorkerBeyondLease => {
                let victim = self.pick("worker", step.choice);
                self.explained += self.slots;
                self.freeze_for(&victim, holds.beyond_lease).await;
            }
            Fault::FreezeWorkerInMerge => {
                let (mut lock, victim) = self.worker_in_merge(step.choice).await;
                self.explained += self.slots;
                self.cluster.process(&victim).freeze();
                // Now its merge takes place, and nobody is there to commit it.
                tell(&mut lock, "rollback").await;
                sleep(holds.beyond_lease).await;
                self.cluster.process(&victim).thaw();
            }
            Fault::KillScheduler => {
                let victim = self.pick("scheduler", step.choice);
                self.kill(&victim).await;
            }
            Fault::KillSchedulersInARow => {
                for nth in 0..SCHEDULERS_IN_A_ROW {
                    let victim = self.pick("scheduler", step.choice + nth);
                    self.kill(&victim).await;
                }
            }
            Fault::KillAllSchedulers => self.kill_all_schedulers().await,
            Fault::KillSchedulerInTick => {
                let (mut lock, victim) = self.scheduler_in_tick(step.choice).await;
                self.kill(&victim).await;
                tell(&mut lock, "rollback").await;
            }
            Fault::FreezeScheduler => {
                let victim = self.pick("scheduler", step.choice);
                self.freeze_for(&victim, holds.beyond_lease).await;
            }
            Fault::FreezeSchedulerInTick => {
                let (mut lock, victim) = self.scheduler_in_tick(step.choice).await;
                self.cluster.process(&victim).freeze();
                // Now its ticks are written, and nobody is there to commit them.
                tell(&mut lock, "rollback").await;
                sleep(holds.beyond_lease).await;
                self.cluster.process(&victim).thaw();
            }
            Fault::RestartPostgresFast => self.cluster.postgres().restart(StopMode::Fast).await,
            Fault::RestartPostgresImmediately => {
                self.cluster.postgres().restart(StopMode::Immediate).await;
            }
            Fault::TakePostgresAway => {
                self.cluster.postgres().be_away_for(holds.away).await;
            }
            Fault::TerminateBackends => {
                let mut db = self.cluster.connect_to_database().await;
                let others = "select pg_terminate_backend(pid) from pg_stat_activity \
                              where datname = current_database() and pid <> pg_backend_pid()";
                tell(&mut db, others).await;
            }
            Fault::CutNetwork => {
                self.cluster.proxy().cut();
                sleep(holds.network).await;
                self.cluster.proxy().pass();
            }
            Fault::HalfOpenNetwork => {
                self.cluster.proxy().half_open();
                sleep(holds.beyond_lease).await;
                self.cluster.proxy().pass();
            }
            Fault::DelayNetwork => {
                let by = Duration::from_millis(20 + step.choice % 60);
                self.cluster.proxy().delay(by);
                sleep(holds.network).await;
                self.cluster.proxy().pass();
            }
            Fault::HangTasks => {
                let mut lock = self.lock_destination("access exclusive").await;
                self.explained += self.connections;
                sleep(holds.hang).await;
                tell(&mut lock, "rollback").await;
            }
        }
    }

    fn pick(&self, role: &str, choice: u64) -> String {
        let living = self.cluster.living(role);
        let index = usize::try_from(choice).unwrap() % living.len();
        living[index].clone()
    }

    /// kill -9, and a successor as a supervisor starts it. The next fault waits until that is up: a process that does not find its
    /// database when it starts says so and ends, which is for its supervisor to deal with.
    async fn kill(&mut self, victim: &str) {
        self.cluster.process(victim).kill_9();
        let role = victim.split('-').next().unwrap_or(victim);
        if role == "worker" {
            self.explained += self.slots;
        }
        let next = self.cluster.begin_another(role);
        self.cluster.process(&next).wait_for_log("is up").await;
        println!("chaos: killed {victim}, started {next}");
    }

    async fn kill_all_schedulers(&mut self) {
        let victims = self.cluster.living("scheduler");
        for victim in &victims {
            self.cluster.process(victim).kill_9();
        }
        sleep(self.holds.briefly).await;
        let next: Vec<String> = victims
            .iter()
            .map(|_| self.cluster.begin_another("scheduler"))
            .collect();
        for name in &next {
            self.cluster.process(name).wait_for_log("is up").await;
        }
        println!("chaos: killed {victims:?}, started {next:?}");
    }

    async fn freeze_for(&mut self, victim: &str, time: Duration) {
        println!("chaos: {victim} stands still for {time:?}");
        self.cluster.process(victim).freeze();
        sleep(time).await;
        self.cluster.process(victim).thaw();
    }

    async fn lock_destination(&self, mode: &str) -> PgConnection {
        self.lock_table("synced.g2a_products", mode).await
    }

    async fn lock_table(&self, table: &str, mode: &str) -> PgConnection {
        let mut db = self.cluster.connect_to_database().await;
        tell(&mut db, "begin").await;
        let lock = format!("lock table {table} in {mode} mode");
        tell(&mut db, &lock).await;
        db
    }

    /// Locks the destination table against writers and waits until all attempts stand in the transaction that writes to it. Answers
    /// the lock's holder and a worker with such an attempt; any worker if nobody came.
    async fn worker_in_merge(&mut self, choice: u64) -> (PgConnection, String) {
        let lock = self.lock_destination("share").await;
        let mut db = self.cluster.connect_to_database().await;
        let query = "select (select count(*) from syncline.runs where status = 'running'), \
                            (select count(*) from pg_stat_activity \
                             where wait_event_type = 'Lock' and application_name like 'syncline worker%')";
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let (running, waiting): (i64, i64) =
                sqlx::query_as(query).fetch_one(&mut db).await.unwrap();
            if running > 0
                && waiting >= running
                && let Some(victim) = self.worker_of_a_running_run(choice).await
            {
                println!("chaos: {victim} stands in its merge, with {running} attempts in all");
                return (lock, victim);
            }
            sleep(Duration::from_millis(40)).await;
        }
        println!("chaos: nobody came to the locked table");
        (lock, self.pick("worker", choice))
    }

    /// Locks the table of ticks against writers and waits until a scheduler stands in the transaction that writes to it. Answers the
    /// lock's holder and that scheduler; any scheduler if nobody came.
    async fn scheduler_in_tick(&mut self, choice: u64) -> (PgConnection, String) {
        let lock = self.lock_table("syncline.tick", "share").await;
        let mut db = self.cluster.connect_to_database().await;
        let waiting = "select p.name from pg_stat_activity a join syncline.process p on p.application = a.application_name \
                       where a.wait_event_type = 'Lock' and a.query like '%insert into syncline.tick%' \
                       and p.role = 'scheduler'";
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let names: Vec<String> = sqlx::query_scalar(waiting)
                .fetch_all(&mut db)
                .await
                .unwrap();
            let living = self.cluster.living("scheduler");
            let mut names = names.iter().map(|name| self.cluster.name_of(name));
            if let Some(victim) = names.find(|name| living.contains(name)) {
                println!("chaos: {victim} stands in the transaction of its ticks");
                return (lock, victim);
            }
            sleep(Duration::from_millis(40)).await;
        }
        println!("chaos: nobody came to the locked table");
        (lock, self.pick("scheduler", choice))
    }

    async fn worker_of_a_running_run(&mut self, choice: u64) -> Option<String> {
        let answer = self.cluster.api.get("/runs?status=running&limit=50").await;
        if answer.status != 200 {
            return None;
        }
        let page = answer.json();
        let runs = page["data"].as_array().filter(|runs| !runs.is_empty())?;
        let index = usize::try_from(choice).unwrap() % runs.len();
        let path = format!("/runs/{}", runs[index]["id"].as_str()?);
        let detail = self.cluster.api.get(&path).await;
        let run = (detail.status == 200).then(|| detail.json())?;
        let (worker, _) = self.cluster.worker_of(&run);
        let is_open = run["attempts"].as_array()?.last()?["ended_at"] == json!(null);
        (is_open && self.cluster.living("worker").contains(&worker)).then_some(worker)
    }
}

async fn tell(db: &mut PgConnection, statement: &str) {
    let told = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    told.execute(db).await.unwrap();
}
