//! What a cluster is made of, and how it is booted.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;

use super::{Cluster, Platform, Variable};
use crate::secrets::{Secrets, g2a_api_key};
use crate::server::ServerOfCluster;
use crate::{Account, ApiClient, Feed, Pooler, PoolerSettings, Proxy, Simulator, program};

/// Encrypts credentials of test clusters.
const SECRET_KEY: &str = "a-key-of-tests-that-seals-credentials-0001";
const JWT_SECRET: &str = "a-key-of-tests-that-signs-sessions-00001";

/// What a cluster is made of.
#[derive(Debug)]
pub struct ClusterBuilder {
    workers: usize,
    slots: u16,
    schedulers: usize,
    lease_seconds: u32,
    products: u32,
    out_of_stock: u32,
    empty_database: bool,
    connectors: PathBuf,
    allow_hosts: String,
    accounts: u32,
    private_postgres: Option<Vec<(String, String)>>,
    through_proxy: bool,
    api_directly: bool,
    pooler: Option<PoolerSettings>,
    variables: Vec<Variable>,
}

impl ClusterBuilder {
    /// Workers: worker-1, worker-2, ... Default 1.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Runs that a worker executes at once. Default 8.
    #[must_use]
    pub fn slots(mut self, slots: u16) -> Self {
        self.slots = slots;
        self
    }

    /// Schedulers: scheduler-1, ... Default 1.
    #[must_use]
    pub fn schedulers(mut self, schedulers: usize) -> Self {
        self.schedulers = schedulers;
        self
    }

    /// How long a lease lasts. Default 3 s, so that a rescue is seen within seconds.
    #[must_use]
    pub fn lease_seconds(mut self, seconds: u32) -> Self {
        self.lease_seconds = seconds;
        self
    }

    /// Products in stock at the simulator, 20 a page. Default 400.
    #[must_use]
    pub fn products(mut self, products: u32) -> Self {
        self.products = products;
        self
    }

    /// Products besides that are out of stock.
    #[must_use]
    pub fn out_of_stock(mut self, products: u32) -> Self {
        self.out_of_stock = products;
        self
    }

    /// Begins with a database without any table, migrated by `syncline migrate`, not with a clone of a migrated template.
    #[must_use]
    pub fn empty_database(mut self) -> Self {
        self.empty_database = true;
        self
    }

    /// A folder of manifests in place of the shipped one.
    #[must_use]
    pub fn connectors(mut self, folder: impl Into<PathBuf>) -> Self {
        self.connectors = folder.into();
        self
    }

    /// Private targets that connectors may call. Default 127.0.0.1.
    #[must_use]
    pub fn allow_hosts(mut self, hosts: &str) -> Self {
        hosts.clone_into(&mut self.allow_hosts);
        self
    }

    /// G2A accounts besides [`Platform`]: those of [`Account::number`] 1, 2, ... Default 0.
    #[must_use]
    pub fn accounts(mut self, accounts: u32) -> Self {
        self.accounts = accounts;
        self
    }

    /// A server of the cluster's own, that the test may stop, restart and fill, with these settings.
    #[must_use]
    pub fn private_postgres(mut self, settings: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.private_postgres = Some(settings.iter().map(owned).collect());
        self
    }

    /// Workers, schedulers and the API reach Postgres through [`Cluster::proxy`]; the test itself and the command line go there
    /// directly.
    #[must_use]
    pub fn through_proxy(mut self) -> Self {
        self.through_proxy = true;
        self
    }

    /// Workers, schedulers and the API reach Postgres through [`Cluster::pooler`], and know that; the test itself and the command
    /// line go there directly.
    #[must_use]
    pub fn through_pooler(mut self, settings: PoolerSettings) -> Self {
        self.pooler = Some(settings);
        self
    }

    /// The API goes to Postgres directly, whatever the others do.
    #[must_use]
    pub fn api_directly(mut self) -> Self {
        self.api_directly = true;
        self
    }

