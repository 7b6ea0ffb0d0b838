//! A connection's tokens, when a platform replaces them at each refresh.
//!
//! A lease in the database sees to it that one refresh is under way at a time. What it gave is stored in one transaction that compares the
//! stored refresh token with the one that was used: whoever comes late, after a person has set new credentials or another has
//! refreshed, changes nothing. New tokens go into the sealed part of the config, wherever they were before.

use std::time::Duration;

use serde_json::{Map, Value};
use syncline_engine::Refreshed;
use syncline_shared::db::token_refresh::{self, StoredConfig};
use syncline_shared::db::{Database, DbError, answered};
use syncline_shared::ids::ConnectionId;
use syncline_shared::secret::{Cipher, SecretError};
use uuid::Uuid;

use super::prepare::merge;

/// A refresh is one request, with its permit and its retries in the slot; after so long its worker has died.
const LEASE: Duration = Duration::from_mins(5);

/// Reads and replaces the tokens of one connection, for one attempt.
pub(super) struct Tokens {
    pub(super) database: Database,
    pub(super) cipher: Cipher,
    pub(super) connection: ConnectionId,
    /// Names this attempt among those that might refresh.
    pub(super) holder: Uuid,
}

/// Whose turn it is to refresh.
#[derive(Debug)]
pub(super) enum Turn {
    /// This attempt's; the config as it is stored now.
    Ours(Value),
    /// Somebody else refreshes.
    Taken,
}

/// What has become of refreshed tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Stored,
    /// Others are stored by now than those that were used, or the connection is gone.
    Superseded,
}

/// Why tokens could not be read or stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the stored credentials are damaged; set them again")]
    Damaged,
    #[error("the new tokens have no place in the connection's config: {0}")]
    Place(String),
}

impl TokenError {
    /// True if the same may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, TokenError::Database(error) if error.is_transient())
    }
}

impl Tokens {
    /// Takes the turn if it is free.
    pub(super) async fn take_turn(&self) -> Result<Turn, TokenError> {
        let stored = answered(async {
            let mut transaction = self.database.begin().await?;
            let is_ours =
                token_refresh::take(&mut transaction, self.connection, self.holder, LEASE).await?;
            let stored = if is_ours {
                token_refresh::lock_config(&mut transaction, self.connection).await?
            } else {
                None
            };
            transaction.commit().await?;
            Ok(stored)
        })
        .await?;
        match stored {
            None => Ok(Turn::Taken),
            Some(stored) => {
                let secrets = self.open(&stored)?;
                let mut config = stored.config;
                merge(&mut config, secrets);
                Ok(Turn::Ours(config))
            }
        }
    }

    /// Gives the turn back: nothing was refreshed.
    pub(super) async fn give_back(&self) -> Result<(), TokenError> {
        answered(async {
            let mut db = self.database.session().await?;
            token_refresh::give_back(&mut db, self.connection, self.holder).await
        })
        .await?;
        Ok(())
    }

    /// Stores what a refresh gave, and gives the turn back. May be repeated when the answer was lost.
    pub(super) async fn store(&self, refreshed: &Refreshed) -> Result<Kept, TokenError> {
        let mut transaction = answered(self.database.begin()).await?;
        let stored = answered(token_refresh::lock_config(
            &mut transaction,
            self.connection,
        ))
        .await?;
        let kept = match stored {
            None => Kept::Superseded,
            Some(stored) => {
                let mut secrets = self.open(&stored)?;
                let mut config = stored.config;
                merge(&mut config, secrets.clone());
                if is_of_refresh(&config, refreshed) {
                    refreshed.apply(&mut secrets).map_err(TokenError::Place)?;
                    let plain = secrets.to_string();
                    let sealed = self.cipher.seal(self.connection.0, plain.as_bytes())?;
                    answered(token_refresh::store_credentials(
                        &mut transaction,
                        self.connection,
                        &sealed,
                    ))
                    .await?;
                    Kept::Stored
                } else {
                    Kept::Superseded
                }
            }
        };
        answered(token_refresh::give_back(
            &mut transaction,
            self.connection,
            self.holder,
        ))
        .await?;
        answered(async { Ok(transaction.commit().await?) }).await?;
        Ok(kept)
    }

    fn open(&self, stored: &StoredConfig) -> Result<Value, TokenError> {
        let Some(sealed) = &stored.sealed else {
            return Ok(Value::Object(Map::new()));
        };
        let plain = self.cipher.open(self.connection.0, sealed)?;
        serde_json::from_slice(&plain).map_err(|_| TokenError::Damaged)
    }
}

