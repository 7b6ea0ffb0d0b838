//! What an attempt needs before its first request: connection, connector, credentials, streams.

use serde_json::Value;
use syncline_engine::{Catalog, Connector, SharedReads, StreamInfo};
use syncline_shared::budget::Limits;
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::db::run::ClaimedRun;
use syncline_shared::db::{Database, DbResult, answered, platform};
use syncline_shared::run::{FailureKind, RetryPolicy, RunError, RunKind};
use syncline_shared::secret::{Cipher, Sealed};

use crate::budgets::{Overrides, Turn};

/// Everything that is known before the first request.
pub(super) struct Prepared {
    pub(super) connection: Connection,
    pub(super) connector: Connector,
    /// The connection's settings, secrets included. Never logged.
    pub(super) config: Value,
    /// The streams to read, in the manifest's order.
    pub(super) streams: Vec<StreamInfo>,
    /// Limits in place of the manifest's.
    pub(super) limits: Overrides,
    /// For whom requests are sent.
    pub(super) turn: Turn,
    /// Tokens and parents, for all streams of the attempt.
    pub(super) shared: SharedReads,
}

/// What the database knows of a run's connection.
struct Known {
    connection: Option<Connection>,
    sealed: Option<Sealed>,
    policy: RetryPolicy,
    limits_of_platform: Value,
    weight: i16,
}

async fn look_up(database: &Database, run: &ClaimedRun) -> DbResult<Known> {
    let id = run.connection_id;
    let mut db = database.session().await?;
    let (limits_of_platform, weight) =
        platform::find_budget_settings(&mut db, &run.platform, run.business_id).await?;
    Ok(Known {
        limits_of_platform,
        weight,
        connection: connection::find(&mut db, &id.to_string()).await?,
        sealed: connection::find_credentials(&mut db, id).await?,
        policy: platform::find_retry_policy(&mut db, &run.platform, id, run.schedule_id).await?,
    })
}

/// Gathers it; the error says whose turn it is. The retry policy is told also if the rest fails.
pub(super) async fn prepare(
    database: &Database,
    connectors: &Catalog,
    cipher: &Cipher,
    run: &ClaimedRun,
    policy: &mut RetryPolicy,
) -> Result<Prepared, RunError> {
    let id = run.connection_id;
    let known = answered(look_up(database, run)).await.map_err(|error| {
        RunError::new(
            FailureKind::Transient,
            format!("the database did not answer: {error}"),
        )
    })?;
    *policy = known.policy;
    let connection = known
        .connection
        .ok_or_else(|| RunError::new(FailureKind::Permanent, "the connection was deleted"))?;
    let sealed = known.sealed;

    let connector = connectors.find(&connection.platform).cloned().ok_or_else(|| {
        RunError::new(
            FailureKind::NeedsPerson,
            format!(
                "this worker has no connector {:?}; put {}.yaml into SYNCLINE_CONNECTORS_DIR of every worker",
                connection.platform, connection.platform
            ),
        )
    })?;
    let mut config = connection.config.clone();
    if let Some(sealed) = sealed {
        let plain = cipher
            .open(id.0, &sealed)
            .map_err(|error| RunError::new(FailureKind::NeedsPerson, error.to_string()))?;
        merge_secrets(&mut config, &plain)?;
    }
    if let Err(problems) = connector.check_config(&config) {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Err(RunError::new(
            FailureKind::NeedsPerson,
            format!(
                "the connection's config does not fit its connector: {}",
                problems.join("; ")
            ),
        ));
    }
    let streams = choose_streams(
        &connector,
        run.streams.as_deref(),
        connection.streams.as_deref(),
    )?;
    let limits = Overrides {
        of_connection: Limits::read(&connection.limits),
        of_platform: Limits::read(&known.limits_of_platform),
    };
    let turn = Turn {
        business: run.business_id,
        weight: known.weight,
        is_manual: run.schedule_id.is_none() && run.kind != RunKind::Backfill,
    };
    Ok(Prepared {
        connection,
        connector,
        config,
        streams,
        limits,
        turn,
        shared: SharedReads::default(),
    })
}

/// The streams that the run asks for, else those the connection has chosen, else all.
fn choose_streams(
    connector: &Connector,
    of_run: Option<&[String]>,
    of_connection: Option<&[String]>,
) -> Result<Vec<StreamInfo>, RunError> {
    let Some(wanted) = of_run.or(of_connection) else {
        return Ok(connector.streams().to_vec());
    };
    let mut unknown = wanted
        .iter()
        .filter(|name| connector.stream(name).is_none());
    if let Some(name) = unknown.next() {
        let known: Vec<_> = connector
            .streams()
            .iter()
            .map(|stream| stream.name.as_str())
            .collect();
        return Err(RunError::new(
            FailureKind::NeedsPerson,
            format!(
                "connector {} has no stream {name:?}; it has: {}",
                connector.platform(),
                known.join(", ")
            ),
        ));
    }
    Ok(connector
        .streams()
        .iter()
        .filter(|stream| wanted.contains(&stream.name))
        .cloned()
        .collect())
}

/// Puts the secret settings, a JSON object that may hold objects, into the open ones.
fn merge_secrets(config: &mut Value, plain: &[u8]) -> Result<(), RunError> {
    let secrets: Value = serde_json::from_slice(plain).map_err(|_| {
        RunError::new(
            FailureKind::NeedsPerson,
            "the stored credentials are damaged; set them again",
        )
    })?;
    merge(config, secrets);
    Ok(())
}

/// Puts one config into another, at any depth.
pub(super) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_merged_at_any_depth() {
        let mut config = json!({"client_id": "a", "auth": {"kind": "basic"}});
        merge_secrets(&mut config, br#"{"auth": {"password": "p"}, "token": "t"}"#)
            .expect("merges");
        assert_eq!(
            config,
            json!({"client_id": "a", "auth": {"kind": "basic", "password": "p"}, "token": "t"})
        );
    }
}
