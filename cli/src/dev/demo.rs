//! The demo of `syncline dev`: a business with a G2A connection to the simulator, synced at once and then every few minutes.
//!
//! It is set up by the same means as anything else, a document that is applied. Later starts leave it as it is, but for the
//! simulator's address, so it can be changed by hand.

use std::path::Path;

use chrono::TimeDelta;
use syncline_api::apply::{ApplyOptions, Document, Sources, apply};
use syncline_engine::Catalog;
use syncline_shared::config::{ConnectorsConfig, SecretConfig};
use syncline_shared::db::connection::{self, Connection, ConnectionDraft};
use syncline_shared::db::{self, Database, DbConnection};
use syncline_shared::secret::Cipher;
use syncline_simulator::G2aAccount;

const CONNECTION: &str = "demo-g2a";
const SCHEDULE: &str = "demo-g2a-every-5-minutes";
/// G2A's own limit of one call a second would make the first sync take 13 minutes.
const DEMO_LIMIT: u32 = 50;
/// As good as none: for measurements.
const LIFTED_LIMIT: u32 = 1_000_000;
/// Long enough for the document to be applied before: a schedule has no ticks from before it was made.
const UNTIL_FIRST_TICK: TimeDelta = TimeDelta::seconds(1);

/// Makes sure of the demo, and has its first sync run at once.
pub(super) async fn set_up(
    database: &Database,
    secret: &SecretConfig,
    connectors: &ConnectorsConfig,
    simulator_url: &str,
) -> anyhow::Result<()> {
    let mut db = database.session().await?;
    if let Some(existing) = connection::find(&mut db, CONNECTION).await? {
        return follow_simulator(&mut db, &existing, simulator_url).await;
    }
    let first_tick = db::now(&mut db).await? + UNTIL_FIRST_TICK;
    drop(db);
    let mut document = connection_document("demo", CONNECTION, DEMO_LIMIT, simulator_url);
    document.push_str(&format!(
        "schedules:
  - {{key: {SCHEDULE}, name: Demo products, every_seconds: 300, anchor: \"{}\", target: {{connection: {CONNECTION}}}}}
",
        first_tick.to_rfc3339()
    ));
    apply_text(database, secret, connectors, &document).await
}

/// A connection to the simulated G2A, its budget as good as lifted.
pub(crate) async fn set_up_connection(
    database: &Database,
    secret: &SecretConfig,
    connectors: &ConnectorsConfig,
    business: &str,
    key: &str,
    simulator_url: &str,
) -> anyhow::Result<()> {
    let document = connection_document(business, key, LIFTED_LIMIT, simulator_url);
    apply_text(database, secret, connectors, &document).await
}

fn connection_document(business: &str, key: &str, limit: u32, simulator_url: &str) -> String {
    let account = G2aAccount::sandbox();
    format!(
        "businesses:
  - {{key: {business}, name: Demo}}
connections:
  - key: {key}
    name: Demo G2A
    business: {business}
    platform: g2a
    base_url: {url}
    config: {{client_id: {id}, email: {email}, client_secret: {secret}}}
    limits: {{requests: {{limit: {limit}, per_seconds: 1}}}}
",
        url = products_url(simulator_url),
        id = account.client_id,
        email = account.email,
        secret = account.client_secret,
    )
}

/// What stands in for the connector's `url_base`.
fn products_url(simulator_url: &str) -> String {
    format!("{simulator_url}/g2a/v1")
}

async fn apply_text(
    database: &Database,
    secret: &SecretConfig,
    connectors: &ConnectorsConfig,
    text: &str,
) -> anyhow::Result<()> {
    let nothing = |_: &str| None;
    let sources = Sources {
        env: &nothing,
        folder: Path::new("."),
    };
    let document = Document::parse(text, sources)?;
    let catalog = Catalog::load(&connectors.connectors_dir)?;
    let cipher = Cipher::new(&secret.secret_key)?;
    apply(
        database,
        &cipher,
        &catalog,
        &document,
        ApplyOptions::default(),
    )
    .await?;
    Ok(())
}

/// The simulator may have got another port than last time.
async fn follow_simulator(
    db: &mut DbConnection,
    existing: &Connection,
    simulator_url: &str,
) -> anyhow::Result<()> {
    let base_url = products_url(simulator_url);
    let draft = ConnectionDraft {
        key: &existing.key,
        name: &existing.name,
        business_id: existing.business_id,
        platform: &existing.platform,
        config: &existing.config,
        base_url: Some(&base_url),
        streams: existing.streams.as_deref(),
        enabled: existing.enabled,
        limits: &existing.limits,
        retry: &existing.retry,
    };
    Ok(connection::update(db, existing.id, &draft).await?)
}
