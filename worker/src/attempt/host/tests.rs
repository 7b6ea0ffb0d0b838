use std::path::Path;

use secrecy::SecretString;
use serde_json::json;
use syncline_engine::BudgetTold;
use syncline_postgres::testing::{self, TestDatabase};
use syncline_shared::config::{DatabaseConfig, LeaseConfig};
use syncline_shared::db::Database;
use syncline_shared::db::notify::{BUDGET_CHANGED, Waker};
use syncline_shared::ids::ProcessId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::secret::Cipher;
use uuid::Uuid;

use super::*;
use crate::queue::Leases;
use crate::testing::{claimed_run, overrides, permit_request};

const SECOND: Duration = Duration::from_secs(1);
const MANIFEST: &str = "
type: DeclarativeSource
check: {type: CheckStream, stream_names: [a]}
streams:
  - name: a
    schema_loader: {type: InlineSchemaLoader, schema: {type: object}}
    retriever:
      requester: {url_base: 'https://h', path: rows}
      record_selector: {extractor: {field_path: []}}
";

/// An attempt whose requests draw on a budget that lets one be under way at a time, and nine leave within a minute.
struct World {
    host: Arc<AttemptHost>,
    leases: Leases,
    database: Database,
    _server: TestDatabase,
}

impl World {
    async fn new() -> World {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let server = testing::database(&folder).await.expect("a database");
        let config = DatabaseConfig::direct(server.url(), 4);
        let database = Database::connect(&config, "host").await.expect("connects");
        let waker = Waker::start(database.clone(), BUDGET_CHANGED, &Lifecycle::new(SECOND));
        let config = LeaseConfig { lease_seconds: 24 };
        let process = ProcessId::random();
        let leases = Leases::new(process, "tests".to_owned(), 1, 1, config);
        let run = claimed_run();
        assert!(leases.enter(&run, process));
        leases.renewed(Instant::now());
        let windows = json!([{"limit": 1, "at_once": true}, {"limit": 9, "per_seconds": 60}]);
        let held = leases.watch(&run);
        let host = AttemptHost {
            connector: Connector::load("p", MANIFEST).expect("loads"),
            connection: run.connection_id,
            limits: overrides(&windows),
            turn: Turn {
                business: run.business_id,
                weight: 1,
                is_manual: true,
            },
            permits: Permits::new(database.clone(), waker, SECOND),
            meter: held.meter(),
            held,
            draining: CancellationToken::new(),
            refused_by: Mutex::default(),
            tokens: Tokens {
                database: database.clone(),
                cipher: Cipher::new(&SecretString::from("k".repeat(40))).expect("long enough"),
                connection: run.connection_id,
                holder: Uuid::nil(),
            },
        };
        World {
            host: Arc::new(host),
            leases,
            database,
            _server: server,
        }
    }

    /// Fails if the request under way before is never seen to end.
    async fn permit(&self) -> Permit {
        let question = permit_request(1);
        let asking = self.host.permit(&question);
        let answer = tokio::time::timeout(SECOND * 5, asking).await;
        answer.expect("one may leave").expect("one may leave")
    }

    /// Points that count in the window of a minute.
    async fn used(&self) -> i64 {
        self.host.permits.tidy(Duration::ZERO, true).await;
        let mut db = self.database.session().await.expect("a connection");
        let budgets = syncline_shared::db::budget::list_budgets(&mut db, None, "", 9).await;
        let budgets = budgets.expect("answers");
        let windows = budgets.iter().flat_map(|budget| &budget.windows);
        windows.map(|window| window.used).max().unwrap_or(0)
    }
}

#[tokio::test]
async fn a_request_that_is_cut_off_makes_room_for_the_next() {
    let world = World::new().await;
    drop(world.permit().await);
    drop(world.permit().await);
    // As far as anybody knows they have left.
    assert_eq!(world.used().await, 2);
}

#[tokio::test]
async fn an_attempt_that_is_abandoned_while_it_waits_for_trust_gives_its_permit_back() {
    let world = World::new().await;
    world.leases.renewed(Instant::now() - SECOND * 60);
    let host = world.host.clone();
    let asking = tokio::spawn(async move { host.permit(&permit_request(1)).await.map(|_| ()) });
    let granted = async {
        while world.used().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SECOND * 5, granted)
        .await
        .expect("it is granted");
    asking.abort();
    assert!(asking.await.is_err());
    assert_eq!(world.used().await, 0);
}

#[tokio::test]
async fn a_permit_that_lapses_while_its_connection_is_opened_does_not_wait_for_itself() {
    let world = World::new().await;
    let permit = world.permit().await;
    tokio::time::sleep(SECOND).await;
    let confirming = world.host.confirm(&permit);
    let confirmed = tokio::time::timeout(SECOND * 5, confirming).await;
    assert_eq!(confirmed.expect("answers"), Ok(()));
    drop(permit);
    assert_eq!(world.used().await, 1);
}

#[tokio::test]
async fn an_attempt_has_spent_what_the_platform_says() {
    let world = World::new().await;
    let permit = world.permit().await;
    let told = BudgetTold {
        policy: "b".to_owned(),
        source: "test".to_owned(),
        wait: None,
        remaining: None,
        limit: None,
        used: None,
        resets_in: None,
        cost: Some(4),
    };
    let signals = ResponseSignals {
        status: Some(200),
        outcome: Outcome::Ok,
        left_at_once: true,
        retry_after: None,
        headers: Vec::new(),
        duration: Duration::ZERO,
        bytes: 0,
        told: vec![told],
    };
    world.host.report(permit, &signals).await;
    let spent = world.host.meter.spent();
    assert_eq!((spent.calls, spent.points), (1, 4));
    assert_eq!(world.used().await, 4);
}
