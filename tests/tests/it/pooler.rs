//! Behind a pooler in transaction mode, a real `PgBouncer` with fewer servers than it has clients: every answer is the asker's own,
//! every row is right, nothing outlives a transaction on a server that somebody else gets next.

use serde_json::{Value, json};
use syncline_postgres::testing;
use syncline_tests::chaos::load::Load;
use syncline_tests::cluster::bare_command;
use syncline_tests::story::{self, RunStory, attempts_with};
use syncline_tests::wait::{LONGEST, Look, until};
use syncline_tests::{ApiClient, Cluster, ClusterBuilder, Fleet, Pooler, PoolerSettings, Process};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const BUSINESSES: u32 = 2;
const EACH: u32 = 3;
/// 15 pages.
const PRODUCTS: u32 = 290;
/// Workers look for orders and for runs at least so often.
const POLL: f64 = 1.0;
/// Seconds after which Postgres ends an idle transaction by itself.
const OWN_TIME_OUT: f64 = 14.0;
/// Clients of the API that ask at once: more than the pooler has servers.
const ASKERS: usize = 6;
/// What a process or Postgres says of statements and transactions that met the wrong server.
const SIGNS: [&str; 8] = [
    "prepared statement",
    "bind message",
    "portal",
    "cached plan",
    "transaction is aborted",
    "no transaction in progress",
    "unexpected message",
    "ERROR",
];

fn behind(settings: PoolerSettings) -> ClusterBuilder {
    Cluster::builder()
        .workers(2)
        .schedulers(2)
        .products(PRODUCTS)
        .accounts(BUSINESSES * EACH)
        .through_pooler(settings)
}

fn without_direct_way() -> PoolerSettings {
    PoolerSettings {
        direct_way: false,
        ..PoolerSettings::default()
    }
}

/// Signs of mixed-up statements in what the processes have written.
fn signs(cluster: &Cluster) -> Vec<String> {
    let mut found = Vec::new();
    for (name, log) in cluster.logs() {
        let suspicious = log
            .lines()
            .filter(|line| SIGNS.iter().any(|sign| line.contains(sign)));
        found.extend(suspicious.map(|line| format!("{name}: {line}")));
    }
    found
}

async fn judge(fleet: &Fleet, cluster: &mut Cluster) -> Vec<RunStory> {
    let (stories, mut problems) = fleet.judge(cluster, LONGEST).await;
    problems.extend(signs(cluster));
    problems.extend(cluster.pooler().left_behind().await);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    stories
}

/// Clients that ask for many different objects at once, and compare each answer with what they asked for.
struct Askers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Result<usize, String>>>,
}

impl Askers {
    fn start(api: &ApiClient, objects: &[(String, String)]) -> Self {
        let stop = watch::Sender::new(false);
        let ask_for = |number: usize| {
            let (api, stopped) = (api.clone(), stop.subscribe());
            let mut objects = objects.to_vec();
            // No two ask for the same at the same time.
            let first = number * objects.len() / ASKERS;
            objects.rotate_left(first);
            tokio::spawn(async move {
                let mut asked = 0;
                for (path, id) in objects.iter().cycle() {
                    if *stopped.borrow() {
                        break;
                    }
                    let answer = api.get(path).await;
                    let told: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                    if answer.status != 200 || told["id"] != json!(id) {
                        return Err(format!("{path} is answered by {}", answer.text));
                    }
                    asked += 1;
                }
                Ok(asked)
            })
        };
        let tasks = (0..ASKERS).map(ask_for).collect();
        Self { stop, tasks }
    }

    async fn stop(self) -> usize {
        self.stop.send_replace(true);
        let mut asked = 0;
        for task in self.tasks {
            asked += task
                .await
                .unwrap()
                .unwrap_or_else(|problem| panic!("{problem}"));
        }
        asked
    }
}

/// Address and id of all businesses, connections, schedules and runs there are.
async fn objects(cluster: &Cluster) -> Vec<(String, String)> {
    let mut objects = Vec::new();
    for kind in ["businesses", "connections", "schedules", "runs"] {
        for object in cluster.api.list(&format!("/{kind}")).await {
            let id = object["id"].as_str().unwrap();
            objects.push((format!("/{kind}/{id}"), id.to_owned()));
        }
    }
    objects
}