/// Whether the stored refresh token is the one that was used, or already the one that came of it.
fn is_of_refresh(config: &Value, refreshed: &Refreshed) -> bool {
    let path = &refreshed.refresh_token_path;
    let stored = path
        .iter()
        .try_fold(config, |place, step| place.get(step))
        .cloned()
        .unwrap_or(Value::Null);
    let is_used = match &stored {
        Value::Null => refreshed.used.is_empty(),
        Value::String(text) => *text == refreshed.used,
        other => {
            let text = other.to_string();
            text == refreshed.used
        }
    };
    is_used
        || refreshed
            .changes
            .iter()
            .any(|(place, value)| place == path && *value == stored)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secrecy::SecretString;
    use serde_json::json;
    use sqlx::{Connection as _, PgConnection};
    use syncline_postgres::testing::{self, TestDatabase};
    use syncline_shared::config::DatabaseConfig;
    use syncline_shared::db::business;
    use syncline_shared::db::connection::{self, ConnectionDraft};

    use super::*;

    struct World {
        database: Database,
        cipher: Cipher,
        connection: ConnectionId,
        server: TestDatabase,
    }

    impl World {
        async fn new() -> World {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
            let server = testing::database(&folder).await.expect("a database");
            let config = DatabaseConfig::direct(server.url(), 4);
            let database = Database::connect(&config, "tokens")
                .await
                .expect("connects");
            let cipher = Cipher::new(&SecretString::from("k".repeat(40))).expect("long enough");
            let mut db = database.session().await.expect("a connection");
            let business = business::create(&mut db, "b", "B")
                .await
                .expect("a business");
            let open = json!({"client_id": "me", "credentials": {"token_expiry_date": ""}});
            let nothing = json!({});
            let draft = ConnectionDraft {
                key: "c",
                name: "C",
                business_id: business.id,
                platform: "demo",
                config: &open,
                base_url: None,
                streams: None,
                enabled: true,
                limits: &nothing,
                retry: &nothing,
            };
            let connection = connection::create(&mut db, &draft)
                .await
                .expect("a connection");
            drop(db);
            let world = World {
                database,
                cipher,
                connection,
                server,
            };
            world.set("first").await;
            world
        }

        /// What a person does.
        async fn set(&self, refresh_token: &str) {
            let secrets =
                json!({"credentials": {"refresh_token": refresh_token, "access_token": "old"}});
            let sealed = self
                .cipher
                .seal(self.connection.0, secrets.to_string().as_bytes())
                .expect("seals");
            let mut db = self.database.session().await.expect("a connection");
            connection::set_credentials(&mut db, self.connection, Some(&sealed))
                .await
                .expect("sets them");
        }

        fn tokens(&self) -> Tokens {
            Tokens {
                database: self.database.clone(),
                cipher: self.cipher.clone(),
                connection: self.connection,
                holder: Uuid::new_v4(),
            }
        }

        /// The config as the next attempt will see it.
        async fn config(&self) -> Value {
            let tokens = self.tokens();
            let turn = tokens.take_turn().await.expect("answers");
            tokens.give_back().await.expect("answers");
            match turn {
                Turn::Ours(config) => config,
                Turn::Taken => panic!("nobody refreshes"),
            }
        }
    }

    fn refreshed(used: &str, next: &str) -> Refreshed {
        let path = |name: &str| vec!["credentials".to_owned(), name.to_owned()];
        Refreshed {
            refresh_token_path: path("refresh_token"),
            used: used.to_owned(),
            changes: vec![
                (path("access_token"), json!(format!("access of {next}"))),
                (
                    path("token_expiry_date"),
                    json!("2026-11-26T12:00:00+00:00"),
                ),
                (path("refresh_token"), json!(next)),
            ],
        }
    }

    #[tokio::test]
    async fn one_attempt_refreshes_at_a_time_and_the_next_one_sees_what_it_stored() {
        let world = World::new().await;
        let (one, other) = (world.tokens(), world.tokens());
        assert!(matches!(one.take_turn().await, Ok(Turn::Ours(_))));
        assert!(matches!(other.take_turn().await, Ok(Turn::Taken)));
        let stored = one.store(&refreshed("first", "second")).await;
        assert_eq!(stored.expect("answers"), Kept::Stored);
        let Ok(Turn::Ours(config)) = other.take_turn().await else {
            panic!("the turn was given back");
        };
        assert_eq!(
            config,
            json!({"client_id": "me", "credentials": {
                "token_expiry_date": "2026-11-26T12:00:00+00:00", "refresh_token": "second", "access_token": "access of second",
            }})
        );
    }

    #[tokio::test]
    async fn an_answer_that_was_lost_is_asked_for_again() {
        let world = World::new().await;
        let tokens = world.tokens();
        assert!(matches!(tokens.take_turn().await, Ok(Turn::Ours(_))));
        for _ in 0..2 {
            let stored = tokens.store(&refreshed("first", "second")).await;
            assert_eq!(stored.expect("answers"), Kept::Stored);
        }
        assert_eq!(
            world.config().await["credentials"]["refresh_token"],
            "second"
        );
    }

    #[tokio::test]
    async fn credentials_that_a_person_has_set_meanwhile_stay() {
        let world = World::new().await;
        let tokens = world.tokens();
        assert!(matches!(tokens.take_turn().await, Ok(Turn::Ours(_))));
        world.set("from a person").await;
        let stored = tokens.store(&refreshed("first", "second")).await;
        assert_eq!(stored.expect("answers"), Kept::Superseded);
        assert_eq!(
            world.config().await["credentials"]["refresh_token"],
            "from a person"
        );
    }

    #[tokio::test]
    async fn the_turn_of_a_dead_worker_ends_with_its_lease() {
        let world = World::new().await;
        let (dead, next) = (world.tokens(), world.tokens());
        assert!(matches!(dead.take_turn().await, Ok(Turn::Ours(_))));
        assert!(matches!(next.take_turn().await, Ok(Turn::Taken)));
        let mut db = PgConnection::connect(&world.server.url())
            .await
            .expect("connects");
        sqlx::query("update syncline.token_refresh set until = syncline.now()")
            .execute(&mut db)
            .await
            .expect("the lease ends");
        assert!(matches!(next.take_turn().await, Ok(Turn::Ours(_))));
        // The dead one wakes up: it came first, so what it stores counts, and the turn stays the other's.
        let stored = dead.store(&refreshed("first", "second")).await;
        assert_eq!(stored.expect("answers"), Kept::Stored);
        assert!(matches!(world.tokens().take_turn().await, Ok(Turn::Taken)));
    }
}
