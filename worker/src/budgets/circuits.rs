//! Hosts that do not answer: what this process knows of them. The database decides when nothing is sent to one.

use std::collections::HashMap;
use std::sync::Mutex;

use syncline_engine::{Outcome, ResponseSignals};
use syncline_shared::db::budget::{HostAnswered, note_failure, note_success};
use syncline_shared::db::{DbResult, answered};

use super::leave::Leave;
use super::lock;
use super::permits::Permits;

/// Hosts that have failed since they last answered.
#[derive(Debug, Default)]
pub(super) struct Circuits(Mutex<HashMap<String, IsOpen>>);

/// True: permits for it are asked of the database, also where no budget limits them.
type IsOpen = bool;

/// What an answer says of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Answers,
    Fails,
    Unknown,
}

impl Circuits {
    pub(super) fn is_open(&self, key: &str) -> bool {
        lock(&self.0).get(key).copied().unwrap_or(false)
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// Takes note of what another process has seen.
    pub(super) fn note(&self, key: &str, is_open: bool) {
        lock(&self.0).insert(key.to_owned(), is_open);
    }

    fn has_failed(&self, key: &str) -> bool {
        lock(&self.0).contains_key(key)
    }

    fn forget(&self, key: &str) {
        lock(&self.0).remove(key);
    }
}

impl Permits {
    /// Hears whether the host of a request answered.
    pub(crate) async fn hear_of_host(
        &self,
        leave: &Leave,
        platform: &str,
        signals: &ResponseSignals,
    ) {
        let key = leave.draw().circuit();
        let noting = async {
            match health(signals) {
                Health::Answers if self.0.circuits.has_failed(key) => self.note_answer(leave).await,
                Health::Answers | Health::Unknown => Ok(()),
                Health::Fails => self.note_failure(leave, platform, signals).await,
            }
        };
        if let Err(error) = answered(noting).await {
            tracing::warn!(host = key, %error, "it could not be noted how host {key} is: {error}");
        }
    }

    async fn note_answer(&self, leave: &Leave) -> DbResult<()> {
        let key = leave.draw().circuit();
        let mut db = self.0.database.session().await?;
        let answered = note_success(&mut db, key, leave.left_after_ms()).await?;
        db.end().await?;
        match answered {
            HostAnswered::TooEarly => {}
            HostAnswered::AsEver => self.0.circuits.forget(key),
            HostAnswered::Again => {
                self.0.circuits.forget(key);
                self.drop_stock(key);
            }
        }
        Ok(())
    }

    async fn note_failure(
        &self,
        leave: &Leave,
        platform: &str,
        signals: &ResponseSignals,
    ) -> DbResult<()> {
        let key = leave.draw().circuit();
        let reason = signals
            .status
            .map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
        let mut db = self.0.database.session().await?;
        let must_know =
            note_failure(&mut db, key, platform, &reason, leave.left_after_ms()).await?;
        db.end().await?;
        if must_know {
            self.0.waker.wake();
        }
        let mut known = lock(&self.0.circuits.0);
        known.entry(key.to_owned()).or_insert(false);
        Ok(())
    }
}

/// A host that refuses, or cannot find, answers all the same. So does one whose failure means something else by its manifest: that a limit
/// is reached, or that there is nothing.
fn health(signals: &ResponseSignals) -> Health {
    match (signals.status, signals.outcome) {
        (_, Outcome::Cancelled | Outcome::Unsent) => Health::Unknown,
        (Some(500..), Outcome::Transient | Outcome::Transport) | (None, Outcome::Transport) => {
            Health::Fails
        }
        (Some(_), _) => Health::Answers,
        (None, _) => Health::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn whatever_is_no_servers_failure_is_an_answer() {
        let health_of = |status, outcome| {
            health(&ResponseSignals {
                status,
                outcome,
                left_at_once: true,
                retry_after: None,
                headers: Vec::new(),
                duration: Duration::ZERO,
                bytes: 0,
                told: Vec::new(),
            })
        };
        assert_eq!(health_of(Some(200), Outcome::Ok), Health::Answers);
        assert_eq!(health_of(Some(404), Outcome::Refused), Health::Answers);
        assert_eq!(health_of(Some(429), Outcome::RateLimited), Health::Answers);
        for outcome in [Outcome::RateLimited, Outcome::Ok, Outcome::Refused] {
            assert_eq!(health_of(Some(503), outcome), Health::Answers);
        }
        assert_eq!(health_of(Some(503), Outcome::Transient), Health::Fails);
        assert_eq!(health_of(Some(502), Outcome::Transport), Health::Fails);
        assert_eq!(health_of(None, Outcome::Transport), Health::Fails);
        assert_eq!(health_of(None, Outcome::Cancelled), Health::Unknown);
    }
}