/// Schedules fire, people start runs, clients ask; all through three servers.
async fn a_fleet_works(settings: PoolerSettings) {
    let mut cluster = behind(settings).start().await;
    cluster
        .simulator
        .set_faults(json!({"latency_ms": 20}))
        .await;
    let fleet = Fleet::connect(&cluster, BUSINESSES, EACH).await;
    let load = Load::start(&cluster, &fleet).await;
    let mut runs = Vec::new();
    for member in &fleet.members {
        runs.push(cluster.api.start_run(&member.key).await);
    }
    let objects = objects(&cluster).await;
    assert!(objects.len() >= 16, "{objects:?}");
    let askers = Askers::start(&cluster.api, &objects);
    for run in &runs {
        cluster.api.wait_for_success(run).await;
    }
    until("more runs to succeed", async || {
        let query = "select count(*) from syncline.runs where status = 'succeeded'";
        let ended = syncline_tests::database::count(&cluster.pool, query).await;
        Look::is(ended >= 24, ended)
    })
    .await;
    let asked = askers.stop().await;
    load.stop(&cluster, &fleet).await;
    let stories = judge(&fleet, &mut cluster).await;
    let lost: Vec<_> = attempts_with(&stories, "lost").collect();
    assert!(lost.is_empty(), "nobody died: {lost:#?}");
    assert!(asked > 100, "only {asked} questions were asked");
}

#[tokio::test]
async fn a_fleet_behind_a_pooler_gets_its_own_answers_and_writes_every_row() {
    a_fleet_works(PoolerSettings::default()).await;
}

/// One server for all clients: whatever a transaction leaves, the next one finds.
#[tokio::test]
async fn a_fleet_shares_a_single_server() {
    let settings = PoolerSettings {
        servers: 1,
        ..without_direct_way()
    };
    a_fleet_works(settings).await;
}

#[tokio::test]
async fn runs_go_on_when_the_pooler_is_killed_and_started_again() {
    let mut cluster = behind(PoolerSettings::default()).start().await;
    let latency = json!({"latency_ms": 100});
    cluster.simulator.set_faults(latency).await;
    let fleet = Fleet::connect(&cluster, BUSINESSES, EACH).await;
    let runs = fleet.start_runs(&cluster).await;
    assert!(Fleet::are_under_way(&cluster, &runs).await);
    cluster.pooler().kill_9();
    cluster
        .wait_for_log_of_any("worker", "heartbeat failed")
        .await;
    cluster.pooler().start_again().await;
    judge(&fleet, &mut cluster).await;
}

#[tokio::test]
async fn runs_start_and_are_cancelled_by_polling_where_there_is_no_listen() {
    let mut cluster = behind(without_direct_way()).start().await;
    // 15 pages: a run would last for 15 s and more.
    cluster
        .simulator
        .set_faults(json!({"latency_ms": 1000}))
        .await;
    let fleet = Fleet::connect(&cluster, 1, 1).await;
    let id = cluster.api.start_run(&fleet.members[0].key).await;
    let is_running = |run: &Value| run["checkpoint_sequence"].as_u64() >= Some(1);
    cluster
        .api
        .wait_for_run(&id, "the first checkpoint", is_running)
        .await;
    let cancel = format!("/runs/{id}/cancel");
    cluster.api.post(&cancel, json!({})).await.expect(202);
    let now = "select extract(epoch from clock_timestamp())::float8";
    let asked: f64 = sqlx::query_scalar(now)
        .fetch_one(&cluster.pool)
        .await
        .unwrap();
    let ended = until("the run to end", async || {
        let run = cluster.api.run(&id).await;
        Look::some((!run["finished_at"].is_null()).then_some(run.clone()), run)
    })
    .await;
    assert_eq!(ended["status"], "cancelled", "{ended:#}");
    let query = "select extract(epoch from started_at - created_at)::float8, \
                 extract(epoch from finished_at)::float8 from syncline.runs where id::text = $1";
    let (waited, finished): (f64, f64) = sqlx::query_as(query)
        .bind(&id)
        .fetch_one(&cluster.pool)
        .await
        .unwrap();
    // Twice the interval: tests share two cores.
    assert!(waited < POLL * 2.0, "the run waited for {waited:.2} s");
    assert!(finished - asked < POLL * 2.0, "{:.2} s", finished - asked);
    let listening: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen %'",
    )
    .fetch_one(&cluster.pool)
    .await
    .unwrap();
    assert_eq!(listening, 0);
    assert_eq!(signs(&cluster), Vec::<String>::new());
    assert_eq!(cluster.pooler().left_behind().await, Vec::<String>::new());
}