    /// A variable of all processes of a role: `worker`, `scheduler`, `api` or `simulator`. `{number}` in it stands for the number of
    /// the process.
    #[must_use]
    pub fn variable(mut self, role: &str, name: &str, value: &str) -> Self {
        self.variables.push(Variable {
            role: role.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self
    }

    /// Boots everything and waits until it serves.
    pub async fn start(self) -> Cluster {
        let server =
            ServerOfCluster::start(self.private_postgres.as_deref(), self.empty_database).await;
        let proxy = self.through_proxy.then(|| Proxy::start(server.port()));
        let needs_migration = self.empty_database || self.private_postgres.is_some();
        let mut cluster = Cluster::around(&self, server, proxy);
        if let Some(settings) = &self.pooler {
            cluster.put_behind_pooler(settings.clone()).await;
        }
        if needs_migration {
            let migrated = cluster.run(&["migrate"]);
            assert!(migrated.status.success(), "{migrated:?}");
        }
        let token = cluster.run(&["token", "create", "tests", "--role", "admin"]);
        let token_text = String::from_utf8_lossy(&token.stdout).trim().to_owned();
        assert!(
            token.status.success() && token_text.starts_with("syn_"),
            "{token:?}"
        );
        cluster.secrets.add("the API token", token_text.clone());

        cluster.begin("simulator", |command| {
            command.args(["simulator", "--listen", "127.0.0.1:0"]);
            command.args(["--products", &self.products.to_string()]);
            command.args(["--out-of-stock", &self.out_of_stock.to_string()]);
        });
        cluster.begin("api", |command| {
            command.args(["api", "--listen", "127.0.0.1:0"]);
        });
        for _ in 0..self.schedulers {
            cluster.begin_scheduler();
        }
        for _ in 0..self.workers {
            cluster.begin_worker();
        }
        let simulator = cluster
            .process("simulator")
            .wait_for_log("the simulator listens on ")
            .await;
        cluster.simulator = Simulator::new(simulator.trim().to_owned());
        let api = cluster
            .process("api")
            .wait_for_log("the API listens on ")
            .await;
        cluster.api = ApiClient::new(api.trim(), Some(token_text), cluster.secrets.clone());
        for number in 1..=self.schedulers {
            cluster
                .process(&format!("scheduler-{number}"))
                .wait_for_log("is up")
                .await;
        }
        for number in 1..=self.workers {
            cluster
                .process(&format!("worker-{number}"))
                .wait_for_log("is up")
                .await;
        }
        cluster
            .simulator
            .put_account(
                Platform::CLIENT_ID,
                Platform::EMAIL,
                Platform::CLIENT_SECRET,
            )
            .await;
        for account in (1..=self.accounts).map(Account::number) {
            let (id, email, secret) = (&account.client_id, &account.email, &account.client_secret);
            cluster.simulator.put_account(id, email, secret).await;
        }
        cluster
    }
}

impl Cluster {
    /// A builder with one worker, one scheduler, the API, and a simulator with 400 products.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            workers: 1,
            slots: 8,
            schedulers: 1,
            lease_seconds: 3,
            products: 400,
            out_of_stock: 0,
            empty_database: false,
            connectors: program::connectors(),
            allow_hosts: "127.0.0.1".to_owned(),
            accounts: 0,
            private_postgres: None,
            through_proxy: false,
            api_directly: false,
            pooler: None,
            variables: Vec::new(),
        }
    }

    /// A cluster without processes yet.
    fn around(builder: &ClusterBuilder, server: ServerOfCluster, proxy: Option<Proxy>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("SYNCLINE_TEST_CLUSTER={}-{number}", std::process::id());
        let mut secrets = Secrets::default();
        secrets.add("SYNCLINE_SECRET_KEY", SECRET_KEY);
        secrets.add("SYNCLINE_JWT_SECRET", JWT_SECRET);
        secrets.add("the token of the feed", Feed::TOKEN);
        for account in (0..=builder.accounts).map(Account::number) {
            let (id, email, secret) = (&account.client_id, &account.email, &account.client_secret);
            secrets.add("the API key of G2A", g2a_api_key(id, email, secret));
            secrets.add("the client secret", account.client_secret);
        }
        let url = server.url();
        secrets.add("the database's URL", url.clone());
        let mut variables = builder.variables.clone();
        if let Some(proxy) = &proxy {
            let through = server.url_at(proxy.port());
            secrets.add("the database's URL", through.clone());
            let roles = ["worker", "scheduler", "api"];
            for role in &roles[..if builder.api_directly { 2 } else { 3 }] {
                variables.push(Variable {
                    role: (*role).to_owned(),
                    name: "DATABASE_URL".to_owned(),
                    value: through.clone(),
                });
            }
        }
        let mut environment = vec![
            ("DATABASE_URL".to_owned(), url.clone()),
            ("SYNCLINE_SECRET_KEY".to_owned(), SECRET_KEY.to_owned()),
            ("SYNCLINE_JWT_SECRET".to_owned(), JWT_SECRET.to_owned()),
            (
                "SYNCLINE_ALLOW_HOSTS".to_owned(),
                builder.allow_hosts.clone(),
            ),
            (
                "SYNCLINE_WORKER_SLOTS".to_owned(),
                builder.slots.to_string(),
            ),
            (
                "SYNCLINE_LEASE_SECONDS".to_owned(),
                builder.lease_seconds.to_string(),
            ),
            (
                "SYNCLINE_CONNECTORS_DIR".to_owned(),
                builder.connectors.display().to_string(),
            ),
        ];
        let (name, value) = mark.split_once('=').unwrap();
        environment.push((name.to_owned(), value.to_owned()));
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&url)
            .unwrap();
        Self {
            processes: Vec::new(),
            started: 0,
            schedulers_started: 0,
            environment,
            variables,
            secrets,
            mark,
            url,
            proxy,
            pooler: None,
            api: ApiClient::new("http://127.0.0.1:1", None, Secrets::default()),
            simulator: Simulator::new(String::new()),
            pool,
            folder: TempDir::new().unwrap(),
            server,
        }
    }

    async fn put_behind_pooler(&mut self, settings: PoolerSettings) {
        let pooler = Pooler::start(&self.url, settings).await;
        self.secrets.add("the database's URL", pooler.url());
        let mut variables = vec![
            ("DATABASE_URL", pooler.url()),
            ("SYNCLINE_DATABASE_POOLER", "transaction".to_owned()),
        ];
        if pooler.settings().direct_way {
            variables.push(("SYNCLINE_DATABASE_DIRECT_URL", self.url.clone()));
        }
        for role in ["worker", "scheduler", "api"] {
            for (name, value) in &variables {
                self.variables.push(Variable {
                    role: role.to_owned(),
                    name: (*name).to_owned(),
                    value: value.clone(),
                });
            }
        }
        self.pooler = Some(pooler);
    }
}
