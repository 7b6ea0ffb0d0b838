//! Sessions: a signed JWT (HS256), 12 hours long, in a cookie that scripts cannot read.
//!
//! Nothing is stored, so a session ends by time, by a new password (its fingerprint is in the token), by a new
//! `SYNCLINE_JWT_SECRET`, or with the account. The role is not in the token: it is read from the account each time.

use chrono::{DateTime, Duration, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hs256;

/// How long a session lasts.
pub const SESSION_HOURS: i64 = 12;
/// The cookie's name.
pub const SESSION_COOKIE: &str = "syncline_session";

/// Signs and checks sessions. Cheap to clone.
#[derive(Clone)]
pub struct SessionKeys {
    sign: EncodingKey,
    check: DecodingKey,
}

/// What a session says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The account's name.
    #[serde(rename = "sub")]
    pub user: String,
    /// Fingerprint of the password it was opened with.
    #[serde(rename = "pwd")]
    pub password: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "exp")]
    pub ends_at: i64,
}

impl Session {
    /// A session of this account from now on.
    pub fn open(user: &str, password_hash: &str, now: DateTime<Utc>) -> Self {
        let ends = now + Duration::hours(SESSION_HOURS);
        Self {
            user: user.to_owned(),
            password: fingerprint(password_hash),
            ends_at: ends.timestamp(),
        }
    }

    /// True if the account still has the password that the session was opened with.
    pub fn fits(&self, password_hash: &str) -> bool {
        self.password == fingerprint(password_hash)
    }
}

fn fingerprint(password_hash: &str) -> String {
    let digest = Sha256::digest(password_hash);
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl SessionKeys {
    /// Takes the operator's secret.
    pub fn new(secret: &SecretString) -> Self {
        hs256::install();
        let secret = secret.expose_secret().as_bytes();
        Self {
            sign: EncodingKey::from_secret(secret),
            check: DecodingKey::from_secret(secret),
        }
    }

    /// The token of a session.
    pub fn sign(&self, session: &Session) -> anyhow::Result<String> {
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            session,
            &self.sign,
        )?)
    }

    /// The session of a token, if it is ours and has not ended.
    pub fn check(&self, token: &str, now: DateTime<Utc>) -> Option<Session> {
        let mut rules = Validation::new(Algorithm::HS256);
        // The library reads the machine's clock; ours is handed in.
        rules.validate_exp = false;
        rules.set_required_spec_claims(&["sub", "exp"]);
        let session: Session = jsonwebtoken::decode(token, &self.check, &rules)
            .ok()?
            .claims;
        (session.ends_at > now.timestamp()).then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(letter: &str) -> SessionKeys {
        SessionKeys::new(&SecretString::from(letter.repeat(40)))
    }

    fn noon() -> DateTime<Utc> {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_session_lasts_twelve_hours() {
        let session = Session::open("ana", "$argon2id$x", noon());
        let token = keys("a").sign(&session).unwrap();
        let almost = noon() + Duration::hours(SESSION_HOURS) - Duration::seconds(1);
        assert_eq!(keys("a").check(&token, almost), Some(session));
        assert_eq!(keys("a").check(&token, almost + Duration::seconds(1)), None);
    }

    #[test]
    fn a_session_under_another_key_or_changed_is_nobodys() {
        let session = Session::open("ana", "$argon2id$x", noon());
        let token = keys("a").sign(&session).unwrap();
        assert_eq!(keys("b").check(&token, noon()), None);
        let parts: Vec<&str> = token.split('.').collect();
        let other = keys("a")
            .sign(&Session {
                user: "bob".to_owned(),
                ..session
            })
            .unwrap();
        let forged = format!(
            "{}.{}.{}",
            parts[0],
            other.split('.').nth(1).unwrap(),
            parts[2]
        );
        assert_eq!(keys("a").check(&forged, noon()), None);
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
        assert_eq!(keys("a").check(&unsigned, noon()), None);
    }

    #[test]
    fn a_new_password_ends_sessions() {
        let session = Session::open("ana", "$argon2id$old", noon());
        assert!(session.fits("$argon2id$old") && !session.fits("$argon2id$new"));
    }
}