/// A worker that froze when its merge was done and its transaction was not: its server holds the locks of the rows.
struct Frozen {
    cluster: Cluster,
    fleet: Fleet,
    run: String,
    worker: String,
    server: i32,
}

impl Frozen {
    async fn behind(settings: PoolerSettings) -> Self {
        let mut cluster = behind(settings).start().await;
        let latency = json!({"latency_ms": 150});
        cluster.simulator.set_faults(latency).await;
        let fleet = Fleet::connect(&cluster, 1, 1).await;
        let id = cluster.api.start_run(&fleet.members[0].key).await;
        let in_the_middle = |run: &Value| run["checkpoint_sequence"].as_u64() >= Some(3);
        let run = cluster
            .api
            .wait_for_run(&id, "the middle of the run", in_the_middle)
            .await;
        let (worker, _) = cluster.worker_of(&run);

        // A merge that has to wait is sure to be under way when its worker freezes.
        let mut holder = cluster.pool.begin().await.unwrap();
        sqlx::query("lock table synced.g2a_products in share mode")
            .execute(&mut *holder)
            .await
            .unwrap();
        let merging = "select pid, application_name from pg_stat_activity \
                       where datname = current_database() and wait_event_type = 'Lock' and query like 'with batch%'";
        let (server, application): (i32, String) = until("the merge to wait", async || {
            let found = sqlx::query_as(merging).fetch_optional(&cluster.pool).await;
            Look::some(found.unwrap(), "no merge waits")
        })
        .await;
        assert!(
            application.starts_with("syncline worker "),
            "{application:?}"
        );
        cluster.process(&worker).freeze();
        holder.rollback().await.unwrap();
        Self {
            cluster,
            fleet,
            run: id,
            worker,
            server,
        }
    }

    /// Waits until its transaction is ended for it; answers for how many seconds that was idle.
    async fn idle_until_ended(&self) -> f64 {
        let idle = "select extract(epoch from clock_timestamp() - state_change)::float8 from pg_stat_activity \
                    where pid = $1 and state = 'idle in transaction'";
        let idle_for = async || -> Option<f64> {
            let asked = sqlx::query_scalar(idle).bind(self.server);
            asked.fetch_optional(&self.cluster.pool).await.unwrap()
        };
        let mut last = until("the merge to be done, its transaction open", async || {
            Look::some(idle_for().await, "not yet")
        })
        .await;
        until("the end of the transaction", async || {
            let idle = idle_for().await;
            last = idle.unwrap_or(last);
            Look::is(idle.is_none(), last)
        })
        .await;
        last
    }

    /// The run is finished by the other worker, every row is right, and the sleeper finds out when it wakes up.
    async fn ends_well(mut self) {
        story::wait_until_all_have_ended(&self.cluster, LONGEST).await;
        self.cluster.process(&self.worker).thaw();
        let sleeper = self.cluster.process(&self.worker);
        sleeper.wait_for_log("were given to others").await;
        let ended = self.cluster.api.run(&self.run).await;
        let attempts = ended["attempts"].as_array().unwrap();
        let outcomes: Vec<_> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
        assert_eq!(outcomes, ["lost", "succeeded"], "{ended:#}");
        let (_, problems) = self.fleet.judge(&mut self.cluster, LONGEST).await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

#[tokio::test]
async fn a_worker_frozen_in_mid_transaction_behind_the_pooler_holds_nobody_up() {
    let settings = PoolerSettings {
        servers: 6,
        ..without_direct_way()
    };
    let frozen = Frozen::behind(settings).await;
    let idle = frozen.idle_until_ended().await;
    assert!(idle < OWN_TIME_OUT, "it was not the rescuer: {idle:.1} s");
    frozen.ends_well().await;
}

/// Nobody gets through to rescue anything until Postgres ends the transaction by itself.
#[tokio::test]
#[ignore = "a proof: waits for a time-out of 15 s"]
async fn proof_a_frozen_worker_that_holds_all_servers_holds_the_fleet_up_for_15_s_only() {
    let settings = PoolerSettings {
        servers: 1,
        ..without_direct_way()
    };
    let frozen = Frozen::behind(settings).await;
    let idle = frozen.idle_until_ended().await;
    assert!(idle > OWN_TIME_OUT, "somebody got through: {idle:.1} s");
    frozen.ends_well().await;
}

/// A role that is to refuse its start; answers what it says.
async fn refusal(cluster: &Cluster, pooler: &Pooler, role: &str) -> String {
    let mut command = cluster.command();
    command.arg(role).env("DATABASE_URL", pooler.url());
    command.env("SYNCLINE_LISTEN", "127.0.0.1:0");
    let mut process = Process::start(&format!("refused-{role}"), command, cluster.folder());
    let status = process.wait_for_end().await;
    assert!(!status.success(), "{role} ended with {status}");
    process.log()
}

#[tokio::test]
async fn an_undeclared_pooler_is_refused_by_every_role() {
    let cluster = Cluster::builder().workers(0).schedulers(0).start().await;
    let dropped_in_silence = "extra_float_digits,options";
    for (mode, ignored) in [
        ("transaction", ""),
        ("transaction", dropped_in_silence),
        ("session", ""),
    ] {
        let settings = PoolerSettings {
            mode,
            ignored,
            ..PoolerSettings::default()
        };
        let pooler = Pooler::start(cluster.database_url(), settings).await;
        for role in ["worker", "scheduler", "api", "migrate"] {
            let told = refusal(&cluster, &pooler, role).await;
            assert!(
                told.contains("a connection pooler answers at 127.0.0.1:")
                    && told.contains("set SYNCLINE_DATABASE_POOLER=transaction")
                    && told.contains("SYNCLINE_DATABASE_DIRECT_URL"),
                "{role} at a pooler in {mode} mode that ignores {ignored:?}: {told}"
            );
            cluster.secrets().refuse(role, &told);
        }
    }
}

/// Runs a command of the program to its end, through the pooler; answers whether it succeeded, and what it said.
fn run_through(pooler: &Pooler, direct: Option<&str>, arguments: &[&str]) -> (bool, String) {
    let mut command = bare_command();
    command
        .args(arguments)
        .env("DATABASE_URL", pooler.url())
        .env("SYNCLINE_DATABASE_POOLER", "transaction");
    if let Some(direct) = direct {
        command.env("SYNCLINE_DATABASE_DIRECT_URL", direct);
    }
    let output = command.output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    (output.status.success(), told)
}

#[tokio::test]
async fn migrations_go_past_the_pooler_or_not_at_all() {
    let database = testing::empty_database().await.unwrap();
    let pooler = Pooler::start(&database.url(), PoolerSettings::default()).await;
    let (succeeded, told) = run_through(&pooler, None, &["migrate"]);
    let expected = "migrations cannot run through a pooler: set SYNCLINE_DATABASE_DIRECT_URL to the address of Postgres itself";
    assert!(!succeeded && told.contains(expected), "{told}");
    let token = ["token", "create", "tests"];
    let (succeeded, told) = run_through(&pooler, None, &token);
    assert!(
        !succeeded && told.contains("run: syncline migrate"),
        "{told}"
    );
    let (succeeded, told) = run_through(&pooler, Some(&database.url()), &["migrate"]);
    assert!(succeeded, "{told}");
    let (succeeded, told) = run_through(&pooler, None, &token);
    assert!(succeeded && told.contains("syn_"), "{told}");
    assert_eq!(pooler.left_behind().await, Vec::<String>::new());
}
